"""SCALE-Sim's topology tables as workloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.config import check_file, load_workload
from accelsim.errors import InputError
from accelsim.networks import Gemm

CONV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter,"
    " Strides,"
)


def load(tmp_path: Path, *lines: str) -> tuple[Gemm, ...]:
    path = tmp_path / "net.csv"
    path.write_text("\n".join(lines) + "\n")
    return load_workload(path).gemms


def test_a_gemm_table_gives_its_products(tmp_path: Path) -> None:
    found = load(tmp_path, "Layer,M,N,K,", "QKT,1024,512,64,", "", "PW, 8, 9, 10")
    assert found == (Gemm("QKT", 1024, 64, 512), Gemm("PW", 8, 10, 9))


def test_a_convolution_is_its_pixels_by_its_kernel_by_its_filters(tmp_path: Path) -> None:
    found = load(tmp_path, CONV, "Conv1, 224, 224, 7, 7, 3, 64, 2,", "FC, 1, 1, 1, 1, 512, 10, 1,")
    # A stride past the edge still makes an output: ceil((224 - 7 + 2) / 2) = 110.
    assert found == (Gemm("Conv1", 110 * 110, 7 * 7 * 3, 64), Gemm("FC", 1, 512, 10))


def test_a_dense_sparsity_column_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, "Layer, M, N, K, Sparsity", "a, 1, 2, 3, 1:1")[0].macs == 6


def test_a_depthwise_convolution_is_a_product_for_each_channel(tmp_path: Path) -> None:
    found = load(
        tmp_path, CONV, "Conv1_DP, 48, 48, 3, 3, 64, 1, 1,", "Conv2, 48, 48, 3, 3, 64, 1, 1,"
    )
    assert found == (Gemm("Conv1_DP", 46 * 46, 9, 1, 64), Gemm("Conv2", 46 * 46, 9 * 64, 1))


def test_a_fifth_column_of_numbers_is_a_batch(tmp_path: Path) -> None:
    rows = "a,1,2,3,1:1,4,", "b,1,2,3,5,", "c,1,2,3,,"
    found = load(tmp_path, "Layer,M,N,K,Batch,", *rows)
    assert [gemm.repeats for gemm in found] == [4, 5, 1]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (CONV, "a, 5, 5, 3, 3, 2, 4, 2, 2"),
        (f"{CONV}, Target", "a,5,5,3,3,2,4,2, NPU"),
        (CONV, "a, 5, 5, 3, 3, 2, 4, 2,#first"),
        (CONV.replace("IFMAP Height", "IFMAP Width"), "a,5,5,3,3,2,4,2,"),
    ],
)
def test_what_stands_beside_the_sizes_is_left_alone(tmp_path: Path, header: str, row: str) -> None:
    assert load(tmp_path, header, row) == (Gemm("a", 4, 18, 4),)


def test_a_name_alone_is_a_heading_and_layers_of_one_name_are_numbered(tmp_path: Path) -> None:
    rows = ["Encoder,", "a,1,2,3,", "a 2,4,5,6,", ",,,,", "a,7,8,9,", "a,1,1,1,"]
    assert load(tmp_path, "Layer,M,N,K,", *rows) == (
        Gemm("a", 1, 3, 2),
        Gemm("a 2", 4, 6, 5),
        Gemm("a 3", 7, 9, 8),
        Gemm("a 4", 1, 1, 1),
    )


def test_a_table_is_checked_like_any_file(tmp_path: Path) -> None:
    load(tmp_path, "Layer,M,N,K,", "a,1,2,3,")
    assert check_file(tmp_path / "net.csv") == "workload net"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Layer,M,N", "a,1,2"], ":1: got the columns 'Layer, M, N', expected Layer, M, N, K or"
         " Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num"
         " Filter, Strides"),
        (["Layer,M,N,K"], ": has no layers, expected at least one row below the first"),
        (["Layer,M,N,K", "a,1,2"], ":2: got 3 values, expected 4: layer, m, n, k"),
        (["Layer,M,N,K", "a,1,0,3"], ":2: n: got '0', expected an integer from 1 to 2147483648"),
        (["Layer,M,N,K", "a,1,2.5,3"], ":2: n: got '2.5', expected an integer from 1 to"
         " 2147483648"),
        (["Layer,M,N,K", ",1,2,3"], ":2: layer: got '', expected text of 1 to 200 characters"),
        (["Layer,M,N,K,Sparsity", "a,1,2,3,2:4"], ":2: sparsity: got '2:4', expected 1:1; sparse"
         " layers are not modelled"),
        ([CONV, "a,5,5,3,3,1,1,1,2,"], ":2: strides: got 1 and 2, expected one stride for both"
         " directions"),
        (["Layer,M,N,K", "a,1,2,3,0,"], ":2: batch: got '0', expected an integer from 1 to"
         " 2147483648"),
        ([CONV, "a,5,5,7,3,1,1,1,"], ":2: filter height: got 7, expected at most the 5 of the"
         " image"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_in_one_line(
    tmp_path: Path, lines: list[str], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, *lines)
    assert caught.value.problems == (f"{tmp_path / 'net.csv'}{expected}",)
