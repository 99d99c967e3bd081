"""The report as files: HTML in one piece, Markdown, CSV, figures, and a manifest."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import platform
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2

from accelsim.energy import EnergyLine, charge, total_pj
from accelsim.files import make_folder, write_whole
from accelsim.machine import LoweredLayer
from accelsim.policies import Selective
from accelsim.progress import Progress, silent
from accelsim.report import figures
from accelsim.report.findings import TOLERANCE, Case, Demo, shown_runs
from accelsim.report.robustness import robustness, side_by_side, spent, survival
from accelsim.result import LayerRun, Run

PACKAGES = (
    "accelsim",
    "jinja2",
    "matplotlib",
    "numba",
    "numpy",
    "pydantic",
    "pyyaml",
    "scikit-learn",
    "simpy",
)
TIMELINE_FOLDS = 14
WORKED_TAU = 8.0


def write_report(demo: Demo, folder: Path, progress: Progress = silent) -> None:
    """Write the report of `demo` into `folder`: every file whole, the figures first."""
    pictures = _figures(demo, progress)
    worked_run, worked_layer = _worked(demo)
    context = {
        "demo": demo,
        "answer": demo.answer(),
        "machines": [(name, _cases(demo, name)) for name in demo.machines],
        "survives": [survival(demo), *demo.tables_sentences()],
        "side_by_side": side_by_side(demo),
        "spent": spent(demo),
        "sensitive": [robustness(demo, case).sentence() for case in demo.cases],
        "tolerance": TOLERANCE,
        "figures": {name: caption for name, (caption, _) in pictures.items()},
        "worked": _worked_context(worked_run, worked_layer),
        "manifest": _manifest(demo),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("accelsim.report"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["share"] = lambda rate: "" if rate is None else f"{rate:.4f}"
    environment.filters["nj"] = lambda pj: f"{pj / 1e3:.3f}"
    images = {
        name: "data:image/png;base64," + base64.b64encode(png).decode("ascii")
        for name, (_, png) in pictures.items()
    }
    contents: dict[str, bytes | str] = {
        f"figures/{name}.png": png for name, (_, png) in pictures.items()
    }
    contents["results.csv"] = _csv(_result_rows(demo))
    contents["layers.csv"] = _csv(_layer_rows(demo))
    contents["counts.csv"] = _csv(_count_rows(demo))
    contents["report.md"] = environment.get_template("report.md.j2").render(context)
    contents["report.html"] = environment.get_template("report.html.j2").render(
        context, images=images
    )
    contents["manifest.json"] = json.dumps(context["manifest"], indent=2, ensure_ascii=False) + "\n"
    make_folder(folder / "figures")
    for name, content in contents.items():
        write_whole(folder / name, content)


def _figures(demo: Demo, progress: Progress) -> dict[str, tuple[str, bytes]]:
    """Return name -> (caption, PNG)."""
    recipes: list[tuple[str, str, Callable[[], bytes]]] = [
        (
            "recompute-rate",
            "Accuracy and KL divergence from the float32 outputs against recompute rate. The random"
            " control redoes as many outputs of every layer as κ does; its band spans the seeds."
            " Values do not depend on the machine.",
            lambda: figures.recompute_rate(demo),
        )
    ]
    recipes += [
        (
            f"energy-front-{workload}",
            f"{workload}: accuracy (up is better) and KL divergence (down is better) against energy"
            " per inference. Dashed: the Pareto front over all policies.",
            partial(figures.energy_front, demo, workload),
        )
        for workload in demo.workloads
    ]
    recipes += [
        (
            f"energy-components-{workload}",
            f"{workload}: energy per inference by component, for each policy and machine.",
            partial(figures.energy_by_component, demo, workload),
        )
        for workload in demo.workloads
    ]
    recipes += [
        (
            f"sensitivity-{workload}",
            f"{workload}: what each constant of the energy table does to the saving of the cheapest"
            " κ run that is as accurate as uniform-high, where it goes from the lowest to the"
            " highest of its sources.",
            partial(figures.tornado, demo, workload),
        )
        for workload in demo.workloads
    ]
    picked = [_selective(demo.case(machine, demo.workloads[0])) for machine in demo.machines]
    recipes.append(
        (
            "timeline",
            "Who is busy when in the first folds of one layer, a row a unit; in the array's row"
            " its stalls by cause. Where the array itself redoes outputs, it does nothing else"
            " until that is done. Separate lanes redo them while the array goes on, until the"
            " tiles that wait for them fill the scratchpads.",
            lambda: figures.gantt([(run, run.layers[0]) for run in picked], TIMELINE_FOLDS),
        )
    )
    return {name: (caption, draw()) for name, caption, draw in progress(recipes, "draw figures")}


def _cases(demo: Demo, machine: str) -> list[dict[str, Any]]:
    cases = [demo.case(machine, workload) for workload in demo.workloads]
    return [
        {
            "name": case.workload,
            "sentences": case.sentences(),
            "table": case.table.name,
            "runs": shown_runs(case),
            "high": case.high,
            "hardware": case.runs[0].hardware,
        }
        for case in cases
    ]


def _selective(case: Case) -> Run:
    return next(
        run
        for run in case.selective("constant")
        if isinstance(run.policy, Selective) and run.policy.tau == WORKED_TAU
    )


def _worked(demo: Demo) -> tuple[Run, LayerRun]:
    run = _selective(demo.case(demo.machines[0], demo.workloads[0]))
    return run, run.layers[0]


def _worked_context(run: Run, layer: LayerRun) -> dict[str, Any]:
    lines = charge(layer.lowered.counts, run.energy_table)
    return {
        "run": run,
        "trace": layer.trace,
        "lowered": layer.lowered,
        "simulation": layer.simulation,
        "lines": lines,
        "total_pj": total_pj(lines),
    }


def _result_rows(demo: Demo) -> Iterable[dict[str, Any]]:
    for run in demo.runs:
        for table in demo.tables:
            yield run.with_table(table).as_row()


def _layer_rows(demo: Demo) -> Iterable[dict[str, Any]]:
    for run, layer in _shown_layers(demo):
        lowered, simulation = layer.lowered, layer.simulation
        if not isinstance(lowered, LoweredLayer):
            continue
        trace = lowered.trace
        yield {
            "hardware": run.hardware.name,
            "workload": run.workload,
            "policy": str(run.policy),
            "layer": trace.name,
            "m": trace.m,
            "k": trace.k,
            "n": trace.n,
            "tile_m": lowered.tiling.m,
            "tile_k": lowered.tiling.k,
            "tile_n": lowered.tiling.n,
            "order": lowered.tiling.order,
            "tiles": len(lowered.first.sequence),
            "waves": lowered.waves,
            "wave_cycles": lowered.first.kinds[0].parts[0].time.interval,
            "drain_cycles": lowered.first.kinds[0].drain_cycles,
            "recomputed_outputs": trace.recomputed_outputs,
            "compute_cycles": simulation.compute_cycles,
            "stall_dram_cycles": simulation.stall_cycles["dram"],
            "stall_scratchpad_cycles": simulation.stall_cycles["scratchpad"],
            "stall_recompute_cycles": simulation.stall_cycles["recompute"],
            "total_cycles": simulation.total_cycles,
        }


def _count_rows(demo: Demo) -> Iterable[dict[str, Any]]:
    for run, layer in _shown_layers(demo):
        lines: tuple[EnergyLine, ...] = charge(layer.lowered.by_cause, run.energy_table)
        for line in lines:
            yield {
                "hardware": run.hardware.name,
                "workload": run.workload,
                "policy": str(run.policy),
                "layer": layer.trace.name,
                "component": line.component,
                "action": str(line.action),
                "cause": line.cause,
                "number": line.number,
                "unit": line.action.unit,
                "energy_table": run.energy_table.name,
                "energy_pj_each": line.cost.energy_pj,
                "energy_pj": line.energy_pj,
                "kind": line.cost.kind,
                "node_nm": line.cost.node_nm,
                "source": line.cost.source,
            }


def _shown_layers(demo: Demo) -> Iterable[tuple[Run, LayerRun]]:
    for case in demo.cases:
        for run in shown_runs(case):
            for layer in run.layers:
                yield run, layer


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    stream = io.StringIO()
    records = list(rows)
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def _manifest(demo: Demo) -> dict[str, Any]:
    return {
        "command": "accelsim demo",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "seeds": {"random control": list(demo.seeds), "training": 0, "train and test split": 0},
        "inputs_sha256": {
            f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in demo.inputs
        },
        "energy_tables_sha256": {
            table.name: hashlib.sha256(table.model_dump_json().encode("utf-8")).hexdigest()
            for table in demo.tables
        },
    }
