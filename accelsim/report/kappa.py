"""The section of a study of κ: does selective recomputation pay, and what does that depend on?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from accelsim.energy import EnergyTable
from accelsim.energy.sensitivity import LEAKAGE, records
from accelsim.policies import Selective
from accelsim.report import kappa_figures
from accelsim.report.case import TOLERANCE, Case, shown_runs
from accelsim.report.findings import Demo
from accelsim.report.leaks import areas_of, leaks
from accelsim.report.page import Column, Figure, Section, Table
from accelsim.report.robustness import robustness, side_by_side, spent, strongest, survival
from accelsim.report.runs import KeptRun
from accelsim.report.spread_table import spread_table
from accelsim.study.table import to_csv

TITLE = "Does selective recomputation pay on these machines?"
PARTS, SOURCES, SPREADS = "parts.csv", "sources.csv", "spreads.csv"
WORKED_TAU = 8.0
LEFT_OUT = (
    "Requantisation, control and the clock of what stands idle are not charged, nor are wires but"
    " those from PE to PE. Control would grow with what redoing reads and with its time, so that"
    " this favours recomputation. Activation functions take energy and no time.",
    "What leaks in the time of a run is in the energies above. Its density is known for logic at"
    " 40 nm and for memories of known cells; elsewhere that of logic is taken. The sections that"
    " every study has, on the best points, fronts and what matters, have it too, as energy with"
    " what leaks, of the whole test set and not of one inference.",
    "DRAM is charged by the bit that moves. What it takes for as long as it is on, background power"
    " and refresh, is not charged; what redoes outputs lasts longer, so that this favours"
    " recomputation, too.",
    "The sticky overflow flag of each accumulator, and drawing the numbers of the random control,"
    " are not charged.",
    "Area is that of the machine that a policy needs: one that redoes nothing has no second"
    " accumulators. Control, wires and interfaces have none here.",
    "Uniform-high runs on the same array at the same clock, with high-precision accumulators in its"
    " PEs.",
    "Activations go to DRAM and back between layers, and the whole test set is one batch.",
    "Inputs of convolutions are charged as the unrolled matrix.",
    "Outputs redone together on lanes share the rows and columns they have in common; the wires"
    " that spread them are not charged, and scratchpad bandwidth is limited only where a machine"
    " says so.",
    "Costs of formats that no table measures come from power laws in the significand's width,"
    " marked “estimated”.",
)


def kappa_sections(demo: Demo) -> list[Section]:
    """Return the sections of a study of κ: findings, tables, one run by hand, what is left out."""
    samples = demo.runs[0].samples
    rule = (
        "Everything is accumulated in a low-precision format first; outputs whose condition number"
        " κ exceeds τ are then redone in a high one. “As accurate as uniform-high” means at most"
        f" {TOLERANCE * 100:g} points less accuracy on the {samples} test samples, on which one"
        f" point of accuracy is {samples / 100:.0f} samples. Energies are per inference, the whole"
        " test set being one batch, and include what the machine leaks in that time, here and under"
        " every table."
    )
    caption = (
        "Accuracy and KL divergence from the float32 outputs against recompute rate. The random"
        " control redoes as many outputs of every layer as κ does; its band spans the seeds. Values"
        " do not depend on the machine."
    )
    first = Section(
        "What recomputing buys, and what it costs",
        paragraphs=(rule,),
        figures=(Figure(caption, kappa_figures.recompute_rate(demo)),),
        sections=(*(_machine(demo, name) for name in demo.machines), *_tables(demo)),
    )
    return [first, _by_hand(demo), Section("What this model leaves out", findings=LEFT_OUT)]


def _machine(demo: Demo, name: str) -> Section:
    cases = [case for case in demo.cases if case.hardware == name]
    return Section(
        f"Findings on {name}",
        paragraphs=(f"{demo.descriptions[name]}.",),
        sections=tuple(
            Section(
                f"{case.workload} on {name}",
                findings=tuple(one for one in case.sentences() if one),
                tables=(_runs_table(case),),
            )
            for case in cases
        ),
    )


def _runs_table(case: Case) -> Table:
    heads = (
        Column("policy"), Column("recompute rate", True), Column("false negatives", True),
        Column("accuracy", True), Column("KL (nats)", True),
        Column("energy per inference (nJ)", True), Column("against uniform-high (%)", True),
        Column("total cycles", True), Column("latency (µs)", True),
    )  # fmt: skip
    missed = [run.false_negative_rate for run in shown_runs(case)]
    rows = tuple(
        (
            str(run.policy),
            f"{run.recompute_rate:.4f}",
            "" if rate is None else f"{rate:.4f}",
            f"{run.accuracy:.4f}",
            f"{run.kl_divergence:.5f}",
            f"{run.charged_per_inference_pj / 1e3:.3f}",
            f"{(run.charged_pj / case.high.charged_pj - 1) * 100:+.1f}",
            str(run.total_cycles),
            f"{run.latency_s * 1e6:.2f}",
        )
        for run, rate in zip(shown_runs(case), missed, strict=True)
    )
    caption = f"{case.workload} on {case.hardware}, {case.table.name} table, but for the controls."
    return Table(caption, heads, rows)


def _tables(demo: Demo) -> list[Section]:
    """Return what the findings depend on: the table, and each constant of it."""
    names = [table.name for table in demo.tables]
    head, rows = spent(demo)
    parts = (
        "In nJ an inference, with what leaks; parts add up in the last digit. Useful low work is"
        " what of the first pass is not redone, and vector work, in whatever format: that of"
        " uniform-high is high work. Memory is scratchpads"
        " and DRAM, that of the first pass and that of recomputation; discarded low work is the"
        " first pass over what is then redone. Energy × delay is that of the whole test set: all of"
        " its energy in pJ, leakage included, times all of its time in s."
    )
    by_cause = Table(
        parts,
        (Column("case"), Column("policy"), *(Column(name, True) for name in head)),
        tuple(tuple(row) for row in rows),
    )
    caption = (
        "What the cheapest κ run of that accuracy takes more than uniform-high, and than the"
        " cheapest run that redoes nothing, with what leaks."
    )
    found = [
        Section("What energy is spent on", tables=(by_cause,)),
        Section(
            "Under every energy table",
            paragraphs=_conditions(demo),
            findings=(survival(demo), *demo.tables_sentences()),
            tables=(
                Table(
                    caption,
                    (Column("case"), *(Column(f"{name}: both (%)") for name in names)),
                    tuple((name, *cells) for name, cells in side_by_side(demo)),
                ),
            ),
        ),
    ]
    known = {table.name for table in demo.known_tables}
    gone = ", ".join(name for name in names if name not in known)
    why = (
        f"Of the energy tables {gone} only the costs are kept with these results: each was an"
        " estimator of a script, or is not what it was for the version that kept them. What follows"
        " leaves them out.",
    )
    if not demo.known_cases:
        return [*found, Section("Between the sources of each constant", paragraphs=why)]
    each = (
        "Sources speak of an operation, and how its widths compare is the law's of the table: all"
        " formats of a kind go by one factor, as memories of all capacities do, so that nothing"
        " narrow or small ever takes more than something wide or large. Each of these families goes"
        " its own way; under a table of the list above they go together. The sources are the same"
        " whichever tables a study is charged by: shipped ones for comparable logic, the study's"
        " own, and the alternatives that entries list."
    )
    caption = (
        "What each constant of the energy table does to the saving of the κ run that is cheapest of"
        " those as accurate as uniform-high, where it goes from the lowest to the highest of its"
        " sources; dotted: neither saves nor takes more."
    )
    return [
        *found,
        Section(
            "Between the sources of each constant",
            paragraphs=(each, *(why if gone else ())),
            findings=tuple(robustness(demo, case).sentence() for case in demo.known_cases),
            figures=(Figure(caption, kappa_figures.tornado(demo), SPREADS),),
            tables=tuple(_ends_table(demo, case) for case in demo.known_cases),
        ),
    ]


def _conditions(demo: Demo) -> tuple[str, ...]:
    """Say at which node and voltage the tables are that are at hand."""
    said = "; ".join(table.conditions for table in demo.known_tables)
    return (f"Nodes and voltages, of what says none of its own: {said}.",) if said else ()


def _ends_table(demo: Demo, case: Case) -> Table:
    """Return who stands at either end of the bars of a tornado figure."""
    found = robustness(demo, case)
    return spread_table(
        f"{case.workload} on {case.hardware}",
        found.table.name,
        str(case.best_selective.policy),
        strongest(found, kappa_figures.BARS),
        SPREADS,
    )


def _worked(demo: Demo) -> KeptRun:
    case = demo.case(demo.machines[0], demo.workloads[0])
    runs = case.selective("constant") or case.of(Selective)
    chosen = [r for r in runs if isinstance(r.policy, Selective) and r.policy.tau == WORKED_TAU]
    return (chosen or runs)[0]


def _by_hand(demo: Demo) -> Section:
    """Return the counts and costs of one run, which add up to its energy, and its cycles."""
    run = _worked(demo)
    built = run.detail.get("built")  # which older versions did not keep
    known = {table.name for table in demo.known_tables}
    unknown = ", ".join(table.name for table in demo.tables if table.name not in known)
    lines = tuple(
        (line.component, line.cause.replace("_", " "), str(line.action), str(line.number),
         f"{line.cost.energy_pj:.6g}", f"{line.energy_pj:.1f}", line.cost.kind, line.cost.said)
        for line in run.energy_lines
    )  # fmt: skip
    heads = (
        Column("component"), Column("cause"), Column("action"), Column("number", True),
        Column("pJ each", True),
        Column("pJ", True), Column("kind"), Column("source"),
    )  # fmt: skip
    layers = tuple(
        (
            str(layer["name"]),
            *(str(layer[key]) for key in ("macs", "recomputed_outputs", "compute_cycles")),
            *(str(layer["stall_cycles"].get(cause, 0)) for cause in ("dram", "recompute")),
            str(layer["total_cycles"]),
        )
        for layer in run.layers
    )
    layer_heads = (
        Column("layer"), Column("MACs", True), Column("outputs redone", True),
        Column("compute cycles", True), Column("waits for DRAM (cycles)", True),
        Column("recomputation (cycles)", True), Column("total cycles", True),
    )  # fmt: skip
    return Section(
        "One run by hand",
        paragraphs=(
            f"{run.workload} on {run.hardware}, {run.policy}: {run.samples} samples take"
            f" {run.total_cycles} cycles, the sum of its layers', and {run.energy_pj:.1f} pJ, the"
            f" sum of {len(lines)} numbers times costs{_leaked(run)}. The same for every run tabled"
            " above is in layers.csv and counts.csv, in which every line has the source of its cost"
            " under its machine's table; sources.csv has what every action costs under each table,"
            " what it occupies and what leaks, and who says so; leakage.csv has what logic and SRAM"
            " leak of every run under each table, as area times density times time"
            + (", and parts.csv how many of each part make up these areas." if built else ".")
            + (f" Of {unknown} only the costs are kept." if unknown else ""),
        ),
        tables=(
            Table("Cycles, layer by layer.", layer_heads, layers),
            Table("Energy, action by action.", heads, lines),
        ),
    )


def _leaked(run: KeptRun) -> str:
    return "" if run.leakage_pj is None else f"; {run.leakage_pj:.1f} pJ more leak meanwhile"


def kappa_files(demo: Demo) -> dict[str, str]:
    """Return layers, counts and leakage of the runs that are tabled, as comma-separated values."""
    runs = [run for case in demo.cases for run in shown_runs(case)]
    layers = [{**_names(run), **_flat(layer)} for run in runs for layer in run.layers]
    counts = [
        {
            **_names(run),
            "component": line.component,
            "action": str(line.action),
            "number": line.number,
            "unit": line.action.unit,
            "energy_table": run.table,
            "energy_pj_each": line.cost.energy_pj,
            "energy_pj": line.energy_pj,
            "cause": line.cause,
            "kind": line.cost.kind,
            "node_nm": line.cost.node_nm,
            "voltage_v": line.cost.voltage_v,
            "source": line.cost.source,
        }
        for run in runs
        for line in run.energy_lines
    ]
    spreads = [
        {
            "hardware": case.hardware,
            "workload": case.workload,
            "policy": str(case.best_selective.policy),
            "energy_table": case.table.name,
            **one,
        }
        for case in demo.known_cases
        for one in records(robustness(demo, case).swings)
    ]
    at_hand = {table.name: table for table in demo.known_tables}
    charged = {
        table.name: [run for case in demo.cases for run in shown_runs(case.under(table))]
        for table in demo.tables
    }
    sources = [row for name in charged for row in _sources(name, at_hand.get(name), charged[name])]
    leaking = [
        {**_names(run), **leak}
        for case in demo.cases
        for table in demo.tables
        for run in shown_runs(case.under(table))
        for leak in leaks(run.detail, at_hand.get(run.table), PARTS, SOURCES)
    ]
    files = {"layers.csv": layers, "counts.csv": counts, SOURCES: sources, SPREADS: spreads}
    files["leakage.csv"] = leaking
    files[PARTS] = [{**_names(run), **part} for run in runs for part in run.detail.get("built", ())]
    return {name: to_csv(rows) for name, rows in files.items() if rows}


def _sources(name: str, table: EnergyTable | None, runs: Iterable[KeptRun]) -> list[dict[str, Any]]:
    """Return what everything that the runs do costs under a table, as is kept with them, and what
    it says of areas and of leakage if it is at hand.
    """
    costs = {str(line.action): line.cost for run in runs for line in run.energy_lines}
    rows: list[tuple[Any, ...]] = []
    for action, cost in sorted(costs.items()):
        where = cost.node_nm, cost.voltage_v
        rows.append((f"energy of {action}", cost.energy_pj, "pJ", cost.kind, cost.source, *where))
    if table is not None:
        rows += _areas_and_leakage(table, runs)
    names = ("what", "value", "unit", "kind", "source", "node_nm", "voltage_v")
    return [{"energy_table": name} | dict(zip(names, row, strict=True)) for row in rows]


def _areas_and_leakage(table: EnergyTable, runs: Iterable[KeptRun]) -> Iterable[tuple[Any, ...]]:
    """Yield what each part of the runs' machines occupies, and the densities of what leaks."""
    for name, area in areas_of(table, (p for run in runs for p in run.detail.get("built", ()))):
        yield f"area of {name}", area.area_um2, "um2", area.kind, area.source, area.node_nm, None
    for leak in table.leakage:
        value = leak.power_mw_per_mm2
        where = table.where(leak)
        yield LEAKAGE[leak.part], value, "mW/mm2", leak.kind, leak.source, *where
    if table.sram_area is not None:
        bit = table.sram_area
        said = bit.kind, bit.source, table.where(bit)[0], None
        yield "area of SRAM", bit.area_um2_per_bit, "um2/bit", *said


def _names(run: KeptRun) -> dict[str, Any]:
    return {"hardware": run.hardware, "workload": run.workload, "policy": str(run.policy)}


def _flat(layer: dict[str, Any]) -> dict[str, Any]:
    """Return a layer with dots in the place of maps inside it."""
    flat: dict[str, Any] = {}
    for key, value in layer.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat["layer" if key == "name" else key] = value
    return flat
