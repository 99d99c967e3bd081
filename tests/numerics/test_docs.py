"""The examples of docs/numerics.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.numerics import round_to

PAGE = Path(__file__).parents[2] / "docs" / "numerics.md"


def test_the_examples_run() -> None:
    rng = np.random.default_rng(0)
    a, b = (round_to("e4m3fn", rng.standard_normal(s)) for s in ((6, 300), (300, 5)))
    names: dict[str, Any] = {
        "a": a,
        "b": b,
        "i": [1, 2],
        "j": [0, 4],
        "images": np.ones((2, 3, 8, 8)),
        "kernels": np.ones((4, 3, 3, 3)),
        "x": a,
        "bias": np.zeros(6, np.float32),
        "activations": rng.integers(0, 16, (6, 300)),
        "weights": np.where(rng.random((300, 5)) < 0.1, rng.integers(-1, 2, (300, 5)), 0),
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(block, names)  # noqa: S102
        names["y"] = a
