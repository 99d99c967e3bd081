"""IDX files are read whole, as MNIST's form says, or refused in one line."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from accelsim.config import load_workload
from accelsim.errors import AccelsimError, InputError
from accelsim.networks import DATASETS
from accelsim.networks import download as package_download
from accelsim.networks.download import DOWNLOADS, Download, download
from accelsim.networks.idx import read_idx

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint16).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([4, 0, 9], np.uint8)


def idx(array: np.ndarray) -> bytes:
    """Write the form out by hand, as http://yann.lecun.com/exdb/mnist describes it."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def images_of(path: Path) -> np.ndarray:
    return read_idx(path, (28, 28), 10)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small data set called mnist, where data sets are looked for."""
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    here = tmp_path / "mnist"
    here.mkdir()
    for part in ("train", "t10k"):
        (here / f"{part}-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (here / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    return here


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_is_read_plain_or_packed(tmp_path: Path, pack: type[bytes]) -> None:
    (tmp_path / "images").write_bytes(pack(idx(IMAGES)))
    np.testing.assert_array_equal(images_of(tmp_path / "images"), IMAGES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no IDX file of bytes in 3 dimensions: it begins with nothing, expected 00000803"),
        (b"\x89PNG....", "is no IDX file of bytes in 3 dimensions: it begins with 89504e47"),
        (idx(LABELS), "is no IDX file of bytes in 3 dimensions: it begins with 00000801"),
        (idx(IMAGES)[:9], "is cut short"),
        (idx(IMAGES)[:-1], "is cut short: 2351 of 2352 bytes"),
        (idx(IMAGES) + b"x", "has more data than the 3 items that it announces"),
        (idx(IMAGES[:, :14]), "holds items of shape (14, 28), expected (28, 28)"),
        (idx(IMAGES[:0]), "announces 0 items, expected 1 to 10"),
        (idx(np.zeros((11, 28, 28), np.uint8)), "announces 11 items, expected 1 to 10"),
        (gzip.compress(idx(IMAGES))[:-20], "is cut short"),
        (gzip.compress(idx(IMAGES))[:-8] + bytes(8), "is damaged"),
        (gzip.compress(idx(IMAGES))[:12] + bytes(200), "is damaged"),
    ],
)
def test_what_is_not_such_a_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "images").write_bytes(data)
    with pytest.raises(AccelsimError) as caught:
        images_of(tmp_path / "images")
    assert str(caught.value).startswith(f"{tmp_path / 'images'}: {message}")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(idx(IMAGES) + bytes(200_000_000), compresslevel=1)
    (tmp_path / "images").write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(AccelsimError, match="has more data"):
        images_of(tmp_path / "images")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(bomb) + 2_000_000


def test_images_are_pixels_between_zero_and_one(folder: Path) -> None:
    data = DATASETS["mnist"]()
    assert data.train_inputs.dtype == data.test_inputs.dtype == np.float32
    np.testing.assert_array_equal(data.test_inputs, IMAGES.reshape(3, 784) / np.float32(255))
    np.testing.assert_array_equal(data.test_labels, LABELS)


def test_images_and_labels_must_be_as_many(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
    with pytest.raises(AccelsimError, match="t10k has 3 images and 2 labels"):
        DATASETS["mnist"]()


def test_labels_are_of_ten_classes(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS + 1)))
    with pytest.raises(AccelsimError, match="train has the label 10, expected 0 to 9"):
        DATASETS["mnist"]()


def test_a_data_set_that_is_not_there_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    (tmp_path / "w.yaml").write_text(
        "name: w\ndataset: mnist\nweights: w.npz\nlayers:\n"
        "  - {name: logits, kind: dense, inputs: 784, outputs: 10, activation: identity}\n"
    )
    with pytest.raises(InputError) as caught:
        load_workload(tmp_path / "w.yaml")
    assert caught.value.problems[0] == (
        f"{tmp_path / 'w.yaml'}:2: dataset: data set mnist: no file train-images-idx3-ubyte or"
        f" train-images-idx3-ubyte.gz in {tmp_path / 'mnist'}; set $ACCELSIM_DATA to the folder"
        " above, or fetch it: accelsim download mnist"
    )


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to fetch a file of MNIST's from, that is no network, and an empty data folder."""
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path / "data"))
    place = tmp_path / "place"
    place.mkdir()
    data = gzip.compress(idx(IMAGES))
    (place / "train-images-idx3-ubyte.gz").write_bytes(data)
    files = {"train-images-idx3-ubyte.gz": (len(data), hashlib.sha256(data).hexdigest())}
    monkeypatch.setitem(DOWNLOADS, "mnist", Download(place.as_uri(), files))
    return place


def test_a_data_set_is_fetched_once(source: Path, tmp_path: Path) -> None:
    assert package_download is download
    folder = download("mnist")
    assert folder == tmp_path / "data" / "mnist"
    np.testing.assert_array_equal(images_of(folder / "train-images-idx3-ubyte.gz"), IMAGES)
    (source / "train-images-idx3-ubyte.gz").unlink()
    assert download("mnist") == folder


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", bytes.upper])
def test_a_file_that_is_not_the_published_one_is_not_kept(
    source: Path, change: Callable[[bytes], bytes]
) -> None:
    path = source / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(AccelsimError, match="is not the file that was published: SHA-256 "):
        download("mnist")
    assert list((source.parent / "data" / "mnist").iterdir()) == []


def test_a_file_that_cannot_be_fetched_is_named(source: Path) -> None:
    (source / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(AccelsimError, match=r"train-images-idx3-ubyte\.gz: cannot be fetched: "):
        download("mnist")


def test_only_known_data_sets_are_fetched() -> None:
    with pytest.raises(AccelsimError, match="'cifar': cannot be fetched, expected mnist, fashion"):
        download("cifar")


def test_a_data_set_is_read_once_until_its_files_change(folder: Path) -> None:
    first = DATASETS["mnist"]()
    assert DATASETS["mnist"]() is first
    with pytest.raises(ValueError, match="read-only"):
        first.test_inputs[0, 0] = 1.0
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(255 - IMAGES))
    os.utime(folder / "t10k-images-idx3-ubyte", ns=(1, 1))
    again = DATASETS["mnist"]()
    np.testing.assert_allclose(again.test_inputs + first.test_inputs, 1.0, rtol=1e-6)
