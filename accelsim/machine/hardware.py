"""What a machine is: the keys of a hardware file, validated."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DramType = Literal["ddr3", "lpddr4", "hbm2"]
Count = Annotated[int, Field(ge=1, le=2**40)]
# Bounds far outside any machine keep every product of two quantities finite.
Quantity = Annotated[float, Field(ge=1e-9, le=1e15, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0.0, le=1e15, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Array(_Part):
    """A systolic array of rows × cols multiply-accumulate units.

    The dataflow is output (`os`), weight (`ws`) or input (`is`) stationary, after what a PE keeps:
    an output, an element of the right operand, or one of the left. With `overlap_folds` a fold
    enters while the one before it drains.
    """

    rows: Count
    cols: Count
    dataflow: Literal["os", "ws", "is"]
    overlap_folds: bool


class Dram(_Part):
    """Main memory: one channel, in order; reads arrive `latency_ns` after their transfer."""

    type: DramType = "lpddr4"
    bandwidth_gbytes_per_s: Quantity = 25.6
    latency_ns: Duration = 100.0


class Scratchpad(_Part):
    """A memory on the chip, used as two halves: one is filled while the other is read."""

    capacity_bytes: Count = 32 * 2**20

    @property
    def buffer_bytes(self) -> int:
        """Size of one half."""
        return self.capacity_bytes // 2


class Scratchpads(_Part):
    """Scratchpads for the left operand (a), the right operand (b), and the outputs (c)."""

    a: Scratchpad = Scratchpad()
    b: Scratchpad = Scratchpad()
    c: Scratchpad = Scratchpad()


class Lanes(_Part):
    """Separate wide lanes: each recomputes one output at one MAC a cycle, beside the array.

    Flagged outputs wait in a queue of `queue_capacity` entries; when it is full the array stalls.
    The lanes go in lockstep through rounds of outputs of one fold, row by row.
    """

    unit: Literal["lanes"]
    lanes: Count
    queue_capacity: Count

    @property
    def width(self) -> int:
        """Outputs in a full round."""
        return min(self.lanes, self.queue_capacity)


class Rerun(_Part):
    """The array again, in high precision: a fold's time, with only the flagged PEs active."""

    unit: Literal["array"]


class VectorUnit(_Part):
    """A unit beside the array for all that is not a matrix product.

    It does fp32 operations, so many a cycle; without a number, as many as the array has columns.
    """

    operations_per_cycle: Count | None = None


class Hardware(_Part):
    """A machine. The parts after `array` have defaults, which a report prints."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    clock_mhz: Quantity
    array: Array
    dram: Dram = Dram()
    scratchpads: Scratchpads = Scratchpads()
    recompute: Annotated[Lanes | Rerun, Field(discriminator="unit")] = Rerun(unit="array")
    vector: VectorUnit = VectorUnit()
    energy_table: Annotated[str, Field(min_length=1)] = "45nm"

    @property
    def vector_operations_per_cycle(self) -> int:
        """Operations that the vector unit does in a cycle."""
        return self.vector.operations_per_cycle or self.array.cols

    def transfer_cycles(self, size_bytes: int) -> int:
        """Cycles that `size_bytes` occupy the DRAM channel."""
        return math.ceil(size_bytes * self.clock_mhz / (self.dram.bandwidth_gbytes_per_s * 1e3))

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
        unit = self.recompute
        if isinstance(unit, Lanes):
            redo = f"{unit.lanes} lanes behind a queue of {unit.queue_capacity}"
        else:
            redo = "the array again"
        parts = {
            "clock_mhz": f"{self.clock_mhz:g} MHz",
            "array": f"{array.rows}x{array.cols} array, {array.dataflow}, {folds} folds",
            "dram": f"{dram.type} at {dram.bandwidth_gbytes_per_s:g} GB/s,"
            f" {dram.latency_ns:g} ns away",
            "scratchpads": f"scratchpads of {pads.a.capacity_bytes}, {pads.b.capacity_bytes} and"
            f" {pads.c.capacity_bytes} bytes",
            "recompute": f"recomputation by {redo}",
            "vector": f"{self.vector_operations_per_cycle} vector operations a cycle",
            "energy_table": f"energy table {self.energy_table}",
        }
        given = self.model_fields_set
        return f"{self.name}: " + ", ".join(
            text if key in given else f"{text} (default)" for key, text in parts.items()
        )
