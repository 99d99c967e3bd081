"""What is known of accumulated rounding errors, as statistics of seeded data.

Each test draws once, with a fixed seed. Its limits are at least five standard errors of what it
measures away from the law (the standard errors are estimated from the sample), so that a right
kernel fails with a probability below 10^-6 a test if the seed is changed.
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import same
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, conv2d, dot, matmul, round_to
from accelsim.numerics.formats import FloatFormat

U = FloatFormat.parse("e8m7").unit_roundoff


def relative_errors(acc: Accumulator, a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (sum - exact sum) / (u·Σ|terms|) of every row."""
    got = dot(a, np.ones_like(a), acc)
    errors: NDArray[np.float64] = (got - a.sum(axis=1)) / (U * abs(a).sum(axis=1))
    return errors


@pytest.mark.parametrize("n", [64, 512, 4096])
def test_zero_mean_data_err_by_0_37_to_0_40_units_whatever_their_number(n: int) -> None:
    rng = np.random.default_rng(n)
    errors = relative_errors(
        Accumulator("bf16"), rng.standard_normal((4000, n)).astype(np.float32).astype(np.float64)
    )
    rms = np.sqrt((errors**2).mean())
    standard_error = (errors**2).std() / np.sqrt(errors.size) / (2 * rms)
    assert 0.37 - 5 * standard_error < rms < 0.40 + 5 * standard_error


@pytest.mark.parametrize(("rounding", "law"), [("nearest-even", -176.0), ("toward-zero", -216.0)])
def test_data_of_one_sign_stagnate(rounding: str, law: float) -> None:
    rng = np.random.default_rng(1)
    terms = abs(rng.standard_normal((300, 4096))).astype(np.float32).astype(np.float64)
    errors = relative_errors(Accumulator("bf16", rounding), terms)
    standard_error = errors.std() / np.sqrt(errors.size)
    assert abs(errors.mean() - law) < 0.01 * abs(law) + 5 * standard_error


def test_stochastic_rounding_is_unbiased_and_errs_with_the_root_of_the_number() -> None:
    spread = {}
    for n in (64, 1024):  # n·u < 1: beyond that most terms are smaller than a spacing
        rng = np.random.default_rng(2)
        terms = rng.random((2000, n)).astype(np.float32).astype(np.float64)
        errors = relative_errors(Accumulator("e8m12", "stochastic", seed=9), terms)
        standard_error = errors.std() / np.sqrt(errors.size)
        assert abs(errors.mean()) < 5 * standard_error
        spread[n] = errors.std()
    # √(1024 / 64) = 4; a standard deviation of 2000 numbers is known to 1.6 %.
    assert 4 * (1 - 0.12) < spread[1024] / spread[64] < 4 * (1 + 0.12)


def test_few_random_bits_are_biased_toward_zero_by_half_their_unit() -> None:
    # The magnitude is cut to r bits first: by 2^-(r+1) of a spacing, on average.
    x = 1 + (np.arange(100_000) + 0.5) / 100_000 * 2.0**-7
    for bits in (1, 3):
        rounded = round_to("bf16", x, "stochastic", random_bits=bits, seed=4)
        bias = (rounded - x) * 2**7
        assert abs(bias.mean() + 2.0 ** -(bits + 1)) < 5 * bias.std() / np.sqrt(x.size)


def test_every_value_of_a_draw_is_as_frequent() -> None:
    # 4 random bits: 1 + k/16 of a spacing is rounded up k times of 16.
    for k in range(17):
        x = np.full(40_000, 1 + k / 16 * 2.0**-7)
        up = (round_to("bf16", x, "stochastic", random_bits=4, seed=k) > 1).mean()
        assert abs(up - k / 16) <= 5 * np.sqrt(k / 16 * (1 - k / 16) / x.size)


def test_draws_of_neighbours_are_not_correlated() -> None:
    a, b = np.full((256, 64), 0.5), np.full((64, 256), 2.0**-8)
    errors = matmul(a, b, Accumulator("e8m2", "stochastic", seed=1)).astype(np.float64)
    errors -= errors.mean()
    limit = 5 / np.sqrt(errors.size)
    for moved in (np.roll(errors, 1, 0), np.roll(errors, 1, 1), errors.T):
        inside = ~np.eye(256, dtype=bool)
        assert abs(np.corrcoef(errors[inside], moved[inside])[0, 1]) < limit * 1.1


def test_chunks_err_less_than_one_long_sum() -> None:
    rng = np.random.default_rng(3)
    terms = rng.random((200, 4096)).astype(np.float32).astype(np.float64)
    long = abs(relative_errors(Accumulator("bf16"), terms)).mean()
    chunked = relative_errors(Accumulator("bf16", chunk=64, outer="bf16"), terms)
    assert abs(chunked).mean() < long / 20


def test_convolution_is_the_loop_over_the_kernel() -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-4, 5, (2, 3, 7, 6)).astype(np.float32)
    w = rng.integers(-4, 5, (4, 3, 3, 2)).astype(np.float32)
    got = conv2d(x, w, Accumulator("fp16"), stride=2, padding=1)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    assert got.shape == (2, 4, 4, 4)
    for image, out, i, j in np.ndindex(*got.shape):
        patch = padded[image, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2]
        assert got[image, out, i, j] == (patch * w[out]).sum()
    low = conv2d(x, w, Accumulator("e4m3fn", overflow="saturate"), stride=2, padding=1)
    patch = padded[1, :, 2:5, 4:6].reshape(1, -1)
    one = dot(patch, w[3].reshape(1, -1), Accumulator("e4m3fn", overflow="saturate"))
    assert same(low[1, 3, 1, 2], one[0])


def test_convolution_refuses_shapes_that_do_not_fit() -> None:
    acc = Accumulator("fp16")
    with pytest.raises(ValueError, match=r"^x and weights have shapes \(2, 3, 4\) and"):
        conv2d(np.ones((2, 3, 4)), np.ones((1, 3, 2, 2)), acc)
    with pytest.raises(
        ValueError, match=r"^weights have a kernel of \(5, 1\), allowed is \(1, 1\)"
    ):
        conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 5, 1)), acc)
