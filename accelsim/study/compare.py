"""What changed between two runs, and why: differences that add up to the difference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from accelsim.energy import leakage_pj
from accelsim.study.factors import Line, Pair, Part, parts_of, product, scaled
from accelsim.study.read_run import ReadLayer, ReadRun


@dataclass(frozen=True)
class Breakdown:
    """A difference as parts, the largest first; `change` is their sum, up to rounding.

    Where a run does not know the whole, it is in `unknown_of` as A or B, and nothing else is said.
    """

    title: str
    unit: str
    change: float
    parts: tuple[Part, ...]
    unknown_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two runs, and what makes the difference between what they take."""

    before: ReadRun
    after: ReadRun
    breakdowns: tuple[Breakdown, ...]


def totals(run: ReadRun) -> dict[str, float | None]:
    """Return what is compared of a whole run, None for what is not known of it."""
    return {
        "total_cycles": run.total_cycles,
        "latency_s": run.latency_s,
        "energy_pj": run.energy_pj,
        "leakage_pj": run.leakage_pj,
        "total_energy_pj": run.total_energy_pj,
        "energy_delay_product_pj_s": run.energy_delay_product_pj_s,
        "area_um2": _sum(run.area_um2),
        "leakage_mw": _sum(run.leakage_mw),
        "accuracy": run.accuracy,
        "kl_divergence_nats": run.kl_divergence_nats,
        "recompute_rate": run.recompute_rate,
    }


def compare_runs(before: ReadRun, after: ReadRun) -> Comparison:
    """Return what changed: cycles, energy, what leaks, both together, their product with the time,
    and the area.
    """
    runs = before, after
    counts = list(parts_of(_actions(before), _actions(after), "pJ"))
    leaked = list(_leakage(before, after))
    total = [*counts, *leaked]
    return Comparison(
        before,
        after,
        (
            _breakdown(
                "cycles, by layer and cause", "cycles", runs, "total_cycles", _cycles(*runs)
            ),
            _breakdown("energy, by count and cost", "pJ", runs, "energy_pj", counts),
            _breakdown(
                "energy, by layer and component",
                "pJ",
                runs,
                "energy_pj",
                _layers(before, after, "energy_pj"),
            ),
            _breakdown(
                "energy, by layer and cause",
                "pJ",
                runs,
                "energy_pj",
                _layers(before, after, "energy_by_cause_pj"),
            ),
            _breakdown("leakage, by part and time", "pJ", runs, "leakage_pj", leaked),
            _breakdown(
                "total energy, by count and cost, part and time",
                "pJ",
                runs,
                "total_energy_pj",
                total,
            ),
            _breakdown(
                "energy-delay product, by energy and time",
                "pJ·s",
                runs,
                "energy_delay_product_pj_s",
                _delayed(before, after, total),
            ),
            _breakdown(
                "area, by part",
                "um2",
                runs,
                "area_um2",
                parts_of(_built(before, "area_um2_each"), _built(after, "area_um2_each"), "um2"),
            ),
        ),
    )


def _breakdown(
    title: str, unit: str, runs: tuple[ReadRun, ReadRun], name: str, parts: Iterable[Part]
) -> Breakdown:
    """Sort the parts; what a total has beyond them is a part as well, and never dropped."""
    old, new = (totals(run)[name] for run in runs)
    if old is None or new is None:
        sides = zip("AB", (old, new), strict=True)
        return Breakdown(title, unit, 0.0, (), tuple(side for side, is_ in sides if is_ is None))
    most = max(old, new)
    # Parts of a total are rounded to its last digit, in which equal ones may differ.
    found = [part for part in parts if abs(part.change) > 1e-13 * most]
    change = new - old
    rest = math.fsum([change, *(-part.change for part in found)])
    if abs(rest) > 1e-9 * most:
        found.append(Part("(not in any part)", "", math.nan, math.nan, rest))
    found.sort(key=lambda part: -abs(part.change))
    return Breakdown(title, unit, change, tuple(found))


def _sum(parts: dict[str, float] | None) -> float | None:
    return None if parts is None else math.fsum(parts.values())


def _cycles(before: ReadRun, after: ReadRun) -> Iterator[Part]:
    for name, old, new in _paired(before.layers, after.layers):
        first, second = _causes(old), _causes(new)
        for cause in dict.fromkeys([*first, *second]):
            was, now = first.get(cause, 0), second.get(cause, 0)
            yield Part(name, cause, was, now, now - was)


def _causes(layer: ReadLayer | None) -> dict[str, int]:
    if layer is None:
        return {}
    causes = {"compute": layer.compute_cycles}
    causes |= {f"stall {cause}": cycles for cause, cycles in layer.stall_cycles.items()}
    rest = layer.total_cycles - sum(causes.values())
    return causes | ({"other": rest} if rest else {})


def _layers(before: ReadRun, after: ReadRun, parts: str) -> Iterator[Part]:
    for name, old, new in _paired(before.layers, after.layers):
        first = {} if old is None else getattr(old, parts)
        second = {} if new is None else getattr(new, parts)
        for component in dict.fromkeys([*first, *second]):
            was, now = first.get(component, 0.0), second.get(component, 0.0)
            yield Part(name, component, was, now, now - was)


def _paired(
    before: Sequence[ReadLayer], after: Sequence[ReadLayer]
) -> Iterator[tuple[str, ReadLayer | None, ReadLayer | None]]:
    """Yield the layers of both by name, with None for one that only the other has."""
    first = {layer.name: layer for layer in before}
    second = {layer.name: layer for layer in after}
    for name in dict.fromkeys([*first, *second]):
        yield name, first.get(name), second.get(name)


def _actions(run: ReadRun) -> list[Line]:
    return [
        Line(count.component, count.action, count.number, count.energy_pj_each)
        for count in run.counts
    ]


def _built(run: ReadRun, each: str) -> list[Line]:
    """Return how many of each part a component has, and what one of them takes."""
    known = {part.part: getattr(part, each) for part in run.parts}
    return [
        Line(built.component, built.part, built.number, known[built.part])
        for built in run.built
        if built.part in known
    ]


def _leakage(before: ReadRun, after: ReadRun) -> Iterator[Part]:
    """Yield what parts make of the change, over the mean time, and what the time makes of it."""
    time = Pair(before.latency_s, after.latency_s)
    power = Pair(*(_sum(run.leakage_mw) or 0.0 for run in (before, after)))
    first, second = (_built(run, "leakage_mw_each") for run in (before, after))
    for part in parts_of(first, second, "mW"):
        change = leakage_pj(part.change, time.mean)
        yield Part(f"leakage of {part.where}", part.why, part.before, part.after, change)
    yield from _time("leakage, for its time", before, after, leakage_pj(power.mean, 1.0))


def _delayed(before: ReadRun, after: ReadRun, energy: Iterable[Part]) -> Iterator[Part]:
    """Yield what energy makes of the change, over the mean time, and what the time makes of it."""
    time = Pair(before.latency_s, after.latency_s)
    total = Pair(*(run.total_energy_pj or 0.0 for run in (before, after)))
    yield from scaled(energy, time.mean)
    yield from _time("delay", before, after, total.mean)


def _time(where: str, before: ReadRun, after: ReadRun, factor: float) -> Iterator[Part]:
    """Yield what the number of cycles, and how long one takes, make of the change of a latency."""
    number = Pair(before.total_cycles, after.total_cycles)
    seconds = Pair(*(run.latency_s / max(run.total_cycles, 1) for run in (before, after)))
    return product(where, ("cycles", number), ("s a cycle", seconds), factor)
