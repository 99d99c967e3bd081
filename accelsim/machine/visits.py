"""What a machine goes through: tiles of work, with their transfers, waves and flags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.mapping import WaveTime


class Part(NamedTuple):
    """Some waves of a visit, each of which takes `time`, and what follows the last of them.

    `flagged` of the outputs that the waves leave are redone. That takes the array `redo_cycles`,
    or lanes as many for every round of them. `refetch_bytes` are operands over terms of earlier
    tiles that have left the scratchpads and that redoing needs again. Lines are first put in dense
    order, for `gather_cycles`. The arrays wait for `held_cycles`, as lanes read through the same
    ports.
    """

    waves: int
    time: WaveTime
    flagged: int = 0
    refetch_bytes: int = 0
    redo_cycles: int = 0
    gather_cycles: int = 0
    held_cycles: int = 0

    @property
    def slow_wave_cycles(self) -> int:
        """Cycles for which a wave keeps the arrays."""
        cycles: int = self.time.interval + self.time.stretch
        return cycles


@dataclass(frozen=True)
class Visit:
    """One tile of work: what it loads, what it leaves, and its waves.

    In a deferred pass, `copied_bytes` of lines may be put in dense order before the waves, for
    `gather_cycles`.
    """

    load_a_bytes: int
    load_b_bytes: int
    load_c_bytes: int
    store_bytes: int
    parts: tuple[Part, ...]
    copied_bytes: int = 0
    gather_cycles: int = 0

    def with_parts(self, parts: tuple[Part, ...]) -> Visit:
        """Return the same visit, but for its waves."""
        loads = self.load_a_bytes, self.load_b_bytes, self.load_c_bytes
        return Visit(*loads, self.store_bytes, parts, self.copied_bytes, self.gather_cycles)

    @cached_property
    def loads(self) -> dict[str, int]:
        """Bytes that are fetched for each scratchpad."""
        return {"a": self.load_a_bytes, "b": self.load_b_bytes, "c": self.load_c_bytes}

    @cached_property
    def transfers(self) -> int:
        """Number of scratchpads that something is fetched for."""
        return sum(size > 0 for size in self.loads.values())

    @cached_property
    def waves(self) -> int:
        """Fillings of the arrays."""
        return sum(part.waves for part in self.parts)

    @cached_property
    def flagged(self) -> int:
        """Outputs to be done again before the visit is over."""
        return sum(part.flagged for part in self.parts)

    @cached_property
    def busy_cycles(self) -> int:
        """Cycles of the arrays if nothing ever waits."""
        return sum(part.waves * part.time.interval for part in self.parts)

    @cached_property
    def stream_cycles(self) -> int:
        """Cycles of these in which terms enter the arrays."""
        return sum(part.waves * part.time.entering for part in self.parts)

    @cached_property
    def drain_cycles(self) -> int:
        """Cycles from the end of the last wave until its outputs are complete."""
        cycles: int = self.parts[-1].time.drain
        return cycles

    @cached_property
    def overlapping_waves(self) -> int:
        """Waves that can begin while one drains."""
        drain = max(part.time.drain for part in self.parts)
        waves: int = -(-drain // min(part.time.interval for part in self.parts))
        return waves


@dataclass(frozen=True, eq=False)
class Pass:
    """Visits one after the other: `sequence` numbers the `kinds` of them, in order.

    `name` is what a timeline calls one; those of the first pass are tiles. With `stores_in_turn`
    memory stores what a visit leaves before anything that is loaded in a later round.
    """

    kinds: tuple[Visit, ...]
    sequence: NDArray[np.int32]
    name: str = "tile"
    stores_in_turn: bool = False

    @property
    def orders(self) -> tuple[Pass, ...]:
        """The orders of loads and stores to choose from: one, where no store can wait for loads."""
        shortest = min(kind.busy_cycles for kind in self.kinds)
        if self.stores_in_turn or shortest >= max(kind.drain_cycles for kind in self.kinds):
            return (self,)
        return self, replace(self, stores_in_turn=True)

    @property
    def visits(self) -> list[Visit]:
        """Every visit, in order."""
        return [self.kinds[kind] for kind in self.sequence]

    @cached_property
    def waves(self) -> int:
        """Fillings of all arrays together."""
        return self.total([kind.waves for kind in self.kinds])

    @cached_property
    def compute_cycles(self) -> int:
        """Cycles of the arrays if nothing ever waits."""
        busy = self.total([kind.busy_cycles for kind in self.kinds])
        return busy + self.kinds[int(self.sequence[-1])].drain_cycles

    @cached_property
    def stream_cycles(self) -> int:
        """Cycles of these in which terms enter the arrays."""
        return self.total([kind.stream_cycles for kind in self.kinds])

    @cached_property
    def gather_cycles(self) -> int:
        """Cycles in which lines are put in dense order."""
        return self.total(
            [
                kind.gather_cycles + sum(part.gather_cycles for part in kind.parts)
                for kind in self.kinds
            ]
        )

    def lane_cycles(self, width: int) -> int:
        """Return the cycles of all rounds of at most `width` flagged outputs of one part."""
        return self.total(
            [
                sum(-(-part.flagged // width) * part.redo_cycles for part in kind.parts)
                for kind in self.kinds
            ]
        )

    def total(self, amounts: list[int]) -> int:
        """Return the sum over all visits of what each kind of them has."""
        numbers = np.bincount(self.sequence, minlength=len(self.kinds)).tolist()
        return sum(number * amount for number, amount in zip(numbers, amounts, strict=True))
