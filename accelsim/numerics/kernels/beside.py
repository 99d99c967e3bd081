"""What a tile keeps beside its sums: of all terms, or Σ|ŝ| alone."""

from __future__ import annotations

from numba.core import cgutils

from accelsim.numerics.kernels import vector
from accelsim.numerics.kernels.spec import CELLS
from accelsim.numerics.kernels.vector import load, store


class Notes:
    """The sums beside the sum, in memory that LLVM turns into registers."""

    def __init__(self, lane, pointer, offset):
        self.lane, self.pointer = lane, pointer
        self.offsets = [
            lane.builder.add(offset, offset.type(n * CELLS * lane.lanes)) for n in range(4)
        ]
        self.cells = []
        for place in self.offsets:
            kept = load(lane.builder, pointer, place, 64, lane.lanes)
            cell = cgutils.alloca_once(lane.builder, kept.value.type)
            lane.builder.store(kept.value, cell)
            self.cells.append(cell)

    def add(self, n, amount):
        """Add to the n-th of S, Σ|ŝ|, overflows and underflows."""
        builder = self.lane.builder
        kept = amount.like(builder.load(self.cells[n]))
        builder.store((kept + amount).value, self.cells[n])

    def rounding(self, x, grid, result, target):
        """Count an overflow or an underflow."""
        one, zero = x.constant(1.0), x.constant(0.0)
        builder = self.lane.builder
        beyond = builder.or_(grid.is_(">", target["max"]), grid.is_("<", target["lowest"]))
        beyond = builder.and_(beyond, abs(x).is_("<", float("inf")))
        self.add(2, one.where(beyond, zero))
        lost = one.where(result.is_("==", 0.0), zero).where(x.is_("!=", 0.0), zero)
        self.add(3, zero.where(beyond, lost))

    def save(self):
        """Write all to memory."""
        builder = self.lane.builder
        for place, cell in zip(self.offsets, self.cells, strict=True):
            kept = vector.Vector(builder, builder.load(cell), 64, self.lane.lanes)
            store(kept, self.pointer, place)


class RunningSum:
    """Σ|ŝ| of a block of terms in the lane's own precision, and of all blocks in binary64."""

    def __init__(self, lane, pointer, offset, like):
        self.lane, self.pointer, self.offset = lane, pointer, offset
        self.zero = like.constant(0.0)
        self.cell = cgutils.alloca_once(lane.builder, like.value.type)
        lane.builder.store(self.zero.value, self.cell)

    def add(self, amount):
        """Add to the block."""
        kept = amount.like(self.lane.builder.load(self.cell))
        self.lane.builder.store((kept + amount).value, self.cell)

    def flush(self):
        """Add the block to what memory has, and begin the next one."""
        lane, builder = self.lane, self.lane.builder
        total = load(builder, self.pointer, self.offset, 64, lane.lanes)
        block = builder.load(self.cell)
        if lane.bits != 64:
            block = builder.fpext(block, total.value.type)
        store(total + total.like(block), self.pointer, self.offset)
        builder.store(self.zero.value, self.cell)
