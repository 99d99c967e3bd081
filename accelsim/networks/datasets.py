"""Data sets by name, each split into training and test samples that never change."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.networks.idx import read_idx

PIXELS = (28, 28)
CLASSES = 10
MOST_ITEMS = {"train": 60_000, "t10k": 10_000}
"""Images in each part of MNIST and Fashion-MNIST; a file may hold fewer."""
PARTS = ("images-idx3-ubyte", "labels-idx1-ubyte")
DATA_VARIABLE = "ACCELSIM_DATA"
MOST_CALIBRATION_SAMPLES = 5_000
"""A layer of 100 outputs then has half a million scores to put a threshold among."""


@dataclass(frozen=True)
class Dataset:
    """Inputs (samples, features) float32 and labels (samples,) for training and testing."""

    train_inputs: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    @property
    def calibration_inputs(self) -> NDArray[np.float32]:
        """Training inputs that rules learn from: all, or so many, evenly spread."""
        there = len(self.train_inputs)
        number = min(there, MOST_CALIBRATION_SAMPLES)
        return self.train_inputs[np.arange(number) * there // max(number, 1)]


def digits() -> Dataset:
    """Return scikit-learn's bundled handwritten digits: 8×8 pixels scaled to [0, 1].

    Half of the 1,797 images, drawn with a fixed seed and stratified by digit, are for testing.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.5, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = parts
    return Dataset(
        train_x.astype(np.float32),
        train_y.astype(np.int64),
        test_x.astype(np.float32),
        test_y.astype(np.int64),
    )


def images(name: str) -> Dataset:
    """Return MNIST or a data set of its form: 28×28 pixels scaled to [0, 1], ten classes.

    Its four IDX files lie in the folder `name` of `data_folder()`, under their usual names, plain
    or with `.gz`. Raises AccelsimError if one is missing, or is not what it should be.
    """
    folder = data_folder() / name
    files = [_find(folder, f"{part}-{kind}") for part in MOST_ITEMS for kind in PARTS]
    return _images(folder, tuple((path, _version(path)) for path in files))


def _version(path: Path) -> tuple[int, int]:
    """Return what tells a file from one that takes its place."""
    about = path.stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=4)
def _images(folder: Path, files: tuple[tuple[Path, tuple[int, int]], ...]) -> Dataset:
    """Read a data set, once for all networks that share it: its arrays cannot be written to."""
    wanted = [
        (part, kind, shape, most)
        for part, most in MOST_ITEMS.items()
        for kind, shape in zip(PARTS, (PIXELS, ()), strict=True)
    ]
    arrays = {
        (part, kind): read_idx(path, shape, most)
        for (path, _), (part, kind, shape, most) in zip(files, wanted, strict=True)
    }
    for part in MOST_ITEMS:
        pictures, labels = (arrays[part, kind] for kind in PARTS)
        if len(pictures) != len(labels):
            raise AccelsimError(
                f"{folder}: {part} has {len(pictures)} images and {len(labels)} labels"
            )
        if labels.max() >= CLASSES:
            raise AccelsimError(
                f"{folder}: {part} has the label {labels.max()}, expected 0 to {CLASSES - 1}"
            )
    scaled = {
        part: np.divide(
            arrays[part, PARTS[0]].reshape(-1, PIXELS[0] * PIXELS[1]), 255, dtype=np.float32
        )
        for part in MOST_ITEMS
    }
    labelled = {part: arrays[part, PARTS[1]].astype(np.int64) for part in MOST_ITEMS}
    for array in (*scaled.values(), *labelled.values()):
        array.setflags(write=False)
    return Dataset(scaled["train"], labelled["train"], scaled["t10k"], labelled["t10k"])


def data_folder() -> Path:
    """Return where data sets are looked for, and kept: `$ACCELSIM_DATA`, or the user's cache."""
    given = os.environ.get(DATA_VARIABLE)
    if given:
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "accelsim"


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise AccelsimError(
        f"data set {folder.name}: no file {name} or {name}.gz in {folder}; set ${DATA_VARIABLE} to"
        f" the folder above, or fetch it: accelsim download {folder.name}"
    )


DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "mnist": partial(images, "mnist"),
    "fashion-mnist": partial(images, "fashion-mnist"),
}
