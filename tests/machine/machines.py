"""Small machines and traces to test on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.machine import Hardware, Lanes, Rerun
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.trace import Detector, LayerTrace, VectorTrace

E4M3 = FloatFormat.parse("e4m3fn")
FP32 = FloatFormat.parse("fp32")
FAST_DRAM = {"bandwidth_gbytes_per_s": 1e9, "latency_ns": 0.0}


def machine(
    rows: int = 4,
    cols: int = 4,
    overlap_folds: bool = False,
    unit: Lanes | Rerun | None = None,
    dataflow: str = "os",
    **parts: Any,
) -> Hardware:
    """A machine with a clock of 1 GHz, so that a nanosecond is a cycle."""
    array = {"rows": rows, "cols": cols, "dataflow": dataflow, "overlap_folds": overlap_folds}
    return Hardware.model_validate(
        {
            "name": "test",
            "clock_mhz": 1000.0,
            "array": array,
            "recompute": unit or Rerun(unit="array"),
            **parts,
        }
    )


def lanes(count: int, queue_capacity: int) -> Lanes:
    return Lanes(unit="lanes", lanes=count, queue_capacity=queue_capacity)


def trace(
    m: int,
    k: int,
    n: int,
    mask: NDArray[np.bool_] | None = None,
    detector: Detector | None = None,
    **changes: Any,
) -> LayerTrace:
    """A layer with e4m3fn operands and accumulators, redone in fp32 where `mask` says."""
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
