"""Jumps over visits that repeat: where the machine is in a state it has been in before.

If nothing tells two moments apart but the time and how many visits have passed, and the visits to
come are those that came after the first, then the same happens again, in the same cycles, for as
long as the visits stay the same. Those rounds need not be simulated.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOK_AHEAD = 3
"""Visits, from the one in the array on, that a state may already depend on."""


@dataclass(frozen=True)
class Moment:
    """What has passed at a checkpoint: visits, cycles, and stall cycles by cause."""

    visits: int
    cycles: int
    stalls: tuple[int, ...]


@dataclass(frozen=True)
class Jump:
    """What a number of rounds takes, that need not be simulated."""

    visits: int
    cycles: int
    stalls: tuple[int, ...]


class SteadyState:
    """Remembers states, and finds how far the visits repeat from one that returns."""

    def __init__(self, kinds: NDArray[np.int32]) -> None:
        self.kinds = kinds
        self.seen: dict[Hashable, Moment] = {}
        self.often = (np.bincount(kinds) > 1).tolist()

    def may_return(self, visit: int) -> bool:
        """Say whether other visits are of the same kind: else no state of this one returns."""
        often: bool = self.often[self.kinds[visit]]
        return often

    def forget(self) -> None:
        """Start anew: what happens now is not to be jumped over."""
        self.seen.clear()

    def visit(self, state: Hashable, now: Moment) -> Jump | None:
        """Note `state`; return the jump that it allows if it has been met before."""
        before = self.seen.get(state)
        self.seen[state] = now
        if before is None:
            return None
        period = now.visits - before.visits
        rounds = self._repeats(now.visits, period)
        if rounds == 0:
            return None
        jump = Jump(
            rounds * period,
            rounds * (now.cycles - before.cycles),
            tuple(
                rounds * (late - early)
                for late, early in zip(now.stalls, before.stalls, strict=True)
            ),
        )
        # After the jump it is the same state, later.
        self.seen[state] = Moment(
            now.visits + jump.visits,
            now.cycles + jump.cycles,
            tuple(stall + more for stall, more in zip(now.stalls, jump.stalls, strict=True)),
        )
        return jump

    def _repeats(self, start: int, period: int) -> int:
        """Return how often the `period` visits before `start` follow it, with some left over."""
        if period == 0:
            return 0
        size, same = 64, 0
        while start + same < len(self.kinds):
            ahead = self.kinds[start + same : start + same + size]
            behind = self.kinds[start + same - period :][: len(ahead)]
            differ = np.flatnonzero(ahead != behind)
            if differ.size:
                same += int(differ[0])
                break
            same += len(ahead)
            size *= 2
        return max(0, same - LOOK_AHEAD) // period
