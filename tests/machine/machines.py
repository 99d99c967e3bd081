"""Small machines and traces to test on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine import Dual, Hardware, Lanes, LoweredLayer, Rerun, lower
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.trace import Detector, LayerTrace, VectorTrace

E4M3 = FloatFormat.parse("e4m3fn")
FP32 = FloatFormat.parse("fp32")
THRESHOLD = Detector("threshold", None, multiplies_per_output=0, compares_per_output=1)
Unit = Lanes | Rerun | Dual
FAST_DRAM = {"bandwidth_gbytes_per_s": 1e9, "latency_ns": 0.0}


def machine(
    rows: int = 4,
    cols: int = 4,
    overlap_folds: bool = False,
    unit: Unit | None = None,
    dataflow: str = "os",
    array: dict[str, Any] | None = None,
    **parts: Any,
) -> Hardware:
    """A machine with a clock of 1 GHz, so that a nanosecond is a cycle."""
    shape = {"rows": rows, "cols": cols, "dataflow": dataflow, "overlap_folds": overlap_folds}
    return Hardware.model_validate(
        {
            "name": "test",
            "clock_mhz": 1000.0,
            "array": shape | (array or {}),
            "recompute": unit or Rerun(unit="array"),
            **parts,
        }
    )


def changed(hardware: Hardware, **parts: dict[str, Any]) -> Hardware:
    """The same machine with some keys of some parts replaced, and checked again."""
    content = hardware.model_dump(exclude_none=True)
    for part, keys in parts.items():
        content[part] = content[part] | keys
    return Hardware.model_validate(content)


def with_unit(hardware: Hardware, unit: Unit) -> Hardware:
    """The same machine with another recompute unit."""
    return hardware.model_copy(update={"recompute": unit})


def lanes(count: int, queue_capacity: int, schedule: str = "inline") -> Lanes:
    content = {"lanes": count, "queue_capacity": queue_capacity, "schedule": schedule}
    return Lanes.model_validate({"unit": "lanes"} | content)


def array(
    granularity: str = "element", schedule: str = "inline", gather: float | None = None
) -> Rerun:
    content: dict[str, Any] = {"granularity": granularity, "schedule": schedule}
    if granularity in ("row", "column"):
        content["gather_bytes_per_cycle"] = gather or 4.0
    return Rerun.model_validate({"unit": "array"} | content)


DUAL = Dual(unit="dual")


def trace(
    m: int,
    k: int,
    n: int,
    mask: NDArray[np.bool_] | None = None,
    detector: Detector | None = None,
    *,
    static: bool = False,
    **changes: Any,
) -> LayerTrace:
    """A layer with e4m3fn operands and accumulators, redone in fp32 where `mask` says.

    Without a detector of its own it compares each output once, unless the mask is `static`.
    """
    if detector is None and mask is not None and not static:
        detector = THRESHOLD
    values: dict[str, Any] = {
        "name": "layer",
        "m": m,
        "k": k,
        "n": n,
        "operand_format": E4M3,
        "output_format": E4M3,
        "accumulator": Accumulator(E4M3),
        "recompute_accumulator": None if mask is None else Accumulator(FP32),
        "detector": detector,
        "recomputed": mask,
    }
    return LayerTrace(**values | changes)


def random_mask(m: int, n: int, rate: float, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((m, n)) < rate


def vector_work(**changes: Any) -> VectorTrace:
    """Six operations on each of 100 rows, of two fp16 values and into one."""
    values: dict[str, Any] = {
        "name": "v",
        "kind": "elementwise",
        "rows": 100,
        "row_inputs": 2,
        "row_outputs": 1,
        "adds": 3,
        "multiplies": 2,
        "compares": 1,
        "value_format": FloatFormat.parse("fp16"),
    }
    return VectorTrace(**values | changes)


def lowered(layer: LayerTrace, hardware: Hardware) -> LoweredLayer:
    """Lower, or have hypothesis draw again where nothing fits."""
    try:
        return lower(layer, hardware)
    except AccelsimError as error:
        assume("no tiling fits" not in str(error))
        raise


def fixed(layer: LayerTrace, hardware: Hardware) -> Hardware:
    """The machine, with the tiling of this layer given."""
    m, k, n, order, _ = lowered(layer, hardware).tiling
    return changed(hardware, tiling={"m": m, "k": k, "n": n, "order": order})


def _machine(draw: st.DrawFn, cut: bool) -> Hardware:
    rows, cols = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    dataflow = draw(st.sampled_from(["os", "ws", "is"]))
    array: dict[str, Any] = {
        "count": draw(st.sampled_from([1, 1, 2, 3])),
        "adder_latency_cycles": draw(st.sampled_from([1, 1, 2, 5])),
        "cycles_per_mac": draw(st.sampled_from([{}, {"fp32": 3}, {"e4m3fn": 2, "fp32": 3}])),
    }
    pads = {}
    for key in "abc":
        pad: dict[str, Any] = {"double_buffered": draw(st.sampled_from([True, True, False]))}
        if draw(st.booleans()):
            pad["bandwidth_bytes_per_cycle"] = draw(st.sampled_from([0.5, 1.0, 3.0, 8.0]))
        if cut:
            pad["capacity_bytes"] = draw(st.integers(16, 600))
        pads[key] = pad
    tiling: dict[str, Any] = {}
    if cut and draw(st.booleans()):
        steps = {"os": (rows, 1, cols), "ws": (1, rows, cols), "is": (cols, rows, 1)}[dataflow]
        for key, step in zip("mkn", steps, strict=True):
            if draw(st.booleans()):
                tiling[key] = step * draw(st.integers(1, 4))
        tiling["order"] = draw(st.sampled_from(["mnk", "mkn", "nmk", "nkm", "kmn", "knm"]))
    dram = {
        "bandwidth_gbytes_per_s": draw(st.sampled_from([0.5, 1.0, 3.0, 16.0, 1e9])),
        "latency_ns": draw(st.sampled_from([0.0, 7.0, 100.0])),
    }
    unit = draw(UNITS)
    overlap = draw(st.booleans())
    return machine(
        rows, cols, overlap, unit, dataflow, array, dram=dram, scratchpads=pads, tiling=tiling
    )


SCHEDULES = st.sampled_from(["inline", "deferred"])
REDOING_UNITS: st.SearchStrategy[Lanes | Rerun] = st.one_of(
    st.just(Rerun(unit="array")),
    st.builds(lanes, st.integers(1, 20), st.integers(1, 20), SCHEDULES),
    st.builds(array, st.sampled_from(["element", "tile"]), SCHEDULES),
    st.builds(
        array,
        st.sampled_from(["row", "column"]),
        SCHEDULES,
        st.sampled_from([0.5, 3.0, 16.0, 1e12]),
    ),
)
"""Every unit that does flagged outputs a second time."""
UNITS: st.SearchStrategy[Unit] = st.one_of(REDOING_UNITS, st.just(DUAL))
MACHINES = st.composite(_machine)(cut=False)
"""Machines whose scratchpads hold any of the layers below."""
TIGHT_MACHINES = st.composite(_machine)(cut=True)
"""Machines whose scratchpads do not, some with a tiling that is given."""
LAYERS = st.builds(
    lambda m, k, n, rate, seed, repeats, static: trace(
        m, k, n, random_mask(repeats * m, n, rate, seed), repeats=repeats, static=static
    ),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    st.integers(0, 3),
    st.sampled_from([1, 1, 3]),
    st.sampled_from([False, False, True]),
)
