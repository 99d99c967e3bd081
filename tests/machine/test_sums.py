"""What folds leave behind for the next ones."""

from __future__ import annotations

import dataclasses

import pytest

from accelsim.machine.sums import moved_sum_bits, partial_sum_bits
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.trace import Detector, LayerTrace

E4M3, FP16, FP32 = (FloatFormat.parse(name) for name in ("e4m3fn", "fp16", "fp32"))
PLAIN = Accumulator(E4M3)


def trace(acc: Accumulator) -> LayerTrace:
    return LayerTrace("layer", 2, 96, 3, E4M3, FP16, acc)


@pytest.mark.parametrize(
    ("chunk", "terms", "moved"),
    [
        (16, 16, [16, 16, 16, 16, 16]),  # each fold ends a chunk
        (8, 16, [16, 16, 16, 16, 16]),
        (48, 16, [8, 8, 16, 8, 8]),  # every third does
        (32, 16, [8, 16, 8, 16, 8]),
        (96, 16, [8, 8, 8, 8, 8]),
        (24, 16, [8, 8 + 16, 16, 8, 8 + 16]),  # ends at 24, 48, 72, 96
        (10, 16, [8 + 16, 8 + 16, 8 + 16, 8 + 16, 16]),  # the fifth ends at 80
        (32, 48, [8 + 16]),
    ],
)
def test_of_chunks_the_sum_moves_that_the_fold_has_changed(
    chunk: int, terms: int, moved: list[int]
) -> None:
    chunked = trace(Accumulator(E4M3, chunk=chunk, outer=FP16))
    assert moved_sum_bits(chunked, terms, 96 // terms) == sum(moved)


@pytest.mark.parametrize("acc", [PLAIN, Accumulator("fixed8.6", order="spill", outer=FP16,
                                                    overflow="saturate")], ids=str)  # fmt: skip
@pytest.mark.parametrize("numerator", [None, FP32])
def test_other_sums_move_as_they_are(acc: Accumulator, numerator: FloatFormat | None) -> None:
    found = dataclasses.replace(trace(acc), detector=Detector("x", numerator, 0, 1))
    assert moved_sum_bits(found, 16, 6) == 5 * partial_sum_bits(found, 16)
    assert moved_sum_bits(found, 96, 1) == 0
    chunked = dataclasses.replace(found, accumulator=Accumulator(E4M3, chunk=48, outer=FP16))
    beside = 0 if numerator is None else 32
    assert moved_sum_bits(chunked, 16, 6) == 5 * beside + 4 * 8 + 16
