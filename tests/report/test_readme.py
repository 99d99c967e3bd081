"""The README's worked example is what the program computes."""

from __future__ import annotations

import csv
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import accelsim
from accelsim.config import shipped
from accelsim.energy import charge, total_pj
from accelsim.trace import LayerTrace

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_worked_example_holds() -> None:
    run = accelsim.run(
        shipped("hwconfigs", "edge-16x16"), shipped("workloads", "digits-relu"), "selective:tau=8"
    )
    layer = run.layers[0]
    simulation, trace = layer.simulation, layer.trace
    assert isinstance(trace, LayerTrace)
    for number in (
        trace.recomputed_outputs,
        trace.outputs,
        simulation.compute_cycles,
        simulation.total_cycles,
        trace.recomputed_outputs * trace.k,
        trace.outputs + trace.recomputed_outputs,
    ):
        assert f"{number:,}" in README, number
    assert f"{simulation.stall_cycles['dram']} cycles of `dram`" in README
    lines = charge(layer.lowered.counts, run.energy_table)
    for line in lines:
        assert f"{line.number:,}" in README, line
    components = sorted({line.component for line in lines})
    for component in components:
        part = sum(line.energy_pj for line in lines if line.component == component)
        assert f"{part / 1e3:,.1f} |" in README, component
    assert f"**{total_pj(lines) / 1e3:,.1f}**" in README


def test_the_readme_opens_with_what_a_newcomer_types() -> None:
    opening = README.split("## ")[0]
    assert "make demo" in opening
    assert "make test" in opening


def test_every_picture_is_there_and_the_gallery_says_what_made_each() -> None:
    root = Path(__file__).parents[2]
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", README)
    assert all(words and (root / path).is_file() for words, path in pictures)
    gallery = README.split("### Gallery")[1].split("\n#")[0]
    rows = [line for line in gallery.splitlines() if line.startswith("| ![")]
    assert len(rows) == 3
    commands = [re.findall(r"`(accelsim [^`]+)`", row) for row in rows]
    assert commands[0] == [
        "accelsim study reports/recompute-units.yaml", "accelsim report reports/recompute-units",
    ]  # fmt: skip
    assert commands[2] == ["accelsim demo"]
    for _, path in pictures:
        assert (root / path).stat().st_size < 100_000


def test_what_the_readme_says_of_the_studies_is_what_their_answers_say() -> None:
    text = " ".join(README.split())

    def answers(study: str) -> str:
        page = Path(__file__).parents[2] / "reports" / study / "report.md"
        return page.read_text(encoding="utf-8").split("\n\n## ")[0]

    def found(pattern: str, said: str) -> tuple[str, ...]:
        match = re.search(pattern, said)
        assert match is not None, pattern
        return match.groups()

    policies, machines = answers("policies"), answers("machines")
    settings, fp32 = found(
        r"in the best of its (\d+) settings and \d+ points here for each, takes less energy than"
        r" these on (.*?), and",
        policies,
    )
    (fp16,) = found(r"less than all sums in fp16 \(uniform:format=fp16\) on (.*?)\. Of", policies)
    (wanted,) = found(r"it is needed on (.*?): on the others", policies)
    over = [int(n) for n in re.findall(r"(\d+) \(", fp32)]
    under, needed = ([int(n) for n in re.findall(r"\d+", said)] for said in (fp16, wanted))
    assert settings == "10"
    assert "in the best of ten settings for each network," in text
    assert f"less energy than fp32 on {min(over)} to {max(over)} of the 70" in text
    assert (
        f"less than fp16 on {min(under)} to {max(under)}, and is the cheapest way on none" in text
    )
    assert "The rule is the cheapest policy on none of these networks" in policies
    assert f"It is needed on {min(needed)} to {max(needed)}: on the others" in text
    (slower,) = found(
        r"With 10% of the outputs redone .*?, and (\S+ to \S+) times its time;", policies
    )
    assert f"a tenth of the outputs redone takes {slower} times that of fp32" in text
    lot = found(r"the KL divergence is (\S+) \((\S+)\) for selective:rate=0.1,", policies)
    assert f"({lot[0]} times the KL divergence, {lot[1]}, with a constant numerator)" in text
    guide = found(r"and (\S+) \((\S+)\) for gauss-newton:rate=0.15\S*margin=0", policies)
    assert f"({guide[0]} times, {guide[1]}, at 15 %" in text
    page = (Path(__file__).parents[2] / "reports" / "policies" / "report.md").read_text("utf-8")
    third = found(
        r"\| selective:rate=0.32,numerator=constant,margin=0,across=network \|[^|]*\| (\S+)"
        r" \((\S+)\)",
        page,
    )
    assert f"at 32 % it does ({third[0]}, {third[1]})" in text
    (better,) = found(
        r"At half the rate of selective:numerator=exact,margin=0,across=network, 5% against 10%.*?"
        r"gauss-newton:numerator=l2,margin=0,across=network \((13 of 14),",
        page,
    )
    assert f"no worse than the rule with an exact numerator on {better} networks" in text
    places = page.count("### At equal energy: ")
    assert page.count(" of the energy of uniform-high: the cheapest policy here, ") == places == 4
    best, alone = "spill:low=fixed8.7,high=fixed13.7", "uniform:format=fixed13.7"
    chunks = "chunked:chunk=16,high=e4m7,last=e4m7"
    number, energies = found(
        rf"on the most trained networks, (\d+), at the least energy is {best}, with (\S+ to \S+)"
        rf" of that of uniform-high\.",
        policies,
    )

    def row(policy: str, of: str) -> list[list[str]]:
        """Return the cells of a policy in the tables of energies, place by place."""
        lines = [line.split(" | ") for line in of.splitlines() if f" of {number} |" in line]
        return [cells for cells in lines if cells[0] == f"| {policy}"]

    def ends(policy: str, column: int) -> str:
        """Return the least and the largest, over the places, of what is in a column."""
        numbers = [Decimal(cells[column].split()[0]) for cells in row(policy, page)]
        assert len(numbers) == 4
        hundredth = (Decimal("0.01"), ROUND_HALF_UP)
        return f"{min(numbers).quantize(*hundredth)} to {max(numbers).quantize(*hundredth)}"

    energy, area = 1, 6
    assert {cells[3] for one in (best, alone, chunks) for cells in row(one, page)} == {"70 of 70"}
    assert ends(best, energy) == energies
    assert (
        f"(`{best}`, after the dMAC of arXiv:2504.09072) reaches that accuracy on all {number}, at"
        f" {energies} of the energy of fp32 and {ends(best, area)} of the area; thirteen bits alone"
        f" (fixed13.7) do so at {ends(alone, energy)} of the energy and {ends(alone, area)} of the"
        " area."
    ) in text
    ours, theirs = (
        float(found(rf"\| {re.escape(policy)} \| 0\.0% \| \S+ \| (\S+) \(", page)[0])
        for policy in (best, chunks)
    )
    assert (
        f"(e4m7) take {ends(chunks, energy)} of the energy, have on average {theirs / ours:.1f}"
        f" times the KL divergence, and, with both adders in every PE, {ends(chunks, area)} of the"
        " area"
    ) in text
    long = "chunked:chunk=48,high=e4m7,last=e4m7"
    networks, *ratios = found(
        rf"on the most trained networks, (\d+), at the least energy is {best}, with (\S+) to (\S+)"
        r" of that [^()]*at 5 of the 14 places \(2 of 7 [^()]*\), and uniform:format=fixed12.6,"
        r" with (\S+) to (\S+) of that [^()]*at 4 of the 14 places \(2 of 7 [^()]*\), and"
        r" uniform:format=e4m5, with (\S+) to (\S+) of that [^()]*at 3 of the 14 places \(2 of 7"
        rf" [^()]*\), and {long}, with (\S+) of that [^()]*at 2 of the 14 places \(1 of 7",
        machines,
    )
    assert networks == "14"
    assert f"of the 70), at {min(ratios)} to {max(ratios)} of the energy of fp32" in text
    sure = {
        policy: {cells[3] for cells in row(policy, page)}
        for policy in (best, "uniform:format=fixed12.6", "uniform:format=e4m5", long)
    }
    assert [*sure.values()] == [{"70 of 70"}, {"69 of 70"}, {"68 of 70"}, {"70 of 70"}]
    assert {cells[3] for cells in row("spill:low=fixed8.6,high=fixed13.6", page)} == {"69 of 70"}
    assert "and any rule that redoes outputs is on none" in machines


def test_the_committed_reports_have_their_pages_and_the_points_they_speak_of() -> None:
    reports = Path(__file__).parents[2] / "reports"
    for name, least in (("recompute-units", 500), ("demo", 1000)):
        page = (reports / name / "report.html").read_text(encoding="utf-8")
        with (reports / name / "results.csv").open(encoding="utf-8", newline="") as stream:
            points = sum(1 for _ in csv.DictReader(stream))
        assert points >= least
        assert f"{points} points: {points} done." in page
        assert len(page) < 3_000_000
