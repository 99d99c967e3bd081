"""What one process does of a study: points in, records out. Nothing here reads or writes files."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from accelsim.energy import Estimator
from accelsim.errors import AccelsimError
from accelsim.infer import Inference, Prepared, infer, prepare
from accelsim.machine import Hardware, LoweredLayer, LoweredSteps
from accelsim.networks import Workload
from accelsim.point import measure, time_layer
from accelsim.policies import Control, Policy
from accelsim.result import LayerRun
from accelsim.study.keys import digest
from accelsim.trace import LayerTrace, VectorTrace

MAX_INFERENCES = 8
REMEMBERED_BYTES = 2**27
"""What a process remembers of the points before takes about so much, or is of one point."""
BYTES_A_LAYER, BYTES_A_KIND = 2**14, 2**10
"""What a simulated layer takes, and each kind of visit of it, beside its flags and sequences."""
UNTIMED = {"name": "", "energy_table": "-"}
"""What a machine is called and what it is charged make no difference to its time."""


@dataclass(frozen=True)
class Group:
    """Points that share one inference: their numbers, and nothing of what is in them.

    Neighbours whose machines are `alike` (the same number) share all simulations as well.
    """

    workload: int
    policy: Policy
    points: Sequence[int]
    alike: Sequence[int]


@dataclass(frozen=True)
class Point:
    """One point: its number in the study, its machine, and the number of its energy table."""

    index: int
    hardware: Hardware
    energy_table: int


@dataclass(frozen=True)
class Batch:
    """Points of one group, to be done one after the other."""

    workload: int
    policy: Policy
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a point: `row` and `detail` (the words of the JSON report), or `error`.

    `seconds` are those of the point, without its inference.
    """

    index: int
    row: dict[str, Any] | None = None
    detail: dict[str, Any] | None = None
    error: str | None = None
    seconds: float = 0.0


class Bench:
    """Where points are computed: workloads and energy tables, and what was computed before.

    What it remembers saves time, and never changes a result.
    """

    def __init__(self, workloads: Sequence[Workload], tables: Sequence[Estimator]) -> None:
        self._workloads = workloads
        self._tables = tables
        self._prepared: dict[int, Prepared] = {}
        self._inferences: OrderedDict[tuple[int, Policy], _Inferred] = OrderedDict()
        self._layers: OrderedDict[bytes, LayerRun] = OrderedDict()
        self._bytes = 0

    def do(self, batch: Batch) -> list[Outcome]:
        """Return an outcome for every point, in order; an error of one stops none of the others."""
        try:
            inferred = self._infer(batch.workload, batch.policy)
        except Exception as error:
            return [Outcome(point.index, error=_message(error)) for point in batch.points]
        return [self._point(batch, inferred, point) for point in batch.points]

    def _point(self, batch: Batch, inferred: _Inferred, point: Point) -> Outcome:
        start = time.perf_counter()
        same = digest(point.hardware.model_copy(update=UNTIMED))

        def run_layer(trace: LayerTrace | VectorTrace, hardware: Hardware) -> LayerRun:
            key = same + inferred.digests[id(trace)]
            if key in self._layers:
                self._layers.move_to_end(key)
                return self._layers[key].renamed(trace)
            layer = self._layers[key] = time_layer(trace, hardware)
            self._bytes += _bytes_of(layer)
            # All layers of a point at least: of fewer, those of the next would find none.
            while self._bytes > REMEMBERED_BYTES and len(self._layers) > inferred.distinct:
                self._bytes -= _bytes_of(self._layers.popitem(last=False)[1])
            return layer

        try:
            run = measure(
                point.hardware,
                self._workloads[batch.workload].name,
                inferred.policy,
                inferred.inference,
                self._tables[point.energy_table],
                run_layer=run_layer,
            )
            row, detail = run.as_row(), run.as_dict() | {"excerpt": run.excerpt}
        except Exception as error:
            return Outcome(point.index, error=_message(error))
        return Outcome(point.index, row, detail, seconds=time.perf_counter() - start)

    def _infer(self, workload: int, policy: Policy) -> _Inferred:
        key = workload, policy
        if key not in self._inferences:
            if workload not in self._prepared:
                self._prepared[workload] = prepare(self._workloads[workload])
            if isinstance(policy, Control):
                rates = self._infer(workload, policy.of).inference.trace.layer_rates
                policy = policy.drawn(rates)
            found = infer(self._prepared[workload], policy, audit=True)
            digests = {id(trace): digest(replace(trace, name="")) for trace in found.trace.layers}
            self._inferences[key] = _Inferred(policy, found, digests)
            if len(self._inferences) > MAX_INFERENCES:
                self._inferences.popitem(last=False)
        self._inferences.move_to_end(key)
        return self._inferences[key]


@dataclass(frozen=True)
class _Inferred:
    """An inference under a policy, and what tells each of its layers from others."""

    policy: Policy
    inference: Inference
    digests: dict[int, bytes]

    @property
    def distinct(self) -> int:
        """How many of its layers differ."""
        return len({*self.digests.values()})


def _bytes_of(layer: LayerRun) -> int:
    """Return about how much memory a simulated layer takes."""
    lowered, size = layer.lowered, BYTES_A_LAYER
    if isinstance(layer.trace, LayerTrace) and layer.trace.recomputed is not None:
        size += layer.trace.recomputed.nbytes
    steps = lowered.steps if isinstance(lowered, LoweredSteps) else (lowered,)
    for step in {id(step): step for step in steps}.values():  # equal ones are one object
        if isinstance(step, LoweredLayer):
            for work in step.passes:
                size += BYTES_A_KIND * len(work.kinds) + work.sequence.nbytes
    return size


def _message(error: Exception) -> str:
    """Say what went wrong; what no input should cause is named as the error it is."""
    if isinstance(error, AccelsimError):
        return str(error)
    return f"{type(error).__name__}: {error}"
