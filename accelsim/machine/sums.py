"""How wide the sums are that a fold leaves behind."""

from __future__ import annotations

import numpy as np

from accelsim.machine.mapping import Number
from accelsim.numerics import Accumulator
from accelsim.trace import LayerTrace


def partial_sum_bits(trace: LayerTrace, terms: Number, dual: bool = False) -> Number:
    """Return the width of what a fold of `terms` leaves behind for each output.

    A detector that accumulates the numerator of κ leaves that as well; so do `dual` accumulators
    theirs, of which a mask that was known before leaves one in the place of the wider.
    """
    detector, again = trace.detector, trace.recompute_accumulator
    bits = _sum_bits(trace.accumulator, terms)
    if dual and again is not None:
        other = _sum_bits(again, terms)
        if not trace.static:
            bits = bits + other
        elif trace.recomputed_outputs:
            bits = np.maximum(bits, other)
    if detector is not None and detector.numerator_format is not None:
        bits = bits + detector.numerator_format.bits
    return bits


def moved_sum_bits(trace: LayerTrace, terms: int, folds: int, dual: bool = False) -> int:
    """Return the width of all that the folds of an output, of `terms` each, leave behind for the
    next one. Of chunks, the inner sum while one goes on, and the outer one where one has ended: in
    other folds that stays where it is.
    """
    acc, between = trace.accumulator, folds - 1
    total = between * int(partial_sum_bits(trace, terms, dual))
    if acc.chunk is None or (dual and trace.recompute_accumulator is not None):
        return total
    done = np.arange(1, folds) * terms
    goes_on, ended = done % acc.chunk != 0, done // acc.chunk > (done - terms) // acc.chunk
    moved = acc.format.bits * int(goes_on.sum()) + acc.kept_bits * int(ended.sum())
    return total - between * int(_sum_bits(acc, terms)) + moved


def _sum_bits(acc: Accumulator, terms: Number) -> Number:
    """Return the width of an accumulator's sum after `terms`: of a chunked one the outer sum, and
    the inner one too unless chunks end with folds; of one that spills both, and of
    a compensated one the compensation too.
    """
    bits: Number = acc.kept_bits
    if acc.order == "spill":
        bits = bits + acc.format.bits
    if acc.chunk is not None:
        bits = bits + np.where(terms % acc.chunk, acc.format.bits, 0)
    return bits
