"""A run as text to read, and its layers as comma-separated values."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from accelsim.result import COMPONENTS, MEMORIES, Run


def run_table(result: Run) -> str:
    """Return what a run found: its layers' cycles and what holds each back, bytes, and energy."""
    rows = [layer.as_dict(result.hardware, result.energy_table) for layer in result.layers]
    causes = list(dict.fromkeys(cause for row in rows for cause in row["stall_cycles"]))
    # Of what few machines have, a column is shown where a layer has any.
    rare = [key for key in ("gather_cycles", "deferred_cycles") if any(row[key] for row in rows)]
    cycles = [
        (
            "layer",
            "macs",
            "compute_cycles",
            *(f"stall {cause}" for cause in causes),
            "total_cycles",
            "utilization",
            "recompute_rate",
            "recompute_share",
            *rare,
            "bottleneck",
        )
    ]
    moved = [("layer", *(f"{name} bytes" for name in MEMORIES), "energy_pj", "tiling m, k, n")]
    for row in rows:
        cycles.append(
            (
                row["name"],
                f"{row['macs']}",
                f"{row['compute_cycles']}",
                *(f"{row['stall_cycles'].get(cause, 0)}" for cause in causes),
                f"{row['total_cycles']}",
                f"{row['utilization']:.3f}",
                f"{row['recompute_rate']:.4f}",
                f"{row['recompute_share']:.3f}",
                *(f"{row[key]}" for key in rare),
                f"{row['bottleneck']}: {row['why']}",
            )
        )
        energy = sum(row["energy_pj"].values())
        sizes = (f"{row['bytes'][name]}" for name in MEMORIES)
        moved.append((row["name"], *sizes, f"{energy:.6g}", _tiling(row["tiling"])))
    first = aligned(cycles, left=(0, len(cycles[0]) - 1))
    second = aligned(moved, left=(0, len(moved[0]) - 1))
    header = (str(result.hardware), str(result))
    return "\n".join([*header, "", *first, "", *second, "", *_causes(result), "", *_energy(result)])


def _tiling(tiling: dict[str, Any]) -> str:
    if not tiling:
        return "none"
    return "{m}x{k}x{n} {order}, {tiles} tiles".format(**tiling)


def layers_csv(result: Run) -> str:
    """Return a line for every layer, its columns named as in the JSON, with dots inside maps."""
    rows = [_flat(layer.as_dict(result.hardware, result.energy_table)) for layer in result.layers]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    first = [column for column in columns if not column.startswith("energy_pj.")]
    energies = [f"energy_pj.{name}" for name in COMPONENTS]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*first, *energies], lineterminator="\n")
    writer.writeheader()
    # A component that does nothing takes no energy; what a layer has not, as tiles, stays empty.
    writer.writerows(dict.fromkeys(energies, 0) | row for row in rows)
    return stream.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat


def aligned(rows: Sequence[Sequence[str]], left: tuple[int, ...]) -> Iterable[str]:
    """Yield lines of columns as wide as they need to be, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _energy(result: Run) -> list[str]:
    head = f"{'component':<14}{'action':<24}{'cause':<22}{'number':>14}{'pJ each':>12}{'pJ':>14}"
    lines = [f"{head}  source"]
    lines += [
        f"{line.component:<14}{line.action!s:<24}{line.cause:<22}{line.number:>14}"
        f"{line.cost.energy_pj:>12.5g}{line.energy_pj:>14.6g}"
        f"  [{line.cost.kind}] {line.cost.source}"
        for line in result.energy_lines
    ]
    return [*lines, f"{'total':<86}{result.energy_pj:>14.6g}"]


def _causes(result: Run) -> list[str]:
    """Return energy by cause, with what leaks, and the area that does."""
    causes = result.energy_by_cause_pj
    lines = [f"{'cause':<24}{'pJ':>14}"]
    lines += [f"{cause:<24}{value:>14.6g}" for cause, value in causes.items()]
    lines.append(f"{'with leakage':<24}{math.fsum(causes.values()):>14.6g}")
    total, area, leakage = result.total_energy_pj, result.area, result.leakage
    if total is None or area is None or leakage is None:
        return [*lines[:-1], f"area and leakage are not given by {result.energy_table.name}"]
    product = result.energy_delay_product_pj_s
    return [
        *lines,
        f"{area.value / 1e6:.4g} mm2 that leak {leakage.value:.4g} mW;"
        f" energy-delay product {product:.6g} pJ s;"
        f" {total / result.inference.trace.samples:.6g} pJ an inference",
    ]
