"""A run: a workload under a policy on a machine, with its cycles, joules and accuracy."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from accelsim.energy import (
    CAUSES,
    Area,
    BuiltParts,
    CostError,
    EnergyLine,
    Estimator,
    Item,
    LeakingPart,
    Needs,
    Part,
    adding_up,
    area_of,
    area_um2,
    built,
    by_cause,
    by_component,
    charge,
    leakage_by_part_mw,
    leakage_mw,
    leakage_pj,
    part_name,
    total_pj,
)
from accelsim.errors import AccelsimError
from accelsim.infer import Inference
from accelsim.machine import (
    STALL_CAUSES,
    ByCause,
    Counts,
    Hardware,
    LoweredVector,
    chrome_trace,
)
from accelsim.policies import Policy
from accelsim.result.layer import LayerRun

COMPONENTS = (
    "array",
    "recompute",
    "detector",
    "vector",
    "wires",
    "clock",
    "queue",
    "scratchpad_a",
    "scratchpad_b",
    "scratchpad_c",
    "dram",
)
_SHOWN = ("name", "macs", "total_cycles", "utilization", "bottleneck", "recompute_rate")
"""What a notebook shows of a layer, beside its energy."""


@dataclass(frozen=True)
class Run:
    """A workload under a policy on a machine, charged by an energy table."""

    hardware: Hardware
    workload: str
    policy: Policy
    inference: Inference
    layers: tuple[LayerRun, ...]
    energy_table: Estimator

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
        return self.counts_by_cause.total

    @cached_property
    def counts_by_cause(self) -> ByCause:
        """Actions of all layers by what they are done for."""
        return sum((layer.lowered.by_cause for layer in self.layers), ByCause())

    @cached_property
    def energy_lines(self) -> tuple[EnergyLine, ...]:
        """Counts times costs, cause by cause; they sum to `energy_pj`."""
        return charge(self.counts_by_cause, self.energy_table)

    @cached_property
    def energy_pj(self) -> float:
        """Energy of all actions of all layers; leakage is apart, in `leakage_pj`."""
        return total_pj(self.energy_lines)

    @property
    def energy_per_inference_pj(self) -> float:
        """Energy divided by the number of samples."""
        return self.energy_pj / self.inference.trace.samples

    @cached_property
    def needs(self) -> Needs:
        """What the layers need of a machine: it has the accumulators that the policy uses."""
        lists = [
            layer.lowered.list_bytes
            for layer in self.layers
            if not isinstance(layer.lowered, LoweredVector)
        ]
        return Needs.of(self.inference.trace.products, max(lists, default=0))

    @cached_property
    def area(self) -> Item | None:
        """Area of such a machine by component, in um2; None if the table gives no areas."""
        return self._known(area_um2)

    @cached_property
    def built(self) -> BuiltParts:
        """How many of each part such a machine has, by component."""
        return built(self.hardware, self.needs)

    @cached_property
    def parts(self) -> dict[Part, Area]:
        """What one of each part that is built occupies and leaks; none if that is not known."""
        if self.area is None:
            return {}
        each = dict.fromkeys(part for parts in self.built.values() for part in parts)
        return {part: area_of(self.energy_table, part) for part in each}

    @cached_property
    def leakage(self) -> Item | None:
        """Power that it takes while it is on by component, in mW; None if that is not known."""
        return self._known(leakage_mw)

    def _known(self, found: Callable[[Hardware, Needs, Estimator], Item]) -> Item | None:
        try:
            return found(self.hardware, self.needs, self.energy_table)
        except CostError:  # not unknown, but wrong
            raise
        except AccelsimError:
            return None

    @property
    def leakage_pj(self) -> float | None:
        """What leaks in the time of all layers; None if the table does not say."""
        return None if self.leakage is None else leakage_pj(self.leakage.value, self.latency_s)

    @cached_property
    def leakage_by_part_pj(self) -> dict[LeakingPart, float] | None:
        """What logic and memories leak of that; they add up to it exactly."""
        if self.leakage_pj is None:
            return None
        found = leakage_by_part_mw(self.hardware, self.needs, self.energy_table)
        parts = {part: leakage_pj(mw, self.latency_s) for part, mw in found.items()}
        return adding_up(parts, self.leakage_pj)

    @property
    def total_energy_pj(self) -> float | None:
        """Energy of all actions, and leakage; None if that is not known."""
        return None if self.leakage_pj is None else self.energy_pj + self.leakage_pj

    @property
    def energy_delay_product_pj_s(self) -> float | None:
        """Total energy times latency; None if leakage is not known."""
        total = self.total_energy_pj
        return None if total is None else total * self.latency_s

    @cached_property
    def energy_by_cause_pj(self) -> dict[str, float]:
        """Energy by cause, which add up to `total_energy_pj` exactly; if leakage is not known they
        are without it, and add up to `energy_pj`.
        """
        found = by_cause(self.energy_lines)
        if self.leakage_pj is None or self.total_energy_pj is None:
            return adding_up(found, self.energy_pj)
        return adding_up(found | {"leakage": self.leakage_pj}, self.total_energy_pj)

    @cached_property
    def energy_by_component_pj(self) -> dict[str, float]:
        """Energy by component, leakage apart; they add up to `energy_pj` exactly."""
        return adding_up(by_component(self.energy_lines), self.energy_pj)

    @property
    def stall_cycles(self) -> dict[str, int]:
        """Cycles of all layers in which the array stood still, by cause."""
        each = [layer.simulation.stall_cycles for layer in self.layers]
        return {cause: sum(stalls.get(cause, 0) for stalls in each) for cause in STALL_CAUSES}

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

    def with_table(self, table: Estimator) -> Run:
        """Return the same run under other costs; nothing is simulated again."""
        return Run(self.hardware, self.workload, self.policy, self.inference, self.layers, table)

    def as_row(self) -> dict[str, Any]:
        """Return one flat record, units in the names, for a table of runs."""
        energy = self.energy_by_component_pj
        row: dict[str, Any] = {
            "hardware": self.hardware.name,
            "workload": self.workload,
            "policy": str(self.policy),
            "energy_table": self.energy_table.name,
            "samples": self.inference.trace.samples,
            "accuracy": self.accuracy,
            "kl_divergence_nats": self.kl_divergence,
            "flip_rate": self.inference.flip_rate,
            "recompute_rate": self.recompute_rate,
            "false_negative_rate": self.inference.false_negative_rate,
            "total_cycles": self.total_cycles,
            "latency_s": self.latency_s,
            **{f"{cause}_stall_cycles": cycles for cause, cycles in self.stall_cycles.items()},
            "energy_pj": self.energy_pj,
            "energy_per_inference_pj": self.energy_per_inference_pj,
        }
        for component in COMPONENTS:
            row[f"{component}_pj"] = energy.get(component, 0.0)
        # In nJ: the columns in pJ are the components, which add up to energy_pj.
        causes = {cause: pj / 1e3 for cause, pj in self.energy_by_cause_pj.items()}
        if (total := _nj(self.total_energy_pj)) is not None:
            causes = adding_up(causes, total)
        row |= {f"{cause}_nj": causes.get(cause) for cause in CAUSES}
        for name, cluster in self.inference.clusters.items():
            row |= {f"flagged_{name}": cluster.flagged, f"flagged_{name}_by_lot": cluster.by_lot}
        return row | {
            "total_energy_nj": total,
            "energy_delay_product_pj_s": self.energy_delay_product_pj_s,
            "area_um2": None if self.area is None else self.area.value,
            "leakage_mw": None if self.leakage is None else self.leakage.value,
        }

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
            "energy_per_inference_pj": self.energy_per_inference_pj,
            "leakage_pj": self.leakage_pj,
            "leakage_by_part_pj": self.leakage_by_part_pj,
            "total_energy_pj": self.total_energy_pj,
            "energy_delay_product_pj_s": self.energy_delay_product_pj_s,
            "energy_by_component_pj": self.energy_by_component_pj,
            "energy_by_cause_pj": self.energy_by_cause_pj,
            "area_um2": _by_part(self.area),
            "leakage_mw": _by_part(self.leakage),
            "built": [
                {"component": component, "part": part_name(part), "number": number}
                for component, parts in self.built.items()
                for part, number in parts.items()
            ],
            "parts": [
                {
                    "part": part_name(part),
                    "area_um2_each": area.area_um2,
                    "leakage_mw_each": area.leakage_mw,
                }
                for part, area in self.parts.items()
            ],
            "recompute_rate": self.recompute_rate,
            "accuracy": self.accuracy,
            "kl_divergence_nats": kl if kl is not None and math.isfinite(kl) else None,
            "layers": [layer.as_dict(self.hardware, self.energy_table) for layer in self.layers],
            "counts": [
                {
                    "component": line.component,
                    "action": str(line.action),
                    "cause": line.cause,
                    "number": line.number,
                    "unit": line.action.unit,
                    "energy_pj_each": line.cost.energy_pj,
                    "energy_pj": line.energy_pj,
                    "kind": line.cost.kind,
                    "node_nm": line.cost.node_nm,
                    "voltage_v": line.cost.voltage_v,
                    "source": line.cost.source,
                }
                for line in self.energy_lines
            ],
        }

    @property
    def excerpt(self) -> dict[str, Any]:
        """Some cycles of the longest layer, from where outputs are first redone if any are: who is
        busy when, and what it stalls for.
        """
        return max(self.layers, key=lambda layer: layer.simulation.total_cycles).excerpt

    def as_trace(self) -> dict[str, Any]:
        """Return the timelines of all layers as Chrome trace events, for Perfetto."""
        return chrome_trace((layer.simulation.timeline for layer in self.layers), self.hardware)

    def __repr__(self) -> str:
        return f"<Run: {self}>"

    def _repr_html_(self) -> str:
        """Show the layers in a notebook, and all numbers folded away; everything is escaped."""
        layers = [layer.as_dict(self.hardware, self.energy_table) for layer in self.layers]
        head = _html_row("th", (*_SHOWN, "energy_pj"))
        body = "".join(
            _html_row("td", [*(row[key] for key in _SHOWN), sum(row["energy_pj"].values())])
            for row in layers
        )
        known = [pair for pair in self.as_row().items() if pair[1] is not None]
        rest = "".join(_html_row("td", pair) for pair in known)
        return (
            f"<table><caption>{html.escape(str(self))}</caption><thead>{head}</thead>"
            f"<tbody>{body}</tbody></table>"
            f"<details><summary>{len(known)} numbers of all layers</summary>"
            f"<table>{rest}</table></details>"
        )

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.4f}"
        return (
            f"{self.workload} on {self.hardware.name}, {self.policy}: {self.total_cycles} cycles,"
            f" {self.energy_pj:.6g} pJ{accuracy}, recompute rate {self.recompute_rate:.4f}"
        )


def _html_row(tag: str, values: Iterable[object]) -> str:
    texts = (f"{value:.6g}" if isinstance(value, float) else str(value) for value in values)
    return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"


def _nj(pj: float | None) -> float | None:
    return None if pj is None else pj / 1e3


def _by_part(item: Item | None) -> dict[str, float] | None:
    """Return component -> value, which add up to the whole."""
    return None if item is None else {part.name: part.value for part in item.parts}
