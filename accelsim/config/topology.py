"""SCALE-Sim's topology tables as workloads: comma-separated, a layer a row, conv or GEMM.

The first row says which: a layer's name and then `M`, `N`, `K` in any order, or the sizes of a
convolution, which are read by their place. As there, a convolution's image is already padded, a
step over its edge still makes an output, one with `DP` in its name is depthwise (a product for
each channel, with all filters), and cells to the right of the sizes may say that nothing is sparse
(1:1) or how many products a batch has (a GEMM's), or anything that is not a number. A row with a
name alone is a heading, and layers of one name are numbered.
"""

from __future__ import annotations

import math
from collections import Counter
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
DEPTHWISE = "DP"
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
    sizes = _sizes([cell.lower() for cell in header])
    if sizes is None:
        given = shown(", ".join(header))
        raise InputError(f"{path}:{number}: got the columns {given}, expected {EXPECTED}")
    problems: list[str] = []
    gemms: dict[str, Gemm] = {}
    seen: Counter[str] = Counter()
    for number, cells in rows[1:]:
        if not any(cells[1:]):
            continue
        found = _problems(sizes, cells)
        if not found:
            name, *values = cells[: 1 + len(sizes)]
            given = name
            while name in gemms:
                seen[given] += 1
                name = f"{given} {1 + seen[given]}"
            gemm = _gemm(
                name, dict(zip(sizes, map(int, values), strict=True)), _batch(sizes, cells)
            )
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


def _sizes(header: list[str]) -> tuple[str, ...] | None:
    """Return what the columns to the right of the name are, in order."""
    name, *columns = header
    if name in NAME and set(columns[:3]) == set(GEMM):
        return tuple(columns[:3])
    # Some of the tables that are about name one of the sizes wrongly: the place says which it is.
    if name in NAME and len(columns) >= len(CONV) and columns[0].startswith("ifmap"):
        return CONV
    return None


def _problems(sizes: tuple[str, ...], cells: list[str]) -> list[str]:
    if len(cells) <= len(sizes):
        known = ", ".join((NAME[0], *sizes))
        return [f"got {len(cells)} values, expected {1 + len(sizes)}: {known}"]
    name, problems = cells[0], []
    if not 1 <= len(name) <= 200 or not name.isprintable():
        problems.append(f"{NAME[0]}: got {shown(name)}, expected text of 1 to 200 characters")
    numbers = [*zip(sizes, cells[1:], strict=False)]
    if sizes is CONV:
        # One stride is for both directions, and sometimes written twice.
        problems += [
            f"strides: got {cells[len(sizes)]} and {cell}, expected one stride for both directions"
            for cell in _numbers(sizes, cells)
            if cell != cells[len(sizes)]
        ]
    else:
        numbers += [("batch", cell) for cell in _numbers(sizes, cells)]
    problems += [
        f"{column}: got {shown(cell)}, expected an integer from 1 to {MAX_SIZE}"
        for column, cell in numbers
        if not (_is_number(cell) and len(cell) < 12 and 0 < int(cell) <= MAX_SIZE)
    ]
    for cell in cells[1 + len(sizes) :]:
        kept, colon, of = cell.partition(":")
        if colon and _is_number(kept) and _is_number(of) and kept != of:
            problems.append(
                f"sparsity: got {shown(cell)}, expected 1:1; sparse layers are not modelled"
            )
    return problems


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit()


def _numbers(sizes: tuple[str, ...], cells: list[str]) -> list[str]:
    """Return the numbers to the right of the sizes."""
    return [cell for cell in cells[1 + len(sizes) :] if _is_number(cell)]


def _batch(sizes: tuple[str, ...], cells: list[str]) -> int:
    """Return how many products of a GEMM's shape there are."""
    return math.prod(map(int, _numbers(sizes, cells))) if sizes is not CONV else 1


def _gemm(name: str, sizes: dict[str, int], batch: int) -> Gemm | str:
    """Return the layer as a matrix product, or what is wrong with it."""
    if "m" in sizes:
        return Gemm(name, sizes["m"], sizes["k"], sizes["n"], batch)
    pixels = 1
    for side in ("height", "width"):
        image, kernel = sizes[f"ifmap {side}"], sizes[f"filter {side}"]
        if kernel > image:
            return f"filter {side}: got {kernel}, expected at most the {image} of the image"
        pixels *= -(-(image - kernel) // sizes["strides"]) + 1
    terms, channels = sizes["filter height"] * sizes["filter width"], sizes["channels"]
    if DEPTHWISE in name:
        return Gemm(name, pixels, terms, sizes["num filter"], channels)
    return Gemm(name, pixels, terms * channels, sizes["num filter"])
