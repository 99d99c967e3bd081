"""One point: a workload under a policy on a machine. The table of contents of the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from accelsim.config import load_energy_table, load_hardware, load_workload
from accelsim.energy import Estimator
from accelsim.errors import AccelsimError, InputError
from accelsim.infer import Inference, infer, prepare
from accelsim.machine import Hardware, lower_layer, simulate_layer
from accelsim.networks import Workload
from accelsim.policies import Policy, parse_policy
from accelsim.progress import Progress, silent
from accelsim.result import LayerRun, Run
from accelsim.trace import LayerTrace, VectorTrace

RunLayer = Callable[[LayerTrace | VectorTrace, Hardware], LayerRun]


def run(
    hardware: str | Path | Hardware,
    workload: str | Path | Workload,
    policy: str | Policy,
    energy_table: str | Path | Estimator | None = None,
    progress: Progress = silent,
) -> Run:
    """Run `workload` under `policy` on `hardware`, each a file or an object.

    `policy` is text such as `selective:tau=8`; `energy_table` (a shipped name, a file or an
    object) replaces the one the hardware names. Raises InputError, with a line for every problem in
    the files, or AccelsimError.
    """
    machine, load, rule, table = load_inputs(hardware, workload, policy, energy_table)
    inference = infer(prepare(load, progress), rule, progress=progress)
    return measure(machine, load.name, rule, inference, table, progress)


def measure(
    hardware: Hardware,
    workload_name: str,
    policy: Policy,
    inference: Inference,
    energy_table: Estimator,
    progress: Progress = silent,
    run_layer: RunLayer | None = None,
) -> Run:
    """Charge `hardware` for an inference that has been done.

    Layers that differ in name alone, and of which nothing is redone, are simulated once.
    `run_layer` does one layer; one that remembers layers of other runs may take the place of
    `time_layer`.
    """
    layers: list[LayerRun] = []
    done: dict[object, LayerRun] = {}
    for trace in progress(inference.trace.layers, f"measure {workload_name}"):
        alike = _without_name(trace)
        if alike in done:
            layers.append(done[alike].renamed(trace))
            continue
        layer = run_layer(trace, hardware) if run_layer else time_layer(trace, hardware, progress)
        if alike is not None:
            done[alike] = layer
        layers.append(layer)
    return Run(hardware, workload_name, policy, inference, tuple(layers), energy_table)


def time_layer(
    trace: LayerTrace | VectorTrace, hardware: Hardware, progress: Progress = silent
) -> LayerRun:
    """Run one layer on an idle machine."""
    lowered = lower_layer(trace, hardware)
    return LayerRun(lowered, simulate_layer(lowered, hardware, progress))


def _without_name(trace: LayerTrace | VectorTrace) -> object:
    """Return what all layers that take the same are equal to; None if outputs are redone."""
    if isinstance(trace, VectorTrace):
        return replace(trace, name="")
    if trace.recomputed_outputs:
        return None
    shape = replace(trace, name="", recompute_accumulator=None, recomputed=None)
    return shape, trace.recompute_accumulator


def load_inputs(
    hardware: str | Path | Hardware,
    workload: str | Path | Workload,
    policy: str | Policy,
    energy_table: str | Path | Estimator | None,
) -> tuple[Hardware, Workload, Policy, Estimator]:
    """Load whatever is not an object yet, and report the problems of all at once."""
    problems: list[str] = []
    machine, load, rule, table = None, None, None, None
    try:
        machine = hardware if isinstance(hardware, Hardware) else load_hardware(hardware)
    except InputError as error:
        problems += error.problems
    try:
        load = workload if isinstance(workload, Workload) else load_workload(workload)
    except InputError as error:
        problems += error.problems
    try:
        rule = parse_policy(policy)
    except InputError as error:
        problems += error.problems
    except AccelsimError as error:
        problems.append(str(error))
    if energy_table is None and machine is not None:
        energy_table = machine.energy_table
    try:
        if isinstance(energy_table, str | Path):
            energy_table = load_energy_table(energy_table)
        table = energy_table
    except InputError as error:
        problems += error.problems
    if machine is None or load is None or rule is None or table is None:
        raise InputError(problems)
    return machine, load, rule, table
