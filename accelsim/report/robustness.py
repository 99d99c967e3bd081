"""What energy is spent on, and how far the findings depend on the costs: under every table, and
constant by constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from accelsim.energy import CAUSES, EnergyTable, Item
from accelsim.energy.parts import in_units, whole
from accelsim.energy.sensitivity import (
    Spread,
    Swing,
    constant_of,
    interval,
    saving,
    spreads,
    swings,
    terms,
)
from accelsim.report.case import Case
from accelsim.report.findings import Demo
from accelsim.report.runs import KeptRun
from accelsim.study import with_shipped

ALWAYS = "whatever of these holds, it pays"
NEVER = "whatever of these holds, it does not pay"
TORN = "so that the sources, and not the machine, decide whether it pays"
VERDICTS = (ALWAYS, NEVER, TORN)


@dataclass(frozen=True)
class Robustness:
    """What the cheapest κ run saves against uniform-high, and what moves that."""

    case: Case
    table: EnergyTable
    others: tuple[EnergyTable, ...]

    @cached_property
    def ours(self) -> dict[str, float]:
        """Energy of the κ run by constant."""
        return _terms(self.case.best_selective)

    @cached_property
    def theirs(self) -> dict[str, float]:
        """Energy of the uniform-high run by constant."""
        return _terms(self.case.high)

    @property
    def saving(self) -> float:
        """What κ saves of the energy of uniform-high; negative if it takes more."""
        return saving(self.ours, self.theirs)

    @cached_property
    def spreads(self) -> list[Spread]:
        """How far apart the sources of the constants are that either run depends on."""
        lines = (*self.case.best_selective.energy_lines, *self.case.high.energy_lines)
        actions = {constant_of(line.action): line.action for line in lines}
        found = spreads(actions.values(), self.table, self.others)
        known = {*self.ours, *self.theirs}
        return [spread for spread in found if known.intersection(spread.moves)]

    @cached_property
    def swings(self) -> list[Swing]:
        """What each constant does to the saving, the greatest first."""
        return swings(self.ours, self.theirs, self.spreads)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The saving with every constant anywhere between its sources."""
        return interval(self.ours, self.theirs, self.spreads)

    @property
    def verdict(self) -> str:
        """What holds in all of the interval, or that nothing does."""
        low, high = self.interval
        return NEVER if high <= 0.0 else ALWAYS if low > 0.0 else TORN

    def sentence(self) -> str:
        """Return the interval, and what decides most, in words."""
        low, high = self.interval
        first = self.swings[0]
        return (
            f"{self.case.workload} on {self.case.hardware}: {self.case.best_selective.policy}"
            f" takes {-self.saving:+.1%} against uniform-high under {self.table.name}, and"
            f" {-high:+.1%} to {-low:+.1%} where every constant is anywhere between its sources:"
            f" {self.verdict}. It depends most on {first.spread.constant}, which alone moves it"
            f" from {-max(first.at_low, first.at_high):+.1%} to"
            f" {-min(first.at_low, first.at_high):+.1%}."
        )


def robustness(demo: Demo, case: Case) -> Robustness:
    """Return how far one case depends on its machine's table."""
    table = next(table for table in demo.known_tables if table.name == case.table.name)
    return Robustness(case, table, tuple(with_shipped(demo.known_tables)))


def between(demo: Demo) -> list[str]:
    """Say for how many cases the verdict against uniform-high holds anywhere between the sources of
    each machine's own table, and of which it does not; nothing if no such table is at hand.
    """
    if not demo.known_cases:
        return []
    found: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for case in demo.known_cases:
        name = f"{case.workload} on {case.hardware}"
        found[robustness(demo, case).verdict].append(name)
    mixed = sum(map(bool, found.values())) > 1
    less, more, torn = (
        f"{len(names)} ({'; '.join(names)})" if mixed and names else str(len(names))
        for names in found.values()
    )
    return [
        "Wherever between its sources every constant of a machine's table is, the cheapest κ run"
        f" takes less energy than uniform high precision in {less} and no less in {more} of"
        f" {len(demo.known_cases)} pairs of machine and network; in {torn} the sources, and not the"
        " machine, decide."
    ]


def side_by_side(demo: Demo) -> list[tuple[str, list[str]]]:
    """Return for every case what κ takes under each table, against uniform-high and the best run
    without recomputation.
    """
    rows = []
    for case in demo.cases:
        cells = []
        for table in demo.tables:
            charged = case.under(table)
            best = charged.best_selective.charged_pj
            against = best / charged.high.charged_pj - 1.0
            other = best / charged.best_alternative.charged_pj - 1.0
            cells.append(f"{against:+.1%}, {other:+.1%}")
        rows.append((f"{case.workload} on {case.hardware}", cells))
    return rows


def spent(demo: Demo) -> tuple[list[str], list[list[str]]]:
    """Return a head and rows: for each case what uniform-high, the cheapest run that redoes nothing
    and the cheapest κ run take by cause, in nJ an inference, and what is needed for it.

    Causes add up to the total in the last digit.
    """
    head = [cause.replace("_", " ") for cause in CAUSES]
    rows = []
    for case in demo.cases:
        for run in (case.high, case.best_alternative, case.best_selective):
            parts = [Item(name, pj / run.samples) for name, pj in run.energy_by_cause_pj.items()]
            (_, _, total), *found = in_units(whole("total", parts), 1.0)
            numbers = {item.name: number for _, item, number in found}
            rows.append(
                [
                    f"{case.workload} on {case.hardware}",
                    str(run.policy),
                    *(f"{numbers.get(cause, 0) / 1e3:.3f}" for cause in CAUSES),
                    f"{total / 1e3:.3f}",
                    _or_unknown(run.row["energy_delay_product_pj_s"], 1.0, ".4g"),
                    _or_unknown(run.row["area_um2"], 1e6, ".4g"),
                ]
            )
    return [*head, "in all", "energy × delay (pJ s)", "area (mm²)"], rows


def survival(demo: Demo) -> str:
    """Say plainly whether the verdicts are the same under every table."""
    names = ", ".join(table.name for table in demo.tables)
    changed = [case for case in demo.cases if len(_verdicts(demo, case)) > 1]
    cases = len(demo.cases)
    if not changed:
        return (
            f"The conclusion survives every table ({names}): for each of the {cases} pairs of"
            " machine and network, whether κ pays against uniform high precision, and against the"
            " best run without recomputation, is the same under all of them."
        )
    listed = "; ".join(f"{case.workload} on {case.hardware}" for case in changed)
    return (
        f"The conclusion does not survive every table ({names}): for {len(changed)} of {cases}"
        f" pairs of machine and network, whether κ pays depends on the table: {listed}."
    )


def _verdicts(demo: Demo, case: Case) -> set[tuple[bool, bool]]:
    charged = [case.under(table) for table in demo.tables]
    return {(one.pays_against_high, one.pays) for one in charged}


def _terms(run: KeptRun) -> dict[str, float]:
    return terms(run.energy_lines, run.leakage_by_part_pj)


def strongest(found: Robustness, most: int) -> Sequence[Swing]:
    """Return the constants that matter most, those that move nothing left out."""
    return [swing for swing in found.swings if swing.size > 0.0][:most]


def _or_unknown(value: float | None, unit: float, how: str) -> str:
    return "unknown" if value is None else format(value / unit, how)
