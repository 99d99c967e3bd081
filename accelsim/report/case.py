"""What one network's runs on one machine say of κ, as numbers and as sentences that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from accelsim.policies import Policy, Random, Selective, Uniform, UniformHigh, UniformLow
from accelsim.report.runs import KeptRun

ADDED = {
    "recomputation": "redoing outputs (second MACs with their registers, wires and clock, queue)",
    "memory_recomputation": "reading and writing memories again",
    "detection": "the detector",
    "leakage": "leakage",
}
"""What a κ run adds to uniform-low, by cause."""
OTHERWISE = "the first pass"
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
        """Say which causes make the best κ run dearer than uniform-low, as the table of causes has
        them.
        """
        best, low = self.best_selective.energy_by_cause_pj, self.low.energy_by_cause_pj
        extra = dict.fromkeys((*ADDED.values(), OTHERWISE), 0.0)
        for cause, spent in best.items():
            extra[ADDED.get(cause, OTHERWISE)] += spent - low.get(cause, 0.0)
        total = sum(extra.values())
        if total <= 0.0:
            return ""
        shares = sorted(extra.items(), key=lambda item: -item[1])
        parts = [
            f"{share / total:.0%} for {name}" for name, share in shares if share / total > 0.01
        ]
        return f"It adds to uniform-low: {listing(parts)}."

    def _missed_sentence(self) -> str:
        """Say how much κ from the cheap result misses; with so few bits nothing bounds it."""
        parts = []
        for run in self.selective("exact"):
            missed = run.false_negative_rate
            if missed is not None and isinstance(run.policy, Selective) and run.policy.tau > 0.0:
                parts.append(f"{missed:.0%} at τ = {run.policy.tau:g}")
        return (
            "Of the outputs whose true κ exceeds τ, the κ computed from the low-precision result"
            f" (exact numerator) misses {listing(parts)}: false negatives that no bound limits"
            " for accumulators of so few bits."
        )

    def _control_sentence(self) -> str:
        parts = [
            f"{words} {ratio_words(ratios)}"
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


def shown_runs(case: Case) -> list[KeptRun]:
    """Return the runs that tables and bars show: all but the controls, κ at six rates."""
    runs = sorted(case.without_recomputation, key=lambda run: run.charged_pj)
    runs.sort(key=lambda run: not isinstance(run.policy, (Uniform, UniformLow, UniformHigh)))
    for numerator in ("constant", "exact"):
        runs += [
            run
            for run in case.selective(numerator)
            if isinstance(run.policy, Selective)
            and run.policy.tau in {0.0, 2.0, 4.0, 8.0, 16.0, 64.0}
        ]
    return runs


def ratio_words(ratios: list[float]) -> str:
    """Say how κ compares with chance, from KL divergences over those of chance."""
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


def listing(parts: list[str]) -> str:
    """Join parts as prose does."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
