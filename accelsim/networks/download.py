"""Fetching data sets, when the user asks for it: the only code that uses the network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accelsim.errors import AccelsimError
from accelsim.files import make_folder, write_whole
from accelsim.networks.datasets import data_folder
from accelsim.progress import Progress, silent

TIMEOUT_S = 60
BLOCK_BYTES = 2**18


@dataclass(frozen=True)
class Download:
    """A data set's files: `files` maps each name to its size in bytes and its SHA-256."""

    url: str
    files: Mapping[str, tuple[int, str]]


DOWNLOADS = {
    # Sizes and SHA-256 as published by TensorFlow Datasets, url_checksums/mnist.txt.
    "mnist": Download(
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        {
            "train-images-idx3-ubyte.gz": (
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels-idx1-ubyte.gz": (
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            "t10k-images-idx3-ubyte.gz": (
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        },
    ),
    # The same from url_checksums/fashion_mnist.txt; the authors' own repository holds the files.
    "fashion-mnist": Download(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        {
            "train-images-idx3-ubyte.gz": (
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            "train-labels-idx1-ubyte.gz": (
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            "t10k-images-idx3-ubyte.gz": (
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        },
    ),
}


def download(name: str, progress: Progress = silent) -> Path:
    """Fetch the files of a data set that are not there yet; return the folder they are in.

    A file is kept when its size and SHA-256 are those published, and otherwise not written.
    Raises AccelsimError if the data set is unknown, or a file cannot be had.
    """
    if name not in DOWNLOADS:
        raise AccelsimError(
            f"data set {name!r}: cannot be fetched, expected {', '.join(DOWNLOADS)}"
        )
    source, folder = DOWNLOADS[name], data_folder() / name
    make_folder(folder)
    for file, (size, digest) in source.files.items():
        if not any((folder / known).exists() for known in (file, file.removesuffix(".gz"))):
            write_whole(folder / file, _fetch(f"{source.url}/{file}", size, digest, progress))
    return folder


def _fetch(url: str, size: int, digest: str, progress: Progress) -> bytes:
    """Return what is at `url`, if it is `size` bytes with that SHA-256."""
    # Few runs fetch anything, and these take as long to import as a small network to time.
    import http.client
    import urllib.request

    blocks: list[bytes] = []
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as stream:  # noqa: S310 - ours, above
            for _ in progress(range(-(-size // BLOCK_BYTES)), f"download {url.rpartition('/')[2]}"):
                blocks.append(stream.read(BLOCK_BYTES))
            blocks.append(stream.read(1))
    except (OSError, http.client.HTTPException) as error:
        raise AccelsimError(f"{url}: cannot be fetched: {error}") from None
    data = b"".join(blocks)
    found = hashlib.sha256(data).hexdigest()
    if len(data) != size or found != digest:
        raise AccelsimError(
            f"{url}: is not the file that was published: SHA-256 {found}, expected {digest}"
        )
    return data
