"""What a machine is: the keys of a hardware file, validated."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from accelsim.numerics import Accumulator
from accelsim.numerics.formats import parse_format
from accelsim.schema import Strict

DramType = Literal["ddr3", "lpddr4", "gddr6", "hbm2", "hbm3"]
LoopOrder = Literal["mnk", "mkn", "nmk", "nkm", "kmn", "knm"]
MAX_CYCLES_PER_MAC = 4096
Count = Annotated[int, Field(ge=1, le=2**40)]
# Bounds far outside any machine keep every product of two quantities finite.
Quantity = Annotated[float, Field(ge=1e-9, le=1e15, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0.0, le=1e15, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=1e-3, le=1e15, allow_inf_nan=False)]
Cycles = Annotated[int, Field(ge=1, le=MAX_CYCLES_PER_MAC)]


@lru_cache
def _as_written(number: float) -> Fraction:
    """Return the decimal that a file says, where a float is only next to it."""
    return Fraction(repr(number))


@lru_cache
def _bytes_per_cycle(clock_mhz: float, gbytes_per_s: float) -> Fraction:
    return _as_written(gbytes_per_s) * 1000 / _as_written(clock_mhz)


def _whole_cycles(size_bytes: Any, bytes_per_cycle: Fraction) -> Any:
    """Return ⌈size / rate⌉ exactly, of an integer or of an array of them."""
    cycles, size = bytes_per_cycle.denominator, bytes_per_cycle.numerator
    if not isinstance(size_bytes, np.ndarray):
        return -(-int(size_bytes) * cycles // size)
    if int(size_bytes.max(initial=0)) * cycles < 2**63 and size < 2**63:
        return -(-size_bytes * cycles // size)
    found = [-(-int(one) * cycles // size) for one in size_bytes.flat]
    return np.array(found, np.int64).reshape(size_bytes.shape)


def _given(value: object) -> object:
    if value is None:
        raise ValueError("expected a value; without one, leave the key out")
    return value


class CyclesByFormat(dict[str, int]):
    """Cycles by format: a part of a machine, which must be hashable as a whole."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))


def _cycles_by_format(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping from formats to cycles")
    cycles = CyclesByFormat()
    for name, number in value.items():
        known = parse_format(name) if isinstance(name, str) else None
        if known is None:
            raise ValueError(f"{name!r} is not the name of a format")
        if type(number) is not int or not 1 <= number <= MAX_CYCLES_PER_MAC:
            raise ValueError(
                f"{name} takes {number!r}, expected an integer from 1 to {MAX_CYCLES_PER_MAC}"
            )
        if cycles.setdefault(known.name, number) != number:
            raise ValueError(f"{name} is given twice, under two names")
    return cycles


def _formats(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"got the string {value!r}, expected a list of formats")
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("expected a list of formats")
    known = []
    for name in value:
        found = parse_format(name) if isinstance(name, str) else None
        if found is None:
            raise ValueError(f"{name!r} is not the name of a format")
        if found.name in known:
            raise ValueError(f"{name} is given twice")
        known.append(found.name)
    return tuple(known)


Optional = BeforeValidator(_given)
"""For a key that may be left out, but not left empty."""


class Array(Strict):
    """`count` systolic arrays of rows × cols multiply-accumulate units, on the same scratchpads.

    The dataflow is output (`os`), weight (`ws`) or input (`is`) stationary, after what a PE keeps:
    an output, an element of the right operand, or one of the left. With `overlap_folds` a fold
    enters while the one before it drains. A PE begins a MAC every `cycles_per_mac` cycles (of the
    accumulator's format; 1 if it is not listed), and `adder_latency_cycles` pass before its sum
    can be added to.
    """

    rows: Count
    cols: Count
    dataflow: Literal["os", "ws", "is"]
    overlap_folds: bool
    count: Count = 1
    cycles_per_mac: Annotated[
        dict[str, int], BeforeValidator(_cycles_by_format), AfterValidator(CyclesByFormat)
    ] = Field(default_factory=CyclesByFormat)  # a schema can hold no default of this kind
    adder_latency_cycles: Cycles = 1

    @property
    def macs_per_cycle(self) -> int:
        """Peak rate, of a format that takes one cycle a MAC."""
        return self.rows * self.cols * self.count

    def mac_cycles(self, *accumulators: Accumulator) -> int:
        """Return the cycles from one MAC of a PE to the next, in the slowest of the accumulators.

        A term that takes several additions takes them on the one adder, one after the other.
        """
        return max(
            self.cycles_per_mac.get(acc.format.name, 1) * acc.additions_per_term
            for acc in accumulators
        )


class Dram(Strict):
    """Main memory: one channel, in order; reads arrive `latency_ns` after their transfer."""

    type: DramType = "lpddr4"
    bandwidth_gbytes_per_s: Quantity = 25.6
    latency_ns: Duration = 100.0
    capacity_bytes: Annotated[Count | None, Optional] = None


class Scratchpad(Strict):
    """A memory on the chip; the arrays read and write at most `bandwidth_bytes_per_cycle`.

    Double buffered, it has room for one tile more than it keeps, which is moved from or to DRAM
    while another is in use. Filling it from DRAM goes through a port of its own.
    """

    capacity_bytes: Count = 32 * 2**20
    bandwidth_bytes_per_cycle: Annotated[Rate | None, Optional] = None
    double_buffered: bool = True

    @property
    def depth(self) -> int:
        """Tiles that can be under way at once: one in use, and one that is moved meanwhile."""
        return 2 if self.double_buffered else 1

    def port_cycles(self, size_bytes: Any) -> Any:
        """Return the cycles in which so many bytes are read or written, a number or an array."""
        rate = self.bandwidth_bytes_per_cycle
        return 0 if rate is None else _whole_cycles(size_bytes, _as_written(rate))


class Scratchpads(Strict):
    """Scratchpads for the left operand (a), the right operand (b), and the outputs (c)."""

    a: Scratchpad = Scratchpad()
    b: Scratchpad = Scratchpad()
    c: Scratchpad = Scratchpad()


class GivenTiling(Strict):
    """Sizes of a scratchpad tile, and the order of the loops over tiles, outermost first.

    What is left out is searched for. A size beyond a layer's own is cut to it.
    """

    m: Annotated[Count | None, Optional] = None
    k: Annotated[Count | None, Optional] = None
    n: Annotated[Count | None, Optional] = None
    order: Annotated[LoopOrder | None, Optional] = None


AccumulatorFormats = Annotated[tuple[str, ...] | None, BeforeValidator(_formats)]
"""The formats that a unit has accumulators of; without the key, it has any."""
Schedule = Literal["inline", "deferred"]
"""Outputs are redone while their operands are in the scratchpads, or at the end of the layer."""


class Lanes(Strict):
    """Separate wide lanes: each recomputes one output at one MAC a cycle, beside the array.

    Flagged outputs wait in a queue of `queue_capacity` entries; when it is full the array stalls.
    The lanes go in lockstep through rounds of outputs that drained together, row by row, and a
    round is taken from the queue at once, so that a queue of fewer entries than lanes keeps lanes
    idle. Where recomputation is deferred there is a list in memory, and no queue.
    """

    unit: Literal["lanes"]
    lanes: Count
    queue_capacity: Count
    granularity: Literal["element"] = "element"
    schedule: Schedule = "inline"
    formats: AccumulatorFormats = None

    @property
    def width(self) -> int:
        """Outputs in a full round."""
        if self.schedule == "deferred":
            return self.lanes
        return min(self.lanes, self.queue_capacity)

    def __str__(self) -> str:
        if self.schedule == "deferred":
            return f"{self.width} lanes, deferred"
        return f"{self.lanes} lanes behind a queue of {self.queue_capacity}"


class Rerun(Strict):
    """The array again, in high precision.

    `granularity` says what is redone where an output is flagged: the wave, with only the flagged
    PEs active (`element`) or all of them (`tile`); or the lines (`row`s or `column`s) of a unit
    that hold one, which a copy engine first packs densely, `gather_bytes_per_cycle` at a time.
    """

    unit: Literal["array"]
    granularity: Literal["element", "tile", "row", "column"] = "element"
    schedule: Schedule = "inline"
    gather_bytes_per_cycle: Annotated[Rate | None, Optional] = None
    formats: AccumulatorFormats = None

    @property
    def packs(self) -> bool:
        """Say whether lines are packed before they are redone."""
        return self.granularity in ("row", "column")

    @model_validator(mode="after")
    def _gathers(self) -> Rerun:
        rate = self.gather_bytes_per_cycle
        if self.packs and rate is None:
            raise ValueError(f"expected gather_bytes_per_cycle with granularity {self.granularity}")
        if not self.packs and rate is not None:
            raise ValueError(
                "expected granularity row or column with gather_bytes_per_cycle, not"
                f" {self.granularity}"
            )
        return self

    def __str__(self) -> str:
        how = {
            "element": "the array again",
            "tile": "the array again, whole waves",
            "row": f"the array again, rows gathered at {self.gather_bytes_per_cycle} B/cycle",
            "column": f"the array again, columns gathered at {self.gather_bytes_per_cycle} B/cycle",
        }[self.granularity]
        return f"{how}, deferred" if self.schedule == "deferred" else how


class Dual(Strict):
    """Both accumulators in every PE, side by side: nothing is ever done again."""

    unit: Literal["dual"]
    formats: AccumulatorFormats = None

    def __str__(self) -> str:
        return "two accumulators in every PE"


FUNCTION_BYTES = 4
"""Of a value of a function in a table: fp32."""


class VectorUnit(Strict):
    """A unit beside the array for all that is not a matrix product.

    It does fp32 operations, so many a cycle; without a number, as many as the array has columns.
    Functions such as tanh are polynomials, or values from a table that each of its lanes has, of
    `table_entries` in fp32.
    """

    operations_per_cycle: Count | None = None
    functions: Literal["polynomial", "table"] = "polynomial"
    table_entries: Annotated[int, Field(ge=2, le=2**24)] = 256

    @property
    def tables(self) -> bool:
        """Whether functions are taken from tables."""
        return self.functions == "table"

    @property
    def table_bytes(self) -> int:
        """Size of one of its tables."""
        return self.table_entries * FUNCTION_BYTES


class Hardware(Strict):
    """A machine. The parts after `array` have defaults, which a report prints."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    clock_mhz: Quantity
    array: Array
    dram: Dram = Dram()
    scratchpads: Scratchpads = Scratchpads()
    tiling: GivenTiling = GivenTiling()
    recompute: Annotated[Lanes | Rerun | Dual, Field(discriminator="unit")] = Rerun(unit="array")
    vector: VectorUnit = VectorUnit()
    energy_table: Annotated[str, Field(min_length=1)] = "45nm"

    @property
    def vector_operations_per_cycle(self) -> int:
        """Operations that the vector unit does in a cycle."""
        return self.vector.operations_per_cycle or self.array.cols

    @property
    def defers(self) -> bool:
        """Say whether flagged outputs are redone at the end of their layer."""
        unit = self.recompute
        return not isinstance(unit, Dual) and unit.schedule == "deferred"

    @property
    def cycles_per_byte(self) -> float:
        """Cycles that a byte occupies the DRAM channel."""
        return self.clock_mhz / (self.dram.bandwidth_gbytes_per_s * 1e3)

    def transfer_cycles(self, size_bytes: int) -> int:
        """Cycles that `size_bytes` occupy the DRAM channel."""
        mhz, gbytes = self.clock_mhz, self.dram.bandwidth_gbytes_per_s
        cycles: int = _whole_cycles(size_bytes, _bytes_per_cycle(mhz, gbytes))
        return cycles

    @property
    def dram_latency_cycles(self) -> int:
        """Cycles between the end of a read on the channel and its arrival."""
        return math.ceil(self.dram.latency_ns * self.clock_mhz / 1e3)

    def seconds(self, cycles: int) -> float:
        """Time of a number of cycles."""
        return cycles / (self.clock_mhz * 1e6)

    def __str__(self) -> str:
        array, dram, pads = self.array, self.dram, self.scratchpads
        folds = "overlapping" if array.overlap_folds else "separate"
        arrays = "array" if array.count == 1 else f"arrays times {array.count}"
        parts = {
            "clock_mhz": f"{self.clock_mhz:g} MHz",
            "array": f"{array.rows}x{array.cols} {arrays}, {array.dataflow}, {folds} folds",
            "dram": f"{dram.type} at {dram.bandwidth_gbytes_per_s:g} GB/s,"
            f" {dram.latency_ns:g} ns away",
            "scratchpads": f"scratchpads of {pads.a.capacity_bytes}, {pads.b.capacity_bytes} and"
            f" {pads.c.capacity_bytes} bytes",
            "recompute": f"recomputation by {self.recompute}",
            "vector": f"{self.vector_operations_per_cycle} vector operations a cycle"
            + (f", functions from tables of {self.vector.table_entries}" * self.vector.tables),
            "energy_table": f"energy table {self.energy_table}",
        }
        given = self.model_fields_set
        return f"{self.name}: " + ", ".join(
            text if key in given else f"{text} (default)" for key, text in parts.items()
        )
