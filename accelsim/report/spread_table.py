"""Who stands at the ends of the spreads of constants, beside a tornado figure."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.energy.sensitivity import Swing
from accelsim.report.page import Column, Table

COLUMNS = (
    Column("constant"), Column("lowest (×)", True), Column("who is lowest"),
    Column("saving there (%)", True), Column("highest (×)", True), Column("who is highest"),
    Column("saving there (%)", True),
)  # fmt: skip


def spread_table(where: str, table: str, saves: str, found: Sequence[Swing], file: str) -> Table:
    """Return for each constant of a tornado figure where its sources end, who is there, and what
    that does to the saving of `saves`.
    """
    caption = (
        f"{where}: the lowest and the highest source of each constant drawn above, as a multiple of"
        f" what the {table} table says, who says so, and what {saves} saves there against"
        f" uniform-high. All constants are in {file}."
    )
    rows = tuple(
        (
            swing.spread.constant,
            f"{swing.spread.low:.3g}",
            swing.spread.low_source,
            f"{swing.at_low * 100:+.1f}",
            f"{swing.spread.high:.3g}",
            swing.spread.high_source,
            f"{swing.at_high * 100:+.1f}",
        )
        for swing in found
    )
    return Table(caption, COLUMNS, rows)
