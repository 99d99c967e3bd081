"""The JSON of a run, read again: checked, as it may be anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError, one_line
from accelsim.files import NotAFileError, open_file

MAX_BYTES = 2**28
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class ReadLayer(_Read):
    """A layer in the JSON of a run; total_cycles are compute_cycles and all stalls."""

    name: str
    compute_cycles: Number
    stall_cycles: dict[str, Number]
    total_cycles: Number
    energy_pj: dict[str, Amount]
    energy_by_cause_pj: dict[str, Amount]


class ReadCount(_Read):
    """A line of the energy sum: `number` times `energy_pj_each` is `energy_pj`."""

    component: str
    action: str
    number: Amount
    energy_pj_each: Amount
    energy_pj: Amount


class ReadBuilt(_Read):
    """How many of a part a component has."""

    component: str
    part: str
    number: Number


class ReadPart(_Read):
    """What one of a part occupies and leaks."""

    part: str
    area_um2_each: Amount
    leakage_mw_each: Amount


class ReadRun(_Read):
    """The JSON of a run, as far as runs are compared.

    Leakage and area are None if its energy table does not know them.
    """

    hardware: str
    workload: str
    policy: str
    energy_table: str
    total_cycles: Number
    latency_s: Amount
    energy_pj: Amount
    accuracy: Amount | None
    kl_divergence_nats: Amount | None
    recompute_rate: Amount
    leakage_pj: Amount | None
    total_energy_pj: Amount | None
    energy_delay_product_pj_s: Amount | None
    area_um2: dict[str, Amount] | None
    leakage_mw: dict[str, Amount] | None
    built: list[ReadBuilt]
    parts: list[ReadPart]
    layers: list[ReadLayer]
    counts: list[ReadCount]


def read_run(path: Path) -> ReadRun:
    """Read what `run --json` wrote. Raises InputError if it is anything else."""
    try:
        with open_file(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except NotAFileError:
        raise InputError(f"{path}: is not a regular file, expected the JSON of a run") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: is longer than {MAX_BYTES} bytes, expected the JSON of a run")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not JSON, expected what run --json writes") from None
    try:
        return ReadRun.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f"{place}: " if place else ""
        raise InputError(
            one_line(f"{path}: {where}{first['msg']}; expected what run --json writes")
        ) from None
