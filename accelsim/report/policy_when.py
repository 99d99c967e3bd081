"""When redoing outputs pays: what sets apart the trained networks where a rule takes less energy.

Found from the rows: of a few named quantities, the one split in two that leaves the least Gini
impurity, which is to say the least mixed sides. Machines and energy tables are places, and are
told apart by counts: a trained network is one case, on however many places it ran.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Table
from accelsim.report.policy_curves import AS_GOOD, NOTHING_DRAWN, Comparison
from accelsim.report.policy_means import Key

NAME = re.compile(r"(?P<data>.+)-(?P<activation>relu|tanh|sigmoid|gelu|silu)(?:-(?P<layers>\d+))?")
"""How a network is called that says its data, its activation, and its number of layers."""
LOST, DATA, ACTIVATION, LAYERS = "lost", "data", "activation", "layers"
FEW = 3
"""A side of a split with fewer trained networks than this explains nothing."""
MOST_NAMED = 4
"""Places that a sentence names one by one."""


@dataclass(frozen=True)
class Trained:
    """A trained network: what is known of it, and at which places a rule pays there."""

    key: Key
    known: dict[str, float | str]
    pays: tuple[bool, ...]


@dataclass(frozen=True)
class Split:
    """Trained networks in two: those of which `words` are true, where a rule pays more often."""

    words: str
    inside: tuple[Trained, ...]
    outside: tuple[Trained, ...]


def cases(machines: Sequence[Comparison], *rules: str, than: str = HIGH) -> list[Trained]:
    """Return every trained network, and where any of these rules reaches the accuracy of
    `uniform-high` for less energy than another policy takes.
    """
    found = []
    for key, high in machines[0].by_policy[HIGH].items():
        pays = tuple(
            any(
                (ratio := machine.cheapest_as_good(rule, key, AS_GOOD)) is not None
                and ratio < machine.least_energy(than, key)
                for rule in rules
            )
            for machine in machines
        )
        known: dict[str, float | str] = {}
        low = machines[0].by_policy.get(NOTHING_DRAWN, {}).get(key)
        if low is not None:
            fell = float(high.rows[0]["accuracy"]) - float(low.rows[0]["accuracy"])
            known[LOST] = 100.0 * fell
        named = NAME.fullmatch(key[0])
        if named is not None:
            known |= {DATA: named["data"], ACTIVATION: named["activation"]}
            if named["layers"] is not None:
                known[LAYERS] = float(named["layers"])
        found.append(Trained(key, known, pays))
    return found


def best_split(found: Sequence[Trained], places: Sequence[int]) -> Split | None:
    """Return the split that best sets apart where the rule pays, at these places; None if none
    does, as where it pays nowhere.
    """
    splits = [
        one for one in _splits(found, places) if min(len(one.inside), len(one.outside)) >= FEW
    ]
    before = _impurity(found, places)
    best = min(splits, key=lambda one: _left(one, places), default=None)
    return best if best is not None and _left(best, places) < before else None


def _left(split: Split, places: Sequence[int]) -> float:
    return _impurity(split.inside, places) + _impurity(split.outside, places)


def _impurity(found: Sequence[Trained], places: Sequence[int]) -> float:
    """Return Gini's impurity times the number of networks, summed over places."""
    counts = (paying(found, place) for place in places)
    return sum(count * (len(found) - count) / len(found) for count in counts if found)


def _exceptions(found: Sequence[Trained], place: int) -> int:
    """Return how many are not like most of them, at a place."""
    return min(paying(found, place), len(found) - paying(found, place))


def paying(found: Iterable[Trained], place: int) -> int:
    """Return on how many of these trained networks the rule pays at a place."""
    return sum(one.pays[place] for one in found)


def _splits(found: Sequence[Trained], places: Sequence[int]) -> Iterable[Split]:
    for words, holds in _conditions(found):
        inside = tuple(one for one in found if holds(one))
        outside = tuple(one for one in found if not holds(one))
        if inside and outside and _share(inside, places) > _share(outside, places):
            yield Split(words, inside, outside)


def _share(found: Sequence[Trained], places: Sequence[int]) -> float:
    return sum(paying(found, place) for place in places) / len(found)


def _conditions(found: Sequence[Trained]) -> Iterable[tuple[str, Callable[[Trained], bool]]]:
    """Yield conditions in words, and whether a network meets one."""
    for limit in _limits(found, LOST):
        below = f"{NOTHING_DRAWN} itself loses no more than {limit} points of accuracy"
        above = f"{NOTHING_DRAWN} itself loses more than {limit} points of accuracy"
        yield below, _at_most(LOST, float(limit))
        yield above, _more(LOST, float(limit))
    for limit in _limits(found, LAYERS):
        yield f"there are no more than {int(limit)} layers", _at_most(LAYERS, float(limit))
        yield f"there are more than {int(limit)} layers", _more(LAYERS, float(limit))
    for quantity, words in ((DATA, "the data are {}"), (ACTIVATION, "the activation is {}")):
        for value in sorted({str(one.known[quantity]) for one in found if quantity in one.known}):
            yield words.format(value), _is(quantity, value)


def _limits(found: Sequence[Trained], quantity: str) -> list[Decimal]:
    values = sorted({float(one.known[quantity]) for one in found if quantity in one.known})
    return [short_between(low, high) for low, high in itertools.pairwise(values)]


def short_between(low: float, high: float) -> Decimal:
    """Return the number of the fewest decimals that is at least `low` and less than `high`."""
    for places in range(18):
        unit = Decimal(1).scaleb(-places)
        up = (Decimal(low) / unit).to_integral_value("ROUND_CEILING") * unit
        if float(up) >= low and up < Decimal(high):
            return up
    return Decimal(low)


def _at_most(quantity: str, limit: float) -> Callable[[Trained], bool]:
    return lambda one: quantity in one.known and float(one.known[quantity]) <= limit


def _more(quantity: str, limit: float) -> Callable[[Trained], bool]:
    return lambda one: quantity in one.known and float(one.known[quantity]) > limit


def _is(quantity: str, value: str) -> Callable[[Trained], bool]:
    return lambda one: one.known.get(quantity) == value


def condition(
    found: Sequence[Trained], machines: Sequence[Comparison], what: str = "It does"
) -> str:
    """Say when the rule pays, in a sentence that begins with `what`, and with what is not as it
    says; empty if nothing does.
    """
    every = range(len(machines))
    split = best_split(found, every)
    if split is None:
        return ""
    inside, outside = (
        [paying(side, place) for place in every] for side in (split.inside, split.outside)
    )
    by_place = ", as the place goes" if len({*inside}) > 1 else ""
    return (
        f"{what} {'more often' if any(outside) else 'only'} where {split.words}: of those"
        f" {len(split.inside)} on {span(inside)}{by_place}, of the other {len(split.outside)} on"
        f" {span(outside)}."
    )


def span(numbers: Iterable[int]) -> str:
    """Return numbers, one a place, as the least to the largest of them: `37`, or `30 to 37`."""
    low, *_, high = sorted([*numbers] * 2)
    return (str(low) if low else "none") if low == high else f"{low} to {high}"


def counts(found: Sequence[Trained], machines: Sequence[Comparison], *, named: bool = True) -> str:
    """Say on how many of these the rule pays, place by place: `9 (m, 45nm) and 20 (m, 7nm)`, or
    `9 and 20` where the places have been named; of many places the least and the most.
    """
    numbers = {paying(found, place) for place in range(len(machines))}
    if len(machines) > 1 and len(numbers) == 1:
        number = max(numbers)
        which = f"{number}, on every" if number else "none, on any"
        return f"{which} machine and energy table"
    if len(machines) > MOST_NAMED:
        return f"{span(paying(found, n) for n in range(len(machines)))}, as the place goes"
    parts = [
        f"{paying(found, n)} ({one.place})" if named else str(paying(found, n))
        for n, one in enumerate(machines)
    ]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def conditions(found: Sequence[Trained], machines: Sequence[Comparison]) -> list[str]:
    """Say place by place what else sets apart where the rule pays, where the first split does not
    say it all.
    """
    first = best_split(found, range(len(machines)))
    if first is None:
        return []
    sentences = []
    for place, machine in enumerate(machines):
        then = best_split(first.inside, [place])
        if then is None:
            continue
        left = _exceptions(then.inside, place) + _exceptions(then.outside, place)
        if left < _exceptions(first.inside, place):
            sentences.append(
                f"On {machine.place}, of the {len(first.inside)} trained networks where"
                f" {first.words} it is best told by whether {then.words}: the rule pays on"
                f" {paying(then.inside, place)} of {len(then.inside)} of these, and on"
                f" {paying(then.outside, place)} of the other {len(then.outside)}."
            )
    return sentences


def when_table(found: Sequence[Trained], machines: Sequence[Comparison]) -> Table:
    """Return on how many trained networks of each kind the rule pays, place by place."""
    first = best_split(found, range(len(machines)))
    kinds: list[tuple[str, Sequence[Trained]]] = [("all", found)]
    if first is not None:
        kinds += [(f"where {first.words}", first.inside), ("where not", first.outside)]
    for quantities in ((DATA,), (ACTIVATION,), (LAYERS,), (ACTIVATION, LAYERS)):
        kinds += _alike(found, quantities)
    return Table(
        "On how many trained networks of each kind the rule of arXiv:2503.15568, in any of its"
        f" settings here, reaches an accuracy no more than {100 * AS_GOOD:g} points below that of"
        f" {HIGH} for less energy, place by place. Data, activation and layers are those that a"
        " network's name says.",
        (
            Column("kind"),
            Column("trained networks", numbers=True),
            *(Column(machine.place, numbers=True) for machine in machines),
        ),
        tuple(
            (kind, str(len(mine)), *(str(paying(mine, n)) for n in range(len(machines))))
            for kind, mine in kinds
        ),
    )


def _alike(
    found: Sequence[Trained], quantities: Sequence[str]
) -> list[tuple[str, Sequence[Trained]]]:
    """Return those that have the same of these quantities, and what that is."""
    by_value: dict[tuple[Any, ...], list[Trained]] = {}
    for one in found:
        if all(quantity in one.known for quantity in quantities):
            by_value.setdefault(tuple(one.known[each] for each in quantities), []).append(one)
    return [
        (
            ", ".join(f"{value:g} layers" if isinstance(value, float) else value for value in key),
            by_value[key],
        )
        for key in sorted(by_value)
    ]
