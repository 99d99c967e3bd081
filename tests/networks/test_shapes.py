"""Convolutions and batches as matrix products, and the networks that are shipped as shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.config import load_workload
from accelsim.errors import InputError
from accelsim.networks import BatchedGemmSpec, Conv2dSpec, Gemm, as_gemm

WORKLOADS = Path(__file__).parents[2] / "workloads"


def conv(**sizes: Any) -> Conv2dSpec:
    plain = {"height": 8, "width": 8, "channels": 4, "filters": 6}
    kernel = {"kernel_height": 3, "kernel_width": 3}
    return Conv2dSpec.model_validate({"name": "c", "kind": "conv2d"} | plain | kernel | sizes)


def outputs_by_hand(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The definition: places at which every tap of the kernel lies in the padded image."""
    image = size + 2 * padding
    taps = dilation * np.arange(kernel)
    return sum(bool((start + taps < image).all()) for start in range(0, image, stride))


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5),
    st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3),
)  # fmt: skip
def test_a_convolution_has_a_row_for_each_pixel_and_a_product_for_each_group(
    height: int, width: int, kernel_height: int, kernel_width: int,
    stride: int, padding: int, dilation: int, groups: int, batch: int,
) -> None:  # fmt: skip
    pixels = outputs_by_hand(height, kernel_height, stride, padding, dilation)
    pixels *= outputs_by_hand(width, kernel_width, stride, padding, dilation)
    layer = conv(
        height=height, width=width, kernel_height=kernel_height, kernel_width=kernel_width,
        stride=stride, padding=padding, dilation=dilation, groups=groups, batch=batch,
        channels=2 * groups, filters=3 * groups,
    )  # fmt: skip
    if pixels == 0:
        with pytest.raises(ValueError, match="expected at most the"):
            as_gemm(layer)
    else:
        kernel = kernel_height * kernel_width
        assert as_gemm(layer) == Gemm("c", batch * pixels, 2 * kernel, 3, groups)


def test_a_depthwise_convolution_is_a_column_for_each_channel() -> None:
    assert as_gemm(conv(channels=32, filters=32, groups=32, padding=1)) == Gemm("c", 64, 9, 1, 32)


def test_a_batch_is_as_many_products() -> None:
    spec = BatchedGemmSpec(name="s", kind="batched_gemm", batch=12, m=128, k=64, n=128)
    assert as_gemm(spec).macs == 12 * 128 * 64 * 128


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("groups: 3", "groups: got 3, expected a divisor of channels 4"),
        ("groups: 4", "groups: got 4, expected a divisor of filters 6"),
        (
            "dilation: 4",
            "kernel_height: got 3, which reaches over 9 pixels with dilation 4, expected at most"
            " the 8 of the padded image",
        ),
    ],
)
def test_an_impossible_convolution_is_refused(tmp_path: Path, changes: str, expected: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "name: w\nlayers:\n  - {name: c, kind: conv2d, height: 8, width: 8, channels: 4,"
        f" filters: 6, kernel_height: 3, kernel_width: 3, {changes}}}\n"
    )
    with pytest.raises(InputError) as caught:
        load_workload(path)
    assert caught.value.problems == (f"{path}:3: layers[0].{expected}",)


@pytest.mark.parametrize(
    ("name", "macs", "published", "within"),
    [
        ("resnet-50", 3_857_973_248, 3.8e9, 0.02),
        ("mobilenet-v2", 300_774_272, 300e6, 0.01),
        ("bert-base", 11_173_625_856, 22.5e9 / 2, 0.01),
        # 12·(12·768²·1024 + 2·1024²·768) + 1024·768·50257, by hand from the sizes.
        ("gpt2-small", 145_824_153_600, 145_824_153_600, 0.0),
    ],
)
def test_a_shipped_network_has_the_multiply_adds_that_were_published(
    name: str, macs: int, published: float, within: float
) -> None:
    workload = load_workload(WORKLOADS / f"{name}.yaml")
    assert workload.name == name
    total = sum(gemm.macs for gemm in workload.gemms)
    assert total == macs
    assert abs(total - published) <= within * published
