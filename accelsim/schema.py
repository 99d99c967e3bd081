"""What every mapping of a data file is checked as."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A mapping with these keys and no others, of exactly these types, which does not change.

    Checks are built when the first mapping of a kind is read: there are many kinds, and a run
    reads few.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
