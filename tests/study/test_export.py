"""Results as tables of other programs: pandas and Parquet, units in the names of the columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from grids import POINTS, STUDY, folder, run

pandas = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")

MIXED = STUDY.replace(
    "  array.rows: [2, 4]\n",
    "  array.rows: [2, 4]\n  array.cycles_per_mac: [{}, {fp32: 2}]\n  energy_table: [45nm, 7nm]\n",
)


def test_a_frame_has_the_rows_and_columns_of_the_study(tmp_path: Path) -> None:
    found = run(folder(tmp_path))
    frame = found.to_frame()
    assert list(frame.columns) == found.columns
    assert len(frame) == POINTS
    assert {"latency_s", "energy_pj", "area_um2", "kl_divergence_nats"} <= {*frame.columns}
    assert frame["energy_pj"].tolist() == [row["energy_pj"] for row in found.rows]
    assert frame.groupby("hardware")["total_cycles"].min().to_dict() == {
        name: min(row["total_cycles"] for row in found.rows if row["hardware"] == name)
        for name in ("tiny", "plain")
    }


def test_parquet_holds_what_the_rows_do(tmp_path: Path) -> None:
    found = run(folder(tmp_path, MIXED))
    found.to_parquet(tmp_path / "all.parquet")
    table = parquet.read_table(tmp_path / "all.parquet")
    assert table.column_names == found.columns
    assert table.num_rows == len(found)
    for name in ("point", "hardware", "latency_s", "energy_pj", "total_cycles", "recompute.lanes"):
        assert table[name].to_pylist() == [row.get(name) for row in found.rows]
    # A section of a machine is text, as in the CSV.
    assert {*table["array.cycles_per_mac"].to_pylist()} == {"{}", '{"fp32": 2}'}
    found.to_parquet(tmp_path / "again.parquet")
    first = (tmp_path / "all.parquet").read_bytes()
    assert (tmp_path / "again.parquet").read_bytes() == first
