"""What may be given to an accumulator, and what is said of everything else."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cases import same, whole

from accelsim.numerics import Accumulator, conv2d, dot, matmul, matmul_at, matmul_sums, round_to

FP16 = Accumulator("fp16")
STOCHASTIC = Accumulator("e5m2", "stochastic", seed=3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0], [1.0, 2.0]], "has rows of different lengths, expected them to be equal"),
        ([["1"]], "holds <U1, expected real numbers"),
        ([[None]], "holds object, expected real numbers"),
        (np.zeros((1, 1), "M8[s]"), "holds datetime64[s], expected real numbers"),
        (np.zeros((1, 1), "V4"), "holds |V4, expected real numbers"),
        (np.zeros((1, 1), [("re", "f4")]), "holds [('re', '<f4')], expected real numbers"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused_by_name(x: Any, message: str) -> None:
    kernels = np.ones((1, 1, 1, 1))
    for name, call in (
        ("a", lambda: matmul(x, [[1.0]], FP16)),
        ("b", lambda: matmul_sums([[1.0]], x, FP16)),
        ("b", lambda: matmul_at([[1.0]], x, [0], [0], FP16)),
        ("rows", lambda: matmul_at([[1.0]], [[1.0]], x, [0], FP16)),
        ("c", lambda: dot([[1.0]], [[1.0]], FP16, x)),
        ("x", lambda: conv2d(x, kernels, FP16)),
        ("weights", lambda: conv2d(kernels, x, FP16)),
        ("x", lambda: round_to("fp16", x)),
    ):
        with pytest.raises(ValueError, match=whole(f"{name} {message}")):
            call()


def test_an_accumulator_is_not_its_name() -> None:
    with pytest.raises(ValueError, match=whole("acc is 'fp16', expected an Accumulator")):
        matmul([[1.0]], [[1.0]], "fp16")  # type: ignore[arg-type]


def test_the_arguments_of_a_convolution_have_their_own_names() -> None:
    x, message = np.full((1, 1, 2, 2), 0.1), "0.1, which float32 does not: round it first"
    with pytest.raises(ValueError, match=f"^x holds {message}"):
        conv2d(x, np.ones((1, 1, 1, 1)), FP16)
    with pytest.raises(ValueError, match=f"^weights holds {message}"):
        conv2d(np.ones((1, 1, 2, 2)), x, FP16)


def test_an_integer_that_float32_does_not_hold_is_refused_and_not_changed() -> None:
    acc = Accumulator("int32", overflow="wrap", operands="int32")
    assert matmul([[2**24]], [[1]], acc).tolist() == [[2**24]]
    message = (
        r"^a holds 16777217(\.0)?, which float32 does not: round it first, with accelsim\.round_to$"
    )
    for round_operands in (False, True):
        with pytest.raises(ValueError, match=message):
            matmul([[2**24 + 1]], [[1]], acc, round_operands=round_operands)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("operands", ["e2m1fn", "e2m3fn", "int8", "fixed8.4"])
def test_operands_of_a_format_that_is_finite_are_finite(operands: str, value: float) -> None:
    acc = Accumulator("fp32", operands=operands)
    message = f"a holds infinities or NaNs, allowed are finite numbers: {operands} has neither"
    for round_operands in (False, True):
        with pytest.raises(ValueError, match=whole(message)):
            matmul([[value]], [[1.0]], acc, round_operands=round_operands)


def test_rounded_operands_beyond_the_range_of_their_format() -> None:
    for operands, expected in (
        ("e2m1fn", 6.0),
        ("int8", 127.0),
        ("e4m3fn", np.nan),
        ("e5m2", np.inf),
    ):
        acc = Accumulator("fp32", operands=operands)
        got = matmul([[1e9]], [[1.0]], acc, round_operands=True)
        assert same(got, np.array([[expected]])), operands


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64, np.longdouble])
def test_a_value_is_found_wherever_it_hides(dtype: Any) -> None:
    # The check works piece by piece: the last element of a later piece.
    x = np.ones((3, 50_000), dtype)
    assert matmul(x[:, -4:], np.ones((4, 1)), FP16).tolist() == [[4.0]] * 3
    x[-1, -1] = 2**24 + 1
    for layout in (x, np.asfortranarray(x)):
        with pytest.raises(ValueError, match=r"^a holds 16777217(\.0)?, which float32 does not"):
            matmul(layout, np.ones((50_000, 1)), FP16)


def test_every_kind_of_number_is_taken() -> None:
    expected = matmul(np.eye(3) * 3, np.eye(3), FP16)
    for dtype in (
        *(np.bool_, np.int8, np.uint16, np.int64, np.float16, np.longdouble),
        *(ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.float4_e2m1fn),
    ):
        a = np.eye(3).astype(dtype) if dtype is np.bool_ else (np.eye(3) * 3).astype(dtype)
        got = matmul(a, np.eye(3, dtype=np.float32), FP16)
        assert same(got, expected / 3 if dtype is np.bool_ else expected), dtype


def test_batches_broadcast_in_every_dimension_and_draw_as_one_tall_matrix() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 1, 3, 40)).astype(np.float32)
    b = rng.standard_normal((1, 4, 40, 5)).astype(np.float32)
    got = matmul(a, b, STOCHASTIC)
    assert got.shape == (2, 4, 3, 5)
    tall = matmul(np.broadcast_to(a, (2, 4, 3, 40)).reshape(24, 40), b[0, 1], STOCHASTIC)
    assert same(got[:, 1], tall.reshape(2, 4, 3, 5)[:, 1])
    assert same(matmul_sums(a, b, STOCHASTIC).values, got)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (3, 2, 1)])
def test_a_convolution_is_the_product_of_weights_and_patches(
    kernel: int, stride: int, padding: int
) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 7, 5)).astype(np.float32)
    weights = rng.standard_normal((4, 3, kernel, kernel)).astype(np.float32)
    got = conv2d(x, weights, STOCHASTIC, stride=stride, padding=padding)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = got.shape[2:]
    assert (height, width) == ((7 + 2 * padding - kernel) // stride + 1, -(-5 // stride))
    patches = [
        padded[:, :, h * stride : h * stride + kernel, w * stride : w * stride + kernel]
        for h in range(height)
        for w in range(width)
    ]
    columns = np.stack([patch.reshape(2, -1) for patch in patches], axis=-1)
    product = matmul(weights.reshape(4, -1), columns, STOCHASTIC)
    assert same(got, product.reshape(2, 4, height, width))
