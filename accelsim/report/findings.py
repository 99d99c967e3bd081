"""Whether recomputation by κ pays, as numbers and as sentences that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from accelsim.energy import EnergyTable
from accelsim.policies import Policy, Random, Selective, Uniform, UniformHigh, UniformLow
from accelsim.report.runs import KeptRun
from accelsim.report.survey import TABLE
from accelsim.result import COMPONENTS
from accelsim.study import Study
from accelsim.study.table import Row

TOLERANCE = 0.005
"""As accurate as uniform-high means: at most this much less accuracy."""


class Named(Protocol):
    """Whatever has a name: an energy table, or what stands for one that is not at hand."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


@dataclass(frozen=True)
class TableName:
    """An energy table of which only the name is known."""

    name: str


@dataclass(frozen=True)
class Case:
    """All policies of one workload on one machine, under one energy table.

    `by_table` has the same runs under each table.
    """

    table: Named
    by_table: dict[str, tuple[KeptRun, ...]]

    @property
    def runs(self) -> tuple[KeptRun, ...]:
        """The runs under this case's table."""
        return self.by_table[self.table.name]

    @property
    def hardware(self) -> str:
        """Name of the machine."""
        return self.runs[0].hardware

    @property
    def workload(self) -> str:
        """Name of the workload."""
        return self.runs[0].workload

    def under(self, table: Named) -> Case:
        """Return the same runs charged by another table."""
        return Case(table, self.by_table)

    def of(self, kind: type[Policy]) -> list[KeptRun]:
        """Return the runs whose policy is a `kind`."""
        return [run for run in self.runs if isinstance(run.policy, kind)]

    def selective(self, numerator: str) -> list[KeptRun]:
        """Return the κ runs with this numerator, by falling recompute rate."""
        found = [
            run
            for run in self.of(Selective)
            if isinstance(run.policy, Selective) and run.policy.numerator == numerator
        ]
        return sorted(found, key=lambda run: -run.recompute_rate)

    @cached_property
    def low(self) -> KeptRun:
        """The uniform-low run."""
        return self.of(UniformLow)[0]

    @cached_property
    def high(self) -> KeptRun:
        """The uniform-high run."""
        return self.of(UniformHigh)[0]

    @cached_property
    def without_recomputation(self) -> list[KeptRun]:
        """Runs whose policy never recomputes."""
        return [run for run in self.runs if run.policy.second is None]

    def controls(self, selective: KeptRun) -> list[KeptRun]:
        """Return the controls of `selective`: as many outputs of every layer, one a seed."""
        return [run for run in self.of(Random) if run.control_of == str(selective.policy)]

    def accurate(self, runs: Iterable[KeptRun]) -> list[KeptRun]:
        """Return the runs as accurate as uniform-high, cheapest first."""
        needed = _accuracy(self.high) - TOLERANCE
        return sorted(
            (run for run in runs if _accuracy(run) >= needed), key=lambda run: run.charged_pj
        )

    @cached_property
    def best_selective(self) -> KeptRun:
        """The cheapest κ run as accurate as uniform-high; τ = 0 always is."""
        return self.accurate(self.of(Selective))[0]

    @cached_property
    def best_alternative(self) -> KeptRun:
        """The cheapest run as accurate as uniform-high that recomputes nothing."""
        return self.accurate(self.without_recomputation)[0]

    @property
    def pays_against_high(self) -> bool:
        """Whether κ saves energy against high precision everywhere, at its accuracy."""
        return self.best_selective.charged_pj < self.high.charged_pj

    @property
    def pays(self) -> bool:
        """Whether κ is the cheapest way to the accuracy of uniform-high."""
        return self.best_selective.charged_pj < self.best_alternative.charged_pj

    def kl_ratios(self, lowest: float, highest: float) -> list[float]:
        """Return the KL divergence of κ over that of chance at the same rate, a value a point.

        The points are the κ runs with a recompute rate strictly between the two.
        """
        ratios = []
        for run in self.of(Selective):
            if lowest < run.recompute_rate < highest:
                chance = float(np.mean([_kl(c) for c in self.controls(run)]))
                ratios.append(_kl(run) / chance)
        return ratios

    def sentences(self) -> list[str]:
        """Return the findings of this case, one sentence each."""
        high, low, best, other = self.high, self.low, self.best_selective, self.best_alternative
        ceiling = 1.0 - low.charged_pj / high.charged_pj
        lines = [
            f"Accumulating everything in {high.policy.first.format} takes {_nj(high)} per"
            f" inference, in {low.policy.first.format} {_nj(low)}: no choice of outputs to redo can"
            f" save more than {ceiling:.0%} of the energy. The low run has an accuracy of"
            f" {_percent(low)}, the high one {_percent(high)}.",
        ]
        change = best.charged_pj / high.charged_pj - 1.0
        slower = best.total_cycles / high.total_cycles
        verdict = "less" if change < 0 else "more"
        lines.append(
            f"The cheapest κ run within {TOLERANCE * 100:g} points of that accuracy is"
            f" {best.policy}, which redoes {best.recompute_rate:.1%} of the outputs, reaches"
            f" {_percent(best)} and takes {_nj(best)} and {slower:.2f} times the"
            f" cycles: {abs(change):.1%} {verdict} energy than uniform-high."
            f" {self._where_it_goes()}"
        )
        against = best.charged_pj / other.charged_pj - 1.0
        lines.append(
            f"The cheapest run of that accuracy without recomputation is {other.policy}:"
            f" {_percent(other)} for {_nj(other)}. Selective recomputation "
            + (
                f"beats it by {-against:.1%}: here it pays."
                if against < 0
                else f"takes {against:.1%} more energy than that: here it does not pay."
            )
        )
        lines += [self._break_even_sentence(), self._control_sentence(), self._missed_sentence()]
        return lines

    def _break_even_sentence(self) -> str:
        """Say how much κ may redo below the energy of uniform-high, and what that buys."""
        cheaper = [run for run in self.of(Selective) if run.charged_pj < self.high.charged_pj]
        if not cheaper:
            return "No κ run takes less energy than uniform-high, whatever its recompute rate."
        most = max(cheaper, key=lambda run: run.recompute_rate)
        other = self.best_alternative
        return (
            f"Of the κ runs that take less energy than uniform-high, {most.policy} redoes the most"
            f" outputs, {most.recompute_rate:.1%}, and reaches {_percent(most)} and a KL divergence"
            f" of {_kl(most):.4f}, where {other.policy} has {_kl(other):.4f}."
        )

    def _where_it_goes(self) -> str:
        """Say which components make the best κ run dearer than uniform-low."""
        best, low = self.best_selective, self.low
        extra = {name: best.component_pj(name) - low.component_pj(name) for name in COMPONENTS}
        leaked = best.charged_pj - best.energy_pj - (low.charged_pj - low.energy_pj)
        total = sum(extra.values()) + leaked
        if total <= 0.0:
            return ""
        groups = {
            "reading and writing scratchpads again": sum(
                value for name, value in extra.items() if name.startswith("scratchpad")
            ),
            "the second MACs": extra["recompute"],
            "the detector": extra["detector"],
            "the queue": extra["queue"],
            "leakage": leaked,
        }
        shares = sorted(groups.items(), key=lambda item: -item[1])
        parts = [
            f"{share / total:.0%} for {name}" for name, share in shares if share / total > 0.01
        ]
        return f"It adds to uniform-low: {_listing(parts)}."

    def _missed_sentence(self) -> str:
        """Say how much κ from the cheap result misses; with so few bits nothing bounds it."""
        parts = []
        for run in self.selective("exact"):
            missed = run.false_negative_rate
            if missed is not None and isinstance(run.policy, Selective) and run.policy.tau > 0.0:
                parts.append(f"{missed:.0%} at τ = {run.policy.tau:g}")
        return (
            "Of the outputs whose true κ exceeds τ, the κ computed from the low-precision result"
            f" (exact numerator) misses {_listing(parts)}: false negatives that no bound limits"
            " for accumulators of so few bits."
        )

    def _control_sentence(self) -> str:
        parts = [
            f"{words} {_ratio_words(ratios)}"
            for words, ratios in (
                ("where less than half of the outputs are redone,", self.kl_ratios(0.0, 0.5)),
                ("where more than half are,", self.kl_ratios(0.5, 1.0)),
            )
            if ratios
        ]
        return (
            f"Against chance, with as many outputs redone in every layer: {'; '.join(parts)}."
            if parts
            else ""
        )


@dataclass(frozen=True)
class Demo:
    """The runs of a study of κ, and the tables that charge them; `own` is each machine's.

    `tables` holds what stands for those that are not at hand, as only their names are kept.
    """

    runs: tuple[KeptRun, ...]
    tables: tuple[Named, ...]
    own: dict[str, str]
    descriptions: dict[str, str]

    @property
    def known_tables(self) -> tuple[EnergyTable, ...]:
        """The tables that are at hand, with their sources."""
        return tuple(table for table in self.tables if isinstance(table, EnergyTable))

    @cached_property
    def cases(self) -> list[Case]:
        """The runs by machine and workload, each under its machine's own table."""
        groups: dict[tuple[str, str], dict[str, list[KeptRun]]] = {}
        for run in self.runs:
            group = groups.setdefault((run.hardware, run.workload), {})
            group.setdefault(run.table, []).append(run)
        by_name = {table.name: table for table in self.tables}
        return [
            Case(by_name[self.own[machine]], {name: tuple(runs) for name, runs in group.items()})
            for (machine, _), group in sorted(groups.items(), key=self._order)
        ]

    @cached_property
    def machines(self) -> list[str]:
        """Names of the machines, in the order they were run."""
        return list(dict.fromkeys(run.hardware for run in self.runs))

    @cached_property
    def workloads(self) -> list[str]:
        """Names of the workloads, in the order they were run."""
        return list(dict.fromkeys(run.workload for run in self.runs))

    def case(self, machine: str, workload: str) -> Case:
        """Return the runs of one workload on one machine."""
        return next(
            case for case in self.cases if (case.hardware, case.workload) == (machine, workload)
        )

    @cached_property
    def under_all_tables(self) -> list[Case]:
        """Every case under every table."""
        return [case.under(table) for case in self.cases for table in self.tables]

    def answer(self) -> list[str]:
        """Return the answer in short: does selective recomputation save energy here?"""
        cases = self.under_all_tables
        against_high = sum(case.pays_against_high for case in cases)
        pays = sum(case.pays for case in cases)
        machine = self.machines[0]  # values do not depend on it
        ratios = [
            ratio for w in self.workloads for ratio in self.case(machine, w).kl_ratios(0.0, 0.5)
        ]
        winners = {str(case.best_alternative.policy) for case in cases if not case.pays}
        return [
            f"Of {len(cases)} cases ({len(self.machines)} machines, {len(self.workloads)} networks,"
            f" {len(self.tables)} energy tables), selective recomputation by κ saves energy against"
            f" uniform high precision at its accuracy in {against_high}, and is the cheapest way to"
            f" that accuracy in {pays}."
            + (
                f" Cheaper without recomputing anything: {_listing(sorted(winners))}."
                if winners
                else ""
            ),
            f"Against redoing as many outputs of every layer at random, where less than half are,"
            f" {_ratio_words(ratios)}.",
        ]

    def tables_sentences(self) -> list[str]:
        """Return, for each machine and workload, whether the verdict survives every table."""
        lines = []
        for case in self.cases:
            verdicts = []
            for table in self.tables:
                charged = case.under(table)
                best, other = charged.best_selective, charged.best_alternative
                verdicts.append(
                    f"under {table.name}, {best.policy} takes"
                    f" {best.charged_pj / charged.high.charged_pj - 1.0:+.1%} against uniform-high"
                    f" and {best.charged_pj / other.charged_pj - 1.0:+.1%} against {other.policy}"
                )
            lines.append(f"{case.workload} on {case.hardware}: {'; '.join(verdicts)}.")
        return lines

    def _order(self, item: tuple[tuple[str, str], dict[str, list[KeptRun]]]) -> tuple[int, int]:
        (machine, workload), _ = item
        return self.machines.index(machine), self.workloads.index(workload)


def demo_of(study: Study, tables: Iterable[EnergyTable]) -> Demo | None:
    """Return a study of κ: of trained networks, each on every machine under every table in low, in
    high, by κ, and by controls of each κ. None of a study that is anything else.
    """
    rows = [row for row in study.rows if row["status"] == "done"]
    given = {table.name: table for table in tables}
    names = list(dict.fromkeys(str(row[TABLE]) for row in rows))
    machines = study.meta.get("machines", {})
    own = {name: str(kept["energy_table"]) for name, kept in machines.items()}
    if len(rows) < len(study.rows) or not _complete(rows, names, own):
        return None
    details = study.details(row["point"] for row in rows)
    return Demo(
        tuple(KeptRun(row, details[row["point"]] or {}) for row in rows),
        tuple(given.get(name, TableName(name)) for name in names),
        own,
        {name: str(kept["description"]) for name, kept in machines.items()},
    )


def _complete(rows: list[Row], tables: list[str], own: dict[str, str]) -> bool:
    """Return whether every case has what the findings compare."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["hardware"], row["workload"], row[TABLE]), []).append(row)
    for (machine, workload, _), group in groups.items():
        names = {str(row["policy"]).partition(":")[0] for row in group}
        controlled = {row.get("policy.control_of") for row in group}
        kappa = {str(row["policy"]) for row in group if str(row["policy"]).startswith("selective")}
        if not (
            {UniformLow.name, UniformHigh.name, Selective.name} <= names
            and kappa <= controlled
            and all(row["accuracy"] is not None for row in group)
            and any("tau=0," in policy for policy in kappa)
            and own.get(machine) in tables
            and all((machine, workload, table) in groups for table in tables)
        ):
            return False
    return bool(groups)


def shown_runs(case: Case) -> list[KeptRun]:
    """Return the runs that tables and bars show: all but the controls, κ at six rates."""
    runs = sorted(case.without_recomputation, key=lambda run: run.charged_pj)
    runs.sort(key=lambda run: not isinstance(run.policy, Uniform))
    for numerator in ("constant", "exact"):
        runs += [
            run
            for run in case.selective(numerator)
            if isinstance(run.policy, Selective)
            and run.policy.tau in {0.0, 2.0, 4.0, 8.0, 16.0, 64.0}
        ]
    return runs


def _ratio_words(ratios: list[float]) -> str:
    better = sum(ratio < 1.0 for ratio in ratios)
    mean = float(np.exp(np.mean(np.log(ratios))))
    return (
        f"κ has the lower KL divergence in {better} of {len(ratios)} points, and {mean:.2f} times"
        f" that of chance in the geometric mean ({'better' if mean < 1.0 else 'worse'} than chance)"
    )


def _accuracy(run: KeptRun) -> float:
    assert run.accuracy is not None
    return run.accuracy


def _kl(run: KeptRun) -> float:
    assert run.kl_divergence is not None
    return run.kl_divergence


def _nj(run: KeptRun) -> str:
    return f"{run.charged_per_inference_pj / 1e3:.2f} nJ"


def _percent(run: KeptRun) -> str:
    return f"{_accuracy(run):.2%}"


def _listing(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
