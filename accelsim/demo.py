"""The main job: the digit networks on three machines, under every policy, and a report."""

from __future__ import annotations

import math
from pathlib import Path

from accelsim.config import (
    energy_table_names,
    load_energy_table,
    load_hardware,
    load_workload,
    shipped,
)
from accelsim.files import make_folder
from accelsim.infer import prepare
from accelsim.policies import Policy, Random, parse_policy
from accelsim.progress import Progress, silent
from accelsim.report import Demo, write_report
from accelsim.study import infer_all, measure_all

MACHINES = ("edge-16x16", "mid-32x32", "datacentre-128x128")
WORKLOADS = ("digits-relu", "digits-tanh")
WITHOUT_RECOMPUTATION = (
    "uniform-low",
    "uniform-high",
    "uniform:format=fp16",
    "uniform:format=bf16",
    "chunked:chunk=16",
    "chunked:chunk=32",
)
TAUS = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
SEEDS = (0, 1, 2)


def run_demo(folder: Path, progress: Progress = silent) -> Demo:
    """Run the demo and write its report into `folder`. Returns what was found."""
    make_folder(folder)  # a place that cannot be written to is better known now than at the end
    machines = {name: load_hardware(shipped("hwconfigs", name)) for name in MACHINES}
    runs = []
    for name in WORKLOADS:
        workload = load_workload(shipped("workloads", name))
        prepared = prepare(workload, progress)
        policies = [parse_policy(text) for text in WITHOUT_RECOMPUTATION]
        selective: list[Policy] = [
            parse_policy(f"selective:tau={tau},numerator={numerator}")
            for numerator in ("constant", "exact")
            for tau in TAUS
        ]
        policies += selective
        inferences = infer_all(prepared, policies, progress)
        rates = sorted(
            {
                inference.trace.layer_rates
                for policy, inference in zip(policies, inferences, strict=True)
                if policy in selective
            }
        )
        controls = [Random(layer_rates=rate, seed=seed) for rate in rates for seed in SEEDS]
        inferences += infer_all(prepared, controls, progress)
        runs += measure_all(
            list(machines.values()), name, [*policies, *controls], inferences, progress
        )
    inputs = [shipped("hwconfigs", name) for name in MACHINES]
    inputs += [shipped("workloads", name) for name in WORKLOADS]
    inputs += [path.with_suffix(".npz") for path in inputs if path.parent.name == "workloads"]
    tables = tuple(load_energy_table(name) for name in energy_table_names())
    demo = Demo(tuple(runs), tables, tuple(inputs), SEEDS)
    write_report(demo, folder, progress)
    return demo
