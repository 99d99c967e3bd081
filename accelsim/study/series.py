"""A grid of points: every policy on every machine, one inference for all machines."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.config import load_energy_table
from accelsim.infer import Inference, Prepared, infer
from accelsim.machine import Hardware
from accelsim.point import measure
from accelsim.policies import Policy
from accelsim.progress import Progress, silent
from accelsim.result import Run


def infer_all(
    prepared: Prepared, policies: Sequence[Policy], progress: Progress = silent
) -> list[Inference]:
    """Run one workload under every policy, in order, and find what each rule missed."""
    name = prepared.workload.name
    return [infer(prepared, policy, audit=True) for policy in progress(policies, f"infer {name}")]


def measure_all(
    machines: Sequence[Hardware],
    workload_name: str,
    policies: Sequence[Policy],
    inferences: Sequence[Inference],
    progress: Progress = silent,
) -> list[Run]:
    """Charge every machine for every inference, machine by machine."""
    points = [
        (machine, policy, inference)
        for machine in machines
        for policy, inference in zip(policies, inferences, strict=True)
    ]
    return [
        measure(machine, workload_name, policy, inference, load_energy_table(machine.energy_table))
        for machine, policy, inference in progress(points, f"simulate {workload_name}")
    ]
