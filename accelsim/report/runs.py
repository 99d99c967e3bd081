"""Runs as a study keeps them: the words of `Run`, from a row and the details beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from accelsim.energy import CAUSES, Cost, EnergyLine, LeakingPart
from accelsim.errors import AccelsimError
from accelsim.machine import parse_action
from accelsim.policies import Policy, parse_policy
from accelsim.report.survey import CONTROL, TABLE
from accelsim.study.table import Row


def leakage_by_part_pj(detail: dict[str, Any]) -> dict[LeakingPart, float]:
    """Return what logic and memories leak in a run that is kept; empty if it is not known.

    Raises AccelsimError if it was kept when these were not told apart.
    """
    if "leakage_by_part_pj" not in detail:
        raise AccelsimError(
            f"{detail['workload']} on {detail['hardware']}, {detail['policy']}: was kept by a"
            " version that did not tell what logic leaks from what memories do; run the study again"
        )
    return detail["leakage_by_part_pj"] or {}


@dataclass(frozen=True, eq=False)
class KeptRun:
    """A finished point of a study: what it was, what it gave, and what its energy consists of."""

    row: Row
    detail: dict[str, Any] = field(repr=False)

    @property
    def hardware(self) -> str:
        """Name of the machine."""
        return str(self.row["hardware"])

    @property
    def workload(self) -> str:
        """Name of the workload."""
        return str(self.row["workload"])

    @property
    def table(self) -> str:
        """Name of the energy table."""
        return str(self.row[TABLE])

    @cached_property
    def policy(self) -> Policy:
        """The policy; of a control the random one that it came to be."""
        return parse_policy(str(self.row["policy"]))

    @property
    def control_of(self) -> str | None:
        """The policy that this is a control of, if it is one."""
        return self.row.get(CONTROL)

    @property
    def samples(self) -> int:
        """Samples that the network was run on."""
        return int(self.row["samples"])

    @property
    def accuracy(self) -> float | None:
        """Fraction of test samples classified right."""
        return self.row["accuracy"]  # type: ignore[no-any-return]

    @property
    def kl_divergence(self) -> float | None:
        """Mean KL divergence from the float32 network, in nats."""
        return self.row["kl_divergence_nats"]  # type: ignore[no-any-return]

    @property
    def recompute_rate(self) -> float:
        """Recomputed outputs as a fraction of all outputs."""
        return float(self.row["recompute_rate"])

    @property
    def false_negative_rate(self) -> float | None:
        """The share of what the rule should have redone, and did not."""
        return self.row["false_negative_rate"]  # type: ignore[no-any-return]

    @property
    def total_cycles(self) -> int:
        """Cycles of all layers."""
        return int(self.row["total_cycles"])

    @property
    def latency_s(self) -> float:
        """Time of all layers."""
        return float(self.row["latency_s"])

    @property
    def energy_pj(self) -> float:
        """Energy of all actions, without leakage."""
        return float(self.row["energy_pj"])

    @property
    def energy_per_inference_pj(self) -> float:
        """Energy divided by the number of samples."""
        return float(self.row["energy_per_inference_pj"])

    @property
    def leakage_pj(self) -> float | None:
        """What leaks in the time of all layers; None if the table does not say."""
        leakage_nj = self.row["leakage_nj"]
        return None if leakage_nj is None else leakage_nj * 1e3

    @property
    def leakage_by_part_pj(self) -> dict[LeakingPart, float]:
        """What logic and memories leak of that; empty if it is not known."""
        return leakage_by_part_pj(self.detail)

    @property
    def total_energy_pj(self) -> float | None:
        """Energy of all actions, and leakage; None if that is not known."""
        return None if self.leakage_pj is None else self.energy_pj + self.leakage_pj

    @property
    def energy_by_cause_pj(self) -> dict[str, float]:
        """Energy by cause, those that are not known left out."""
        found = {cause: self.row[f"{cause}_nj"] for cause in CAUSES}
        return {cause: nj * 1e3 for cause, nj in found.items() if nj is not None}

    @property
    def charged_pj(self) -> float:
        """What runs are compared by: energy with what leaks, or without where that is not known."""
        return self.energy_pj if self.total_energy_pj is None else self.total_energy_pj

    @property
    def charged_per_inference_pj(self) -> float:
        """The same divided by the number of samples."""
        return self.charged_pj / self.samples

    @cached_property
    def energy_lines(self) -> tuple[EnergyLine, ...]:
        """Counts times costs; they sum to `energy_pj`."""
        return tuple(
            EnergyLine(
                line["component"],
                parse_action(line["action"]),
                line["number"],
                Cost(
                    energy_pj=line["energy_pj_each"],
                    kind=line["kind"],
                    source=line["source"],
                    node_nm=line["node_nm"],
                    voltage_v=line["voltage_v"],
                ),
                line["cause"],
            )
            for line in self.detail["counts"]
        )

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The layers, in the words of the JSON of a run."""
        found: list[dict[str, Any]] = self.detail["layers"]
        return found
