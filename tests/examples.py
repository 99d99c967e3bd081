"""How many examples Hypothesis draws: all of them in `make test-all`, a quarter otherwise."""

from __future__ import annotations

import os

from hypothesis import settings

EVERY = "ACCELSIM_EVERY_EXAMPLE"
"""The environment variable that `make test-all` sets."""


def up_to(number: int) -> settings:
    """Return settings for a test that draws so many examples, or a quarter of them."""
    return settings(max_examples=number if os.environ.get(EVERY) else number // 4)
