"""SCALE-Sim's topology tables as workloads: comma-separated, a layer a row, conv or GEMM.

Columns are found by the names in the first row, and each row may end with a comma, as there. A
convolution's image is already padded, and a step over its edge still makes an output, as there.
"""

from __future__ import annotations

from pathlib import Path

from accelsim.config.document import read_text, shown
from accelsim.errors import InputError
from accelsim.networks import Gemm, Workload
from accelsim.numerics import FloatFormat

NAME = ("layer", "layer name")
GEMM = ("m", "n", "k")
CONV = (
    "ifmap height",
    "ifmap width",
    "filter height",
    "filter width",
    "channels",
    "num filter",
    "strides",
)
SPARSITY = "sparsity"
EXPECTED = "Layer, M, N, K or Layer name, " + ", ".join(
    name.title().replace("Ifmap", "IFMAP") for name in CONV
)
MAX_SIZE = 2**31


def load_topology(path: Path) -> Workload:
    """Read a topology table. Raises InputError with a line for every problem."""
    rows = [
        (number, [cell.strip() for cell in line.strip().removesuffix(",").split(",")])
        for number, line in enumerate(read_text(path, "a topology table").splitlines(), start=1)
        if line.strip(" ,\t")
    ]
    if not rows:
        raise InputError(f"{path}: is empty, expected the columns {EXPECTED}")
    number, header = rows[0]
    columns = [cell.lower() for cell in header]
    sizes = next((kind for kind in (GEMM, CONV) if _is_header(columns, kind)), None)
    if sizes is None:
        given = shown(", ".join(header))
        raise InputError(f"{path}:{number}: got the columns {given}, expected {EXPECTED}")
    problems: list[str] = []
    gemms: dict[str, Gemm] = {}
    for number, cells in rows[1:]:
        found = _problems(columns, cells, gemms)
        if not found:
            row = dict(zip(columns, cells, strict=True))
            name = row[columns[0]]
            gemm = _gemm(name, {key: int(row[key]) for key in sizes})
            if isinstance(gemm, Gemm):
                gemms[name] = gemm
            else:
                found = [gemm]
        problems += [f"{path}:{number}: {problem}" for problem in found]
    if not problems and not gemms:
        problems.append(f"{path}: has no layers, expected at least one row below the first")
    if problems:
        raise InputError(problems)
    name = path.stem[:200]
    return Workload(name, FloatFormat.parse("e4m3fn"), shapes=tuple(gemms.values()))


def _is_header(columns: list[str], sizes: tuple[str, ...]) -> bool:
    return (
        columns[0] in NAME
        and len(set(columns)) == len(columns)
        and set(sizes) == set(columns[1:]) - {SPARSITY}
    )


def _problems(columns: list[str], cells: list[str], earlier: dict[str, Gemm]) -> list[str]:
    if len(cells) != len(columns):
        return [f"got {len(cells)} values, expected {len(columns)}: {', '.join(columns)}"]
    problems = []
    for column, cell in zip(columns, cells, strict=True):
        if column in NAME:
            if not 1 <= len(cell) <= 200 or not cell.isprintable():
                problems.append(
                    f"{column}: got {shown(cell)}, expected text of 1 to 200 characters"
                )
            elif cell in earlier:
                problems.append(f"{column}: {shown(cell)} is the name of an earlier layer already")
        elif column == SPARSITY:
            kept, _, of = cell.partition(":")
            if kept != of:
                problems.append(
                    f"{column}: got {shown(cell)}, expected 1:1; sparse layers are not modelled"
                )
        elif not (
            cell.isascii() and cell.isdigit() and len(cell) < 12 and 0 < int(cell) <= MAX_SIZE
        ):
            problems.append(
                f"{column}: got {shown(cell)}, expected an integer from 1 to {MAX_SIZE}"
            )
    return problems


def _gemm(name: str, sizes: dict[str, int]) -> Gemm | str:
    """Return the layer as a matrix product, or what is wrong with it."""
    if "m" in sizes:
        return Gemm(name, sizes["m"], sizes["k"], sizes["n"])
    pixels = 1
    for side in ("height", "width"):
        image, kernel = sizes[f"ifmap {side}"], sizes[f"filter {side}"]
        if kernel > image:
            return f"filter {side}: got {kernel}, expected at most the {image} of the image"
        pixels *= -(-(image - kernel) // sizes["strides"]) + 1
    terms = sizes["filter height"] * sizes["filter width"] * sizes["channels"]
    return Gemm(name, pixels, terms, sizes["num filter"])
