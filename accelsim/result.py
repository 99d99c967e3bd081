"""What a run found: cycles, joules and accuracy, per layer and in all."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from accelsim.energy import EnergyLine, EnergyTable, by_component, charge, total_pj
from accelsim.infer import Inference
from accelsim.machine import (
    Counts,
    Hardware,
    Lowered,
    LoweredLayer,
    LoweredSteps,
    LoweredVector,
    Simulated,
    chrome_trace,
    find_bottleneck,
)
from accelsim.policies import Policy
from accelsim.trace import LayerTrace, VectorTrace

COMPONENTS = (
    "array",
    "recompute",
    "detector",
    "vector",
    "queue",
    "scratchpad_a",
    "scratchpad_b",
    "scratchpad_c",
    "dram",
)
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

    def _tiling(self) -> dict[str, Any]:
        """Return the tiles of a product or of the first step of a recurrent layer, if any."""
        match self.lowered:
            case LoweredVector():
                return {}
            case LoweredSteps():
                first = self.lowered.steps[0]
            case LoweredLayer():
                first = self.lowered
        return first.tiling._asdict() | {"tiles": len(first.sequence)}

    def as_dict(self, hardware: Hardware, table: EnergyTable) -> dict[str, Any]:
        """Return plain values, in the words of the JSON report."""
        trace, simulation = self.trace, self.simulation
        found = find_bottleneck(self.lowered, simulation, hardware)
        product = trace if isinstance(trace, LayerTrace) else None
        macs = product.macs if product else 0
        redone = product.recomputed_outputs if product else 0
        peak = simulation.total_cycles * hardware.array.macs_per_cycle
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
            "recomputed_outputs": redone,
            "recompute_rate": redone / product.outputs if product else 0.0,
            "recompute_share": simulation.stall_cycles["recompute"] / simulation.total_cycles,
            "energy_pj": by_component(charge(self.lowered.counts, table)),
        }


@dataclass(frozen=True)
class Run:
    """A workload under a policy on a machine, charged by an energy table."""

    hardware: Hardware
    workload: str
    policy: Policy
    inference: Inference
    layers: tuple[LayerRun, ...]
    energy_table: EnergyTable

    @property
    def total_cycles(self) -> int:
        """Cycles of all layers, one after the other."""
        return sum(layer.simulation.total_cycles for layer in self.layers)

    @property
    def latency_s(self) -> float:
        """Time of all layers."""
        return self.hardware.seconds(self.total_cycles)

    @cached_property
    def counts(self) -> Counts:
        """Actions of all layers."""
        return sum((layer.lowered.counts for layer in self.layers), Counts())

    @cached_property
    def energy_lines(self) -> tuple[EnergyLine, ...]:
        """Counts times costs; they sum to `energy_pj`."""
        return charge(self.counts, self.energy_table)

    @cached_property
    def energy_pj(self) -> float:
        """Energy of all layers."""
        return total_pj(self.energy_lines)

    @property
    def energy_per_inference_pj(self) -> float:
        """Energy divided by the number of samples."""
        return self.energy_pj / self.inference.trace.samples

    @property
    def accuracy(self) -> float | None:
        """Fraction of test samples classified right; None without weights."""
        return self.inference.accuracy

    @property
    def kl_divergence(self) -> float | None:
        """Mean KL divergence from the float32 network, in nats; None without weights."""
        return self.inference.kl_divergence

    @property
    def recompute_rate(self) -> float:
        """Recomputed outputs as a fraction of all outputs."""
        return self.inference.trace.recompute_rate

    def with_table(self, table: EnergyTable) -> Run:
        """Return the same run under other costs; nothing is simulated again."""
        return Run(self.hardware, self.workload, self.policy, self.inference, self.layers, table)

    def as_row(self) -> dict[str, Any]:
        """Return one flat record, units in the names, for a table of runs."""
        energy = by_component(self.energy_lines)
        row: dict[str, Any] = {
            "hardware": self.hardware.name,
            "workload": self.workload,
            "policy": str(self.policy),
            "energy_table": self.energy_table.name,
            "samples": self.inference.trace.samples,
            "accuracy": self.accuracy,
            "kl_divergence_nats": self.kl_divergence,
            "recompute_rate": self.recompute_rate,
            "false_negative_rate": self.inference.false_negative_rate,
            "total_cycles": self.total_cycles,
            "latency_s": self.latency_s,
            "energy_pj": self.energy_pj,
            "energy_per_inference_pj": self.energy_per_inference_pj,
        }
        for component in COMPONENTS:
            row[f"{component}_pj"] = energy.get(component, 0.0)
        return row

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the whole, and every layer."""
        kl = self.kl_divergence
        return {
            "hardware": self.hardware.name,
            "workload": self.workload,
            "policy": str(self.policy),
            "energy_table": self.energy_table.name,
            "samples": self.inference.trace.samples,
            "total_cycles": self.total_cycles,
            "latency_s": self.latency_s,
            "energy_pj": self.energy_pj,
            "recompute_rate": self.recompute_rate,
            "accuracy": self.accuracy,
            "kl_divergence_nats": kl if kl is not None and math.isfinite(kl) else None,
            "layers": [layer.as_dict(self.hardware, self.energy_table) for layer in self.layers],
            "counts": [
                {
                    "component": line.component,
                    "action": str(line.action),
                    "number": line.number,
                    "unit": line.action.unit,
                    "energy_pj_each": line.cost.energy_pj,
                    "energy_pj": line.energy_pj,
                    "kind": line.cost.kind,
                    "source": line.cost.source,
                }
                for line in self.energy_lines
            ],
        }

    def as_trace(self) -> dict[str, Any]:
        """Return the timelines of all layers as Chrome trace events, for Perfetto."""
        return chrome_trace((layer.simulation.timeline for layer in self.layers), self.hardware)

    def __repr__(self) -> str:
        return f"<Run: {self}>"

    def _repr_html_(self) -> str:
        """Show the run as a table in a notebook; everything in it is escaped."""
        cells = (
            (
                html.escape(key),
                html.escape(f"{value:.6g}" if isinstance(value, float) else str(value)),
            )
            for key, value in self.as_row().items()
            if value is not None
        )
        body = "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in cells)
        return f"<table>{body}</table>"

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.4f}"
        return (
            f"{self.workload} on {self.hardware.name}, {self.policy}: {self.total_cycles} cycles,"
            f" {self.energy_pj:.6g} pJ{accuracy}, recompute rate {self.recompute_rate:.4f}"
        )
