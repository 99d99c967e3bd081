"""A study's results as a report: HTML in one piece, Markdown, figures, and the data beside them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelsim.energy import EnergyTable
from accelsim.errors import one_line
from accelsim.networks import DOWNLOADS
from accelsim.report import overview, points
from accelsim.report.findings import Demo, demo_of
from accelsim.report.folder import write_files
from accelsim.report.gantt import Excerpt
from accelsim.report.kappa import TITLE, kappa_files, kappa_sections
from accelsim.report.page import Report, Section, render
from accelsim.report.policy_curves import network_of
from accelsim.report.policy_section import ANSWERS, policies_section
from accelsim.report.robustness import between, survival
from accelsim.report.survey import MAX_SCOPES, Survey
from accelsim.report.units import unit_files, units_section
from accelsim.study import Study, slug, tables_of
from accelsim.study.table import counted, to_csv

DETAILS = "details.json"
FEW_SCOPES = 2
"""Workloads of whose energies there are figures where networks are what is averaged over."""


def write_report(
    study: Study,
    folder: Path,
    tables: Iterable[EnergyTable] | None = None,
    command: str | None = None,
) -> Path:
    """Write the report of a study into `folder`, in the place of one there. Return the page's path.

    Nothing is simulated, and the same results give the same bytes. `tables` are those that the
    study was charged by, by default those kept with it; what is said of their sources needs them.
    `command` is what wrote it.
    """
    tables = tuple(tables_of(study) if tables is None else tables)
    demo = demo_of(study, tables)
    policies = None if demo is not None else policies_section(study)
    survey = Survey(study, controls=policies is None)
    timed = overview.timed_rows(survey)
    details = study.details(survey.rows[row]["point"] for row in timed)
    kept = {point: detail for point, detail in details.items() if detail is not None}
    command = command or f"accelsim report {shlex.quote(folder_name(study))}"
    report = _report(survey, _excerpts(survey, timed, kept), demo, policies, tables, command)
    files: dict[str, bytes | str] = {"results.csv": to_csv(study.rows)}
    if kept:
        files[DETAILS] = _lines(kept)
    if demo is not None:
        files |= kappa_files(demo)
    files |= unit_files(study, tables)
    write_files(folder, files | render(report))
    return folder / "report.html"


def _excerpts(
    survey: Survey, rows: Iterable[int], details: dict[int, dict[str, Any]]
) -> dict[int, Excerpt]:
    found = {}
    for index in rows:
        row = survey.rows[index]
        clock_mhz = row["total_cycles"] / row["latency_s"] / 1e6
        excerpt = Excerpt.of(details.get(row["point"]), clock_mhz)
        if excerpt is not None:
            found[index] = excerpt
    return found


def _lines(details: dict[int, dict[str, Any]]) -> str:
    """Return the details of points as JSON, a line a point."""
    lines = [
        f"{json.dumps(str(point))}: {json.dumps(detail, ensure_ascii=False)}"
        for point, detail in details.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _report(
    survey: Survey,
    excerpts: dict[int, Excerpt],
    demo: Demo | None,
    policies: Section | None,
    tables: tuple[EnergyTable, ...],
    command: str,
) -> Report:
    study = survey.study
    sections: list[Section] = []
    answer = overview.summary(survey)
    if demo is not None:
        sections += kappa_sections(demo)
        sections.append(Section("The best points", findings=tuple(answer[1:])))
        answer = [*demo.answer(), survival(demo), *between(demo), answer[0]]
    if survey.rows:
        for section, answers in ((units_section(study, tables), 1), (policies, ANSWERS)):
            if section is not None:  # a question of its own, whose answer comes first
                sections.append(replace(section, paragraphs=section.paragraphs[answers:]))
                first, *more = section.paragraphs[:answers]
                answer = [f"{first} {_made(study)} They are in results.csv.", *more, answer[0]]
        drawn = MAX_SCOPES if policies is None else FEW_SCOPES
        sections += overview.sections(survey, excerpts, drawn)
        sections.append(Section("Points", tables=(points.all_table(survey),)))
    failed = points.failed_table(survey)
    if failed is not None:
        sections.append(Section("Failed points", findings=(_failures(study),), tables=(failed,)))
    sections.append(_repeat(study, command))
    return Report(
        title=TITLE if demo is not None else f"Study {one_line(study.name)}",
        command=command,
        answer=tuple(answer),
        sections=tuple(sections),
        manifest=_manifest(study),
    )


def folder_name(study: Study) -> str:
    """Return the name of the folder that results are in, however one got there."""
    return study.folder.resolve().name


def _failures(study: Study) -> str:
    errors: dict[str, int] = {}
    for row in study.failed:
        error = one_line(str(row["error"]))
        errors[error] = errors.get(error, 0) + 1
    most, number = max(errors.items(), key=lambda item: item[1])
    return (
        f"{counted(len(study.failed))} failed, for {counted(len(errors), 'different reason')};"
        f" {number} of them because: {most}"
    )


def _made(study: Study) -> str:
    """Say what computed a study's points."""
    source, folder = study.meta.get("source"), folder_name(study)
    if not source:
        return "The points were computed by accelsim.study, from a mapping in a script."
    given = "" if folder == slug(study.name) else f" --out {shlex.quote(folder)}"
    return f"The points were computed by accelsim study {shlex.quote(str(source))}{given}."


def _repeat(study: Study, command: str) -> Section:
    return Section(
        "To repeat this",
        paragraphs=(
            f"{_made(study)} This page, report.md and the figures were written from them, without"
            f" simulating anything, by {command}. Every point is in"
            " results.csv, units in the header: energy_pj and energy_per_inference_pj are of what"
            " is done, leakage_nj is what leaks meanwhile, and total_energy_nj is both. Layers and"
            f" counts of the points whose timelines are shown are in {DETAILS}.",
            *_weights(study),
        ),
    )


def _weights(study: Study) -> list[str]:
    """Say where data and weights come from that this package's networks need and do not bring."""
    inputs = study.meta.get("inputs_sha256") or {}
    names = {str(row["workload"]) for row in study.rows}
    ours = {one for one in names if f"accelsim:workloads/{network_of(one)[0]}.yaml" in inputs}
    said = []
    needed = [data for data in DOWNLOADS if any(one.startswith(f"{data}-") for one in ours)]
    if needed:
        said.append(f"Their data are fetched by accelsim download {' '.join(needed)}.")
    seeds = sorted({seed for name in ours if (seed := network_of(name)[1])})
    if seeds:
        said.append(
            "Networks whose names end in -seedN were trained from seed N, here"
            f" {', '.join(map(str, seeds))}, each by python workloads/train.py --seed N --out"
            " reports/weights/seed-N. Another kind of processor, or version of NumPy or"
            " scikit-learn, makes another network of a seed, since training magnifies the last"
            " bits: counts of networks may then differ by a few. The digests in the manifest tell"
            " whether they are the same."
        )
    return [" ".join(said)] if said else []


def _manifest(study: Study) -> str:
    keys = (
        "name", "source", "objectives", "constraints", "swept", "inputs_sha256",
        "energy_tables_sha256", "versions",
    )  # fmt: skip
    given = {key: study.meta.get(key) for key in keys}
    return json.dumps(given, indent=2, ensure_ascii=False, sort_keys=True)
