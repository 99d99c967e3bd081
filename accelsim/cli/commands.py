"""The commands, and what becomes of their errors."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import click

import accelsim
from accelsim.cli import INTERRUPTED, INTERRUPTED_STATUS
from accelsim.cli.cost import NUMERATORS, as_dict, laws, needed, of_format, of_machine, stated
from accelsim.cli.cost import text as cost_text
from accelsim.cli.tables import layers_csv, run_table
from accelsim.config import (
    StudyFile,
    check_file,
    energy_table_names,
    hardware_files,
    input_files,
    load_energy_table,
    load_hardware,
    shipped_folder,
    shipped_names,
    table_files,
)
from accelsim.energy.entries import no_wider
from accelsim.errors import AccelsimError, InputError, one_line
from accelsim.files import check_writable, same_file, write_whole
from accelsim.machine import Hardware
from accelsim.networks import DOWNLOADS, download
from accelsim.numerics.formats import Format, parse_format
from accelsim.point import run as run_point
from accelsim.policies import POLICIES

Item = TypeVar("Item")
DEFAULT_TABLE = "45nm"
FORMAT_LIKE = re.compile(r"([a-z]{1,6}[0-9]+)([a-z]?[0-9]*(\.[0-9]+)?)?(fn)?")
"""What looks like the name of a format, and not of a file or a machine."""
MAX_FAILURES = 5
"""Failed points that are named; all are in the table."""


def main() -> None:
    """Run the command line. Exit status 0, or 2 with a line per problem for bad input."""
    try:
        commands.main(prog_name="accelsim", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail(INTERRUPTED, status=INTERRUPTED_STATUS)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "accelsim"
        _fail(f"accelsim: {error.format_message()} Try '{command} --help'.")
    except InputError as error:
        _fail(*error.problems)
    except AccelsimError as error:
        _fail(str(error))
    except OSError as error:
        # What stdout still holds must not be tried again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _fail(f"accelsim: cannot write the output: {error.strerror}")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)
@click.version_option(accelsim.__version__, message="accelsim %(version)s")
def commands() -> None:
    """What does selective recomputation cost a real accelerator, in cycles and joules?"""


@commands.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
def check(files: tuple[Path, ...]) -> None:
    """Check hardware, workload, study and energy table files; say what is wrong with them."""
    problems: list[str] = []
    for path in files:
        try:
            click.echo(one_line(f"{path}: ok, {check_file(path, _check_study)}"))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _check_study(described: StudyFile) -> None:
    from accelsim.study.engine import check_study  # which takes longer to load than a file

    check_study(described)


_POLICY_HELP = "NAME or NAME:key=value,…  " + "; ".join(
    f"{name}: {cls.summary}" for name, cls in POLICIES.items()
)


@commands.command()
@click.argument("hardware", type=click.Path(path_type=Path))
@click.argument("workload", type=click.Path(path_type=Path))
@click.option("--policy", required=True, help=_POLICY_HELP)
@click.option(
    "--energy-table",
    help="Charge by this table, shipped or a file, instead of the hardware's.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write all numbers here."
)
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), help="Write a line for every layer here."
)
@click.option(
    "--trace",
    "trace_path",
    type=click.Path(path_type=Path),
    help="Write who did what when here, for ui.perfetto.dev.",
)
def run(
    hardware: Path,
    workload: Path,
    policy: str,
    energy_table: str | None,
    json_path: Path | None,
    csv_path: Path | None,
    trace_path: Path | None,
) -> None:
    """Run WORKLOAD on HARDWARE under a policy, and print cycles and energy per layer.

    Each is a file, or the name of one that comes with accelsim (accelsim list).
    """
    outputs = [path for path in (json_path, csv_path, trace_path) if path is not None]
    _check_outputs(outputs, input_files(hardware, workload, energy_table))
    result = run_point(hardware, workload, policy, energy_table, _progress)
    if json_path is not None:
        write_whole(json_path, json.dumps(result.as_dict(), indent=2, ensure_ascii=False) + "\n")
    if csv_path is not None:
        write_whole(csv_path, layers_csv(result))
    if trace_path is not None:
        write_whole(trace_path, json.dumps(result.as_trace(), ensure_ascii=False) + "\n")
    click.echo(run_table(result))


@commands.command()
@click.argument("target", metavar="FORMAT|HARDWARE")
@click.option("--accumulator", help="What is accumulated in first (FORMAT itself, or e4m3fn).")
@click.option(
    "--recompute",
    show_default="fp32",
    help="Of HARDWARE: what is redone in; none for a machine that redoes nothing.",
)
@click.option("--operands", show_default="e4m3fn", help="Of HARDWARE: what is multiplied.")
@click.option(
    "--numerator",
    type=click.Choice(NUMERATORS),
    show_default="exact",
    help="Of HARDWARE: how κ estimates what an output's error is bounded by, to find what to redo.",
)
@click.option("--energy-table", help="A shipped table or a file (45nm, or the hardware's).")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the trees here.")
def cost(
    target: str,
    accumulator: str | None,
    recompute: str | None,
    operands: str | None,
    numerator: str | None,
    energy_table: str | None,
    json_path: Path | None,
) -> None:
    """Print what a MAC in FORMAT, or HARDWARE, costs and why, as trees that add up."""
    fmt = _format_named(target)
    if fmt is not None:
        of_hardware = {"recompute": recompute, "operands": operands, "numerator": numerator}
        for option, given in of_hardware.items():
            if given is not None:
                raise AccelsimError(f"--{option}: of HARDWARE alone, and {target} is a format")
        table = load_energy_table(energy_table or DEFAULT_TABLE)
        into = _format("accumulator", accumulator) if accumulator else fmt
        title, sections = f"{fmt} under {table.name}", of_format(fmt, into, table)
    else:
        hardware = _hardware_or_format(target)
        table = load_energy_table(energy_table or hardware.energy_table)
        first = _format("accumulator", accumulator or "e4m3fn")
        again = None if recompute == "none" else _format("recompute", recompute or "fp32")
        if again is None and numerator is not None:
            raise AccelsimError(
                "--numerator: finds what to redo, and nothing is (--recompute none)"
            )
        if again is not None and no_wider(again, first):
            raise AccelsimError(
                f"--recompute: got {again}, expected a format with a width beyond those of {first},"
                " which is accumulated in first; or none"
            )
        rule = numerator or "exact"
        need = needed(_format("operands", operands or "e4m3fn"), first, again, rule)
        sections = of_machine(hardware, need, table)
        redone = "" if again is None else f", redone in {again} by κ ({rule} numerator)"
        title = f"{hardware.name} under {table.name}: accumulated in {first}{redone}"
    if json_path is not None:
        read = [] if fmt is not None else hardware_files(target)
        _check_outputs([json_path], [*read, *table_files(energy_table)])
        content = {
            s.heading: {"unit": s.unit, "trees": [as_dict(t) for t in s.trees]} for s in sections
        }
        write_whole(json_path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    click.echo(cost_text(title, sections))
    click.echo(stated(table))
    if fmt is not None:
        click.echo(laws(table))


def _hardware_or_format(target: str) -> Hardware:
    """Load a machine; where there is none, what was meant may have been a format."""
    try:
        return load_hardware(target)
    except InputError as error:
        if FORMAT_LIKE.fullmatch(target) is None:
            raise
        _format(f"no machine, and not a format: {target}", target)
        raise error from None


def _format_named(text: str) -> Format | None:
    """Return the format that this names, if it does."""
    try:
        return parse_format(text)
    except ValueError:
        return None


def _format(option: str, text: str) -> Format:
    try:
        return parse_format(text)
    except ValueError as error:
        raise AccelsimError(f"{option}: {error}") from None


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that work at once; one a core unless given.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results; beside FILE, called after its name, unless given.",
)
@click.option("--retry", is_flag=True, help="Try points again that failed.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what there is to do, and do nothing.")
def study(file: Path, jobs: int | None, out: Path | None, retry: bool, only_plan: bool) -> None:
    """Run a grid of points, and keep every result: FILE says which machines, workloads, policies.

    What is done already is not done again, however the command ended that did it.
    """
    from accelsim.cli.watch import Terminal
    from accelsim.study.engine import count_points
    from accelsim.study.engine import study as run_study

    if only_plan:
        click.echo(one_line(count_points(file, out)))
        return
    terminal = Terminal()
    try:
        found = run_study(file, jobs=jobs, out=out, retry=retry, watch=terminal)
    except KeyboardInterrupt:
        _fail(terminal.interrupted, status=INTERRUPTED_STATUS)
    for line in repr(found).splitlines():
        click.echo(one_line(line))
    for row in found.failed[:MAX_FAILURES]:
        click.echo(one_line(f"  point {row['point']} failed: {row['error']}"))
    if len(found.failed) > MAX_FAILURES:
        click.echo(f"  and {len(found.failed) - MAX_FAILURES} more failed")
    if len(found.failed) == len(found.rows):
        _fail("accelsim: no point could be computed")


@commands.command()
@click.argument("where", type=click.Path(path_type=Path), metavar="DIR|FILE")
def report(where: Path) -> None:
    """Write a report of a study, beside its results: a page, Markdown, figures and a table.

    DIR holds the results; FILE is the study's, with its results beside it. Nothing is simulated.
    """
    from accelsim.report.study_report import write_report  # figures take a second to import
    from accelsim.study import Study, results_folder

    folder = results_folder(where)
    found = Study(folder)
    click.echo(f"The report is {write_report(found, folder)}")


@commands.command()
@click.argument("before", type=click.Path(path_type=Path), metavar="A.json")
@click.argument("after", type=click.Path(path_type=Path), metavar="B.json")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Rows of a table; the rest is summed up in one.",
)
def compare(before: Path, after: Path, rows: int) -> None:
    """Say what changed from one run to another (files that run --json wrote), and why."""
    from accelsim.cli.comparison import comparison_table
    from accelsim.study.compare import compare_runs
    from accelsim.study.read_run import read_run

    problems: list[str] = []
    runs = []
    for path in (before, after):
        try:
            runs.append(read_run(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    click.echo(comparison_table(compare_runs(*runs), rows))


@commands.command("list")
def list_shipped() -> None:
    """List what comes with accelsim: machines, workloads, energy tables and policies."""
    for title, folder in (("machines", "hwconfigs"), ("workloads", "workloads")):
        click.echo(f"{title}, in {shipped_folder(folder)}:")
        for name in shipped_names(folder):
            click.echo(f"  {name}")
    click.echo("energy tables:")
    for name in energy_table_names():
        click.echo(f"  {name}")
    click.echo("policies, as NAME or NAME:key=value,…:")
    for name, policy in POLICIES.items():
        click.echo(f"  {name}: {policy.summary} ({', '.join(policy.parameters())})")


@commands.command("download")
@click.argument("names", nargs=-1, required=True, type=click.Choice(sorted(DOWNLOADS)))
def download_datasets(names: tuple[str, ...]) -> None:
    """Fetch data sets into $ACCELSIM_DATA, or the user's cache. Nothing else uses the network."""
    for name in names:
        click.echo(f"{name} is in {download(name, _progress)}")


@commands.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports/demo"),
    show_default=True,
    help="Folder for the report.",
)
def demo(out: Path) -> None:
    """Run the digit networks on three machines under every policy, and write a report.

    It is a study: what is done already is not done again.
    """
    from accelsim.cli.watch import Terminal
    from accelsim.demo import run_demo  # figures take a second to import
    from accelsim.report.findings import demo_of

    terminal = Terminal()
    try:
        found = run_demo(out, watch=terminal)
    except KeyboardInterrupt:
        _fail(terminal.interrupted, status=INTERRUPTED_STATUS)
    kappa = demo_of(found, ())
    for paragraph in kappa.answer() if kappa else ():
        click.echo(paragraph)
    click.echo(f"The report is {out / 'report.html'}")


def _check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise AccelsimError if something cannot be written, or would be written over."""
    for number, path in enumerate(outputs):
        check_writable(path)
        if any(same_file(path, read) for read in inputs):
            raise AccelsimError(f"{path}: is an input of this run, and would be overwritten")
        if path.resolve() in {other.resolve() for other in outputs[:number]}:
            raise AccelsimError(f"{path}: is given for two outputs")


def _progress(items: Sequence[Item], description: str) -> Iterable[Item]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        return items
    from tqdm import tqdm  # which takes as long to import as a small network to time

    bar: Iterable[Item] = tqdm(items, desc=description, leave=False)
    return bar


def _fail(*lines: str, status: int = 2) -> None:
    for line in lines:
        click.echo(one_line(line), err=True)
    sys.exit(status)
