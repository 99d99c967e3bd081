"""A product takes no more memory than two copies of its operands beside them and the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RESET = Path("/proc/self/clear_refs")
MARGIN = 0.2  # of a copy, 13 MB: a tile's scratch (6 %), and what the process does beside


@pytest.mark.skipif(not os.access(RESET, os.W_OK), reason="needs a peak that can be reset: Linux")
def test_a_product_takes_two_copies_of_its_operands_at_most() -> None:
    program = Path(__file__).with_name("memory_use.py")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    copies: dict[str, float] = json.loads(done.stdout)
    assert copies.pop("three copies") > 3 - MARGIN  # that is what it looks like if it is not so
    assert len(copies) == 9
    assert copies.pop("many short sums") < 0.5
    assert {name: n for name, n in copies.items() if not n < 2 + MARGIN} == {}
