"""One layer of a run: what was done for it, how long it took, and what that was spent on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from accelsim.energy import (
    Estimator,
    adding_up,
    by_cause,
    by_component,
    charge,
    total_pj,
)
from accelsim.machine import (
    Hardware,
    Lowered,
    LoweredLayer,
    LoweredSteps,
    LoweredVector,
    Simulated,
    VectorSimulation,
    excerpt,
    find_bottleneck,
)
from accelsim.trace import LayerTrace, VectorTrace

MEMORIES = ("dram", "scratchpad_a", "scratchpad_b", "scratchpad_c")


@dataclass(frozen=True)
class LayerRun:
    """One layer: what was done, and how long it took."""

    lowered: Lowered
    simulation: Simulated

    @property
    def trace(self) -> LayerTrace | VectorTrace:
        """What was asked of the machine."""
        return self.lowered.trace

    def renamed(self, trace: LayerTrace | VectorTrace) -> LayerRun:
        """Return the same for a layer that differs from this one's in name alone."""
        # A trace, its layer and their simulation are of one kind, and stay so.
        changes: dict[str, Any] = {"trace": trace}
        lowered = replace(self.lowered, **changes)
        changes = {"layer": lowered}
        return LayerRun(lowered, replace(self.simulation, **changes))

    @cached_property
    def excerpt(self) -> dict[str, Any]:
        """Some cycles of the layer as plain values: spans of cycles by unit and by cause."""
        found = excerpt(self.lowered, self.simulation.hardware)
        busy: dict[str, list[tuple[int, int]]] = {}
        stalls: dict[str, list[tuple[int, int]]] = {}
        for interval in found.intervals:
            span = interval.start_cycles, interval.end_cycles
            busy.setdefault(interval.unit, []).append(span)
        for stall in found.stalls:
            stalls.setdefault(stall.cause, []).append((stall.start_cycles, stall.end_cycles))
        return {
            "layer": self.trace.name,
            "total_cycles": self.simulation.total_cycles,
            "start_cycles": found.start_cycles,
            "end_cycles": found.end_cycles,
            "busy_cycles": busy,
            "stall_cycles": stalls,
        }

    def _tiling(self) -> dict[str, Any]:
        """Return the tiles of a product or of the first step of a recurrent layer, if any."""
        match self.lowered:
            case LoweredVector():
                return {}
            case LoweredSteps():
                product = self.lowered.steps[0]
            case LoweredLayer():
                product = self.lowered
        return product.tiling._asdict() | {"tiles": len(product.first.sequence)}

    def _redoing(self) -> dict[str, int]:
        """Return what there is to say of a layer that redoes outputs, and zeros for others."""
        lowered, simulation = self.lowered, self.simulation
        if isinstance(lowered, LoweredVector) or isinstance(simulation, VectorSimulation):
            return {"redone_outputs": 0, "gather_cycles": 0, "deferred_cycles": 0}
        return {
            "redone_outputs": lowered.redone_outputs,
            "gather_cycles": lowered.gather_cycles,
            "deferred_cycles": simulation.deferred_cycles,
        }

    def as_dict(self, hardware: Hardware, table: Estimator) -> dict[str, Any]:
        """Return plain values, in the words of the JSON report."""
        trace, simulation = self.trace, self.simulation
        found = find_bottleneck(self.lowered, simulation, hardware)
        product = trace if isinstance(trace, LayerTrace) else None
        macs = product.macs if product else 0
        flagged = product.recomputed_outputs if product else 0
        peak = simulation.total_cycles * hardware.array.macs_per_cycle
        lines = charge(self.lowered.by_cause, table)
        return {
            "name": trace.name,
            "unit": "array" if product else "vector",
            "macs": macs,
            "mac_cycles": found.mac_cycles,
            "fill_drain_cycles": found.fill_drain_cycles,
            "vector_cycles": found.vector_cycles,
            "compute_cycles": simulation.compute_cycles,
            "stall_cycles": dict(simulation.stall_cycles),
            "total_cycles": simulation.total_cycles,
            "utilization": macs / peak,
            "bottleneck": found.name,
            "why": found.why,
            "tiling": self._tiling(),
            "bytes": {name: self.lowered.counts.bytes_moved(name) for name in MEMORIES},
            "recomputed_outputs": flagged,
            **self._redoing(),
            "recompute_rate": flagged / product.outputs if product else 0.0,
            "recompute_share": simulation.stall_cycles["recompute"] / simulation.total_cycles,
            "energy_pj": adding_up(by_component(lines), total_pj(lines)),
            "energy_by_cause_pj": adding_up(by_cause(lines), total_pj(lines)),
        }
