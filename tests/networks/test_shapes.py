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
from accelsim.networks import (
    BY_TABLE,
    FUNCTIONS,
    BatchedGemmSpec,
    Conv2dSpec,
    Gemm,
    Operations,
    VectorWork,
    Workload,
    as_gemm,
)

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
        # torchvision's vit_b_16: 17.56 GFLOPS, one a multiply-add.
        ("vit-b-16", 17_563_828_224, 17.56e9, 0.0003),
        # 66e6 parameters, less those of the embedding and the biases, at each of 35 words.
        ("lstm-ptb-large", 1_785_000_000, 35 * (66e6 - 10_000 * 1500), 0.01),
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
    assert f"{macs:,} multiply-adds" in comment_of(name)


def comment_of(name: str) -> str:
    """The comment at the top of a workload file, on one line."""
    lines = (WORKLOADS / f"{name}.yaml").read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))


def test_every_network_without_weights_says_how_much_it_multiplies() -> None:
    for path in sorted(WORKLOADS.glob("*.yaml")):
        workload = load_workload(path)
        if workload.network is None:
            macs = sum(gemm.macs for gemm in workload.gemms)
            assert f"{macs:,} multiply-adds" in comment_of(path.stem)


@pytest.mark.parametrize(
    ("name", "kind", "layers", "outputs"),
    [
        ("resnet-50", "elementwise", 16 + 2, None),
        ("resnet-50", "softmax", 1, 1000),
        ("mobilenet-v2", "elementwise", 10 + 1, None),
        ("bert-base", "softmax", 12, 12 * 12 * 128 * 128),
        ("bert-base", "normalization", 24, 24 * 128 * 768),
        ("bert-base", "activation", 12, 12 * 128 * 3072),
        ("gpt2-small", "softmax", 12, 12 * 12 * 1024 * 1024),
        ("gpt2-small", "normalization", 25, 25 * 1024 * 768),
        ("vit-b-16", "softmax", 12, 12 * 12 * 197 * 197),
        ("vit-b-16", "normalization", 25, 25 * 197 * 768),
        ("vit-b-16", "elementwise", 25, 25 * 197 * 768),
        ("lstm-ptb-large", "gates", 2, 2 * 35 * 2 * 1500),
    ],
)
def test_a_shipped_network_has_its_vector_work(
    name: str, kind: str, layers: int, outputs: int | None
) -> None:
    shapes = load_workload(WORKLOADS / f"{name}.yaml").shapes
    found = [shape for shape in shapes if isinstance(shape, VectorWork) and shape.kind == kind]
    assert len(found) == layers
    assert outputs is None or sum(work.outputs for work in found) == outputs


HEADER = "name: w\nlayers:\n  - {name: p, kind: gemm, m: 4, k: 5, n: 6}\n"


def load(folder: Path, *layers: str) -> Workload:
    path = folder / "w.yaml"
    path.write_text(HEADER + "".join(f"  - {{name: v{i}, {x}}}\n" for i, x in enumerate(layers)))
    return load_workload(path)


@pytest.mark.parametrize(
    ("cell", "gates", "state", "products", "sums", "functions"),
    [
        # The gates' functions; what is added and multiplied beside them, from the formulas.
        ("lstm", 4, 2, 3, 5, {"sigmoid": 3, "tanh": 2}),
        ("gru", 3, 1, 2, 5, {"sigmoid": 2, "tanh": 1}),
        ("rnn", 1, 1, 0, 1, {"tanh": 1}),
    ],
)
def test_a_recurrent_layer_is_a_product_with_all_inputs_and_one_and_gates_at_every_step(
    tmp_path: Path, cell: str, gates: int, state: int, products: int, sums: int,
    functions: dict[str, int],
) -> None:  # fmt: skip
    spec = f"kind: {cell}, inputs: 7, hidden: 9, sequence: 11, batch: 2"
    _, inputs, steps, work = load(tmp_path, spec).shapes
    assert inputs == Gemm("v0_inputs", 22, 7, gates * 9)
    assert steps == Gemm("v0_steps", 2, 9, gates * 9, 11, recurrent=True)
    assert isinstance(work, VectorWork)
    assert (work.name, work.kind, work.rows, work.repeats) == ("v0_gates", "gates", 18, 11)
    assert (work.row_inputs, work.row_outputs) == (2 * gates + state, state)
    expected = Operations(add=sums, multiply=products)
    for function, times in functions.items():
        activation = f"kind: activation, function: {function}, elements: 1"
        (alone,) = (x for x in load(tmp_path, activation).shapes if isinstance(x, VectorWork))
        expected = expected + alone.operations * times
    assert work.operations == expected


def test_rows_of_a_softmax_are_never_taken_apart(tmp_path: Path) -> None:
    *_, work = load(tmp_path, "kind: softmax, elements: 60, row: 20").shapes
    assert isinstance(work, VectorWork)
    assert (work.rows, work.row_inputs, work.row_outputs) == (3, 20, 20)
    *_, work = load(
        tmp_path, "kind: softmax, elements: 60, row: 20, operations: {add: 2, compare: 1}"
    ).shapes
    assert isinstance(work, VectorWork)
    assert work.operations == Operations(add=40, compare=20)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            ["kind: softmax, elements: 60, row: 7"],
            "4: layers[1].row: got 7, expected a divisor of elements 60",
        ),
        (
            ["kind: elementwise, elements: 60, operations: {}"],
            "4: layers[1].operations: expected at least one operation for an element",
        ),
        (
            ["kind: activation, function: swish, elements: 3"],
            "4: layers[1].function: got the string 'swish', expected one of relu, tanh, sigmoid,"
            " silu, gelu",
        ),
        (
            ["kind: activation, function: relu, elements: 3, fused: true"],
            "4: layers[1].elements: got 3, expected the 24 outputs of p, to be fused",
        ),
        (
            ["kind: lstm, inputs: 3, hidden: 4, sequence: 0"],
            "4: layers[1].sequence: got 0, expected an integer from 1 to 65536",
        ),
    ],
)
def test_impossible_vector_work_is_refused(
    tmp_path: Path, layers: list[str], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, *layers)
    assert caught.value.problems == (f"{tmp_path}/w.yaml:{expected}",)


def test_work_can_be_fused_with_a_product_and_with_what_is_fused_with_it(tmp_path: Path) -> None:
    relu = "kind: activation, function: relu, elements: 24, fused: true"
    add = "kind: elementwise, inputs: 2, elements: 24, operations: {add: 1}, fused: true"
    _, first, second = load(tmp_path, add, relu).shapes
    assert isinstance(first, VectorWork)
    assert isinstance(second, VectorWork)
    assert first.fused
    assert second.fused


def test_the_documentation_lists_the_operations_that_are_charged(tmp_path: Path) -> None:
    text = (WORKLOADS.parent / "docs/layers.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    table = {
        cells[1].strip(" `"): Operations(*(int(cell) for cell in cells[2:5]))
        for cells in rows
        if len(cells) == 7
    }
    rowwise = {"softmax", "normalization"}
    assert set(table) == {"relu", "sigmoid", "tanh", "silu", "gelu"} | rowwise
    for name, operations in table.items():
        kind = f"kind: {name}, row: 1" if name in rowwise else f"kind: activation, function: {name}"
        (_, work) = load(tmp_path, f"{kind}, elements: 1").shapes
        assert isinstance(work, VectorWork)
        assert work.operations == operations


def test_a_unit_with_tables_looks_up_every_function_of_one_value(tmp_path: Path) -> None:
    assert BY_TABLE.keys() == FUNCTIONS.keys()
    assert {name for name, one in BY_TABLE.items() if not one.lookup} == {"relu"}
    (tmp_path / "w.yaml").write_text(
        "name: w\nlayers:\n"
        "  - {name: t, kind: activation, function: tanh, elements: 10}\n"
        "  - {name: s, kind: softmax, elements: 8, row: 4}\n"
        "  - {name: n, kind: normalization, elements: 8, row: 4}\n"
        "  - {name: o, kind: activation, function: tanh, elements: 10, operations: {add: 2}}\n"
        "  - {name: l, kind: lstm, inputs: 2, hidden: 3, sequence: 1}\n"
    )
    found = {shape.name: shape for shape in load_workload(tmp_path / "w.yaml").shapes}
    tabled = {name: work.by_table for name, work in found.items() if isinstance(work, VectorWork)}
    assert tabled == {
        "t": Operations(lookup=1),
        "s": Operations(add=2, multiply=1, compare=1, lookup=1) * 4,
        "n": None,
        "o": None,  # what is given holds for every unit
        "l_gates": Operations(add=5, multiply=3, lookup=5),
    }
