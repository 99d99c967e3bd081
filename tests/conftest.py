"""What all tests share: small data sets, and Hypothesis without a deadline.

Every test finds noise in the place of MNIST and Fashion-MNIST. The first example of a compiled
kernel compiles it, which takes longer than any deadline.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


@pytest.fixture(scope="session", autouse=True)
def _small_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Noise in the form of MNIST: twenty images to train, ten to test, of every class."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for name in ("mnist", "fashion-mnist"):
        (folder / name).mkdir()
        for part, number in (("train", 20), ("t10k", 10)):
            pixels = generator.integers(0, 256, (number, 28, 28), np.uint8)
            labels = np.arange(number, dtype=np.uint8) % 10
            for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
                header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
                (folder / name / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELSIM_DATA", str(folder))
        yield
