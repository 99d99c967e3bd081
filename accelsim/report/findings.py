"""Whether recomputation by κ pays, over all machines, networks and energy tables of a study."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from accelsim.energy import EnergyTable
from accelsim.policies import Selective, UniformHigh, UniformLow
from accelsim.report.case import Case, Named, TableName, listing, ratio_words
from accelsim.report.runs import KeptRun
from accelsim.report.survey import TABLE
from accelsim.study import Study
from accelsim.study.table import Row


@dataclass(frozen=True)
class Demo:
    """The runs of a study of κ, and the tables that charge them; `own` is each machine's, or the
    first of the study where none of its runs is charged by that.

    `tables` holds what stands for those that are not at hand, as only their names are kept.
    """

    runs: tuple[KeptRun, ...]
    tables: tuple[Named, ...]
    own: dict[str, str]
    descriptions: dict[str, str]

    @property
    def known_tables(self) -> tuple[EnergyTable, ...]:
        """The tables that are at hand, with their sources."""
        return tuple(table for table in self.tables if isinstance(table, EnergyTable))

    @cached_property
    def cases(self) -> list[Case]:
        """The runs by machine and workload, each under its machine's own table."""
        groups: dict[tuple[str, str], dict[str, list[KeptRun]]] = {}
        for run in self.runs:
            group = groups.setdefault((run.hardware, run.workload), {})
            group.setdefault(run.table, []).append(run)
        by_name = {table.name: table for table in self.tables}
        return [
            Case(by_name[self.own[machine]], {name: tuple(runs) for name, runs in group.items()})
            for (machine, _), group in sorted(groups.items(), key=self._order)
        ]

    @cached_property
    def known_cases(self) -> list[Case]:
        """The cases whose machine's own table is at hand."""
        known = {table.name for table in self.known_tables}
        return [case for case in self.cases if case.table.name in known]

    @cached_property
    def machines(self) -> list[str]:
        """Names of the machines, in the order they were run."""
        return list(dict.fromkeys(run.hardware for run in self.runs))

    @cached_property
    def workloads(self) -> list[str]:
        """Names of the workloads, in the order they were run."""
        return list(dict.fromkeys(run.workload for run in self.runs))

    def case(self, machine: str, workload: str) -> Case:
        """Return the runs of one workload on one machine."""
        return next(
            case for case in self.cases if (case.hardware, case.workload) == (machine, workload)
        )

    @cached_property
    def under_all_tables(self) -> list[Case]:
        """Every case under every table."""
        return [case.under(table) for case in self.cases for table in self.tables]

    def answer(self) -> list[str]:
        """Return the answer in short: does selective recomputation save energy here?"""
        cases = self.under_all_tables
        against_high = sum(case.pays_against_high for case in cases)
        pays = sum(case.pays for case in cases)
        machine = self.machines[0]  # values do not depend on it
        ratios = [
            ratio for w in self.workloads for ratio in self.case(machine, w).kl_ratios(0.0, 0.5)
        ]
        winners = {str(case.best_alternative.policy) for case in cases if not case.pays}
        return [
            f"Of {len(cases)} cases ({len(self.machines)} machines, {len(self.workloads)} networks,"
            f" {len(self.tables)} energy tables), selective recomputation by κ saves energy against"
            f" uniform high precision at its accuracy in {against_high}, and is the cheapest way to"
            f" that accuracy in {pays}."
            + (
                f" Cheaper without recomputing anything: {listing(sorted(winners))}."
                if winners
                else ""
            ),
            f"Against redoing as many outputs of every layer at random, where less than half are,"
            f" {ratio_words(ratios)}.",
        ]

    def tables_sentences(self) -> list[str]:
        """Return, for each machine and workload, whether the verdict survives every table."""
        lines = []
        for case in self.cases:
            verdicts = []
            for table in self.tables:
                charged = case.under(table)
                best, other = charged.best_selective, charged.best_alternative
                verdicts.append(
                    f"under {table.name}, {best.policy} takes"
                    f" {best.charged_pj / charged.high.charged_pj - 1.0:+.1%} against uniform-high"
                    f" and {best.charged_pj / other.charged_pj - 1.0:+.1%} against {other.policy}"
                )
            lines.append(f"{case.workload} on {case.hardware}: {'; '.join(verdicts)}.")
        return lines

    def _order(self, item: tuple[tuple[str, str], dict[str, list[KeptRun]]]) -> tuple[int, int]:
        (machine, workload), _ = item
        return self.machines.index(machine), self.workloads.index(workload)


def demo_of(study: Study, tables: Iterable[EnergyTable]) -> Demo | None:
    """Return a study of κ: of trained networks, each on every machine under every table in low, in
    high, by κ, and by controls of each κ. None of a study that is anything else.
    """
    rows = [row for row in study.rows if row["status"] == "done"]
    given = {table.name: table for table in tables}
    names = list(dict.fromkeys(str(row[TABLE]) for row in rows))
    machines = study.meta.get("machines", {})
    own = {name: str(kept["energy_table"]) for name, kept in machines.items()}
    own = {name: table if table in names else names[0] for name, table in own.items() if names}
    if len(rows) < len(study.rows) or not _complete(rows, names, own):
        return None
    details = study.details(row["point"] for row in rows)
    return Demo(
        tuple(KeptRun(row, details[row["point"]] or {}) for row in rows),
        tuple(given.get(name, TableName(name)) for name in names),
        own,
        {name: str(kept["description"]) for name, kept in machines.items()},
    )


def _complete(rows: list[Row], tables: list[str], own: dict[str, str]) -> bool:
    """Return whether every case has what the findings compare."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["hardware"], row["workload"], row[TABLE]), []).append(row)
    for (machine, workload, _), group in groups.items():
        names = {str(row["policy"]).partition(":")[0] for row in group}
        controlled = {row.get("policy.control_of") for row in group}
        kappa = {str(row["policy"]) for row in group if str(row["policy"]).startswith("selective")}
        if not (
            {UniformLow.name, UniformHigh.name, Selective.name} <= names
            and kappa <= controlled
            and all(row["accuracy"] is not None for row in group)
            and any("tau=0," in policy for policy in kappa)
            and own.get(machine) in tables
            and all((machine, workload, table) in groups for table in tables)
        ):
            return False
    return bool(groups)
