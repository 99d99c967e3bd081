"""Weights are taken whole, as the workload file describes them, or not at all."""

from __future__ import annotations

import io
import shutil
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim.config import load_workload
from accelsim.errors import InputError
from accelsim.networks.npz import read_weights

WORKLOADS = Path(__file__).parents[2] / "workloads"
YAML = """\
name: digits
dataset: digits
weights: weights.npz
layers:
  - {name: hidden, kind: dense, inputs: 64, outputs: 8, activation: relu}
  - {name: logits, kind: dense, inputs: 8, outputs: 10, activation: identity}
"""
Arrays = dict[str, Any]


def arrays() -> Arrays:
    generator = np.random.default_rng(0)
    shapes = {
        "hidden.weight": (8, 64),
        "hidden.bias": (8,),
        "logits.weight": (10, 8),
        "logits.bias": (10,),
    }
    return {name: generator.standard_normal(s).astype(np.float32) for name, s in shapes.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a workload file and its weights."""
    np.savez(tmp_path / "weights.npz", **arrays())
    (tmp_path / "w.yaml").write_text(YAML)
    return tmp_path


def problems(folder: Path, yaml: str = YAML) -> list[str]:
    path = folder / "w.yaml"
    path.write_text(yaml)
    with pytest.raises(InputError) as caught:
        load_workload(path)
    return [problem.removeprefix(str(path)) for problem in caught.value.problems]


def replace(folder: Path, name: str, array: Any) -> None:
    np.savez(folder / "weights.npz", **{**arrays(), name: array})


def replace_member(
    folder: Path, name: str, data: bytes, compression: int = zipfile.ZIP_DEFLATED
) -> None:
    """Put raw bytes where the array should be."""
    rest = {key: value for key, value in arrays().items() if key != name}
    np.savez(folder / "weights.npz", **rest)
    with zipfile.ZipFile(folder / "weights.npz", "a", compression) as archive:
        archive.writestr(f"{name}.npy", data)


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


def floats(shape: str, descr: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


def test_weights_are_read_as_they_were_saved(folder: Path) -> None:
    network = load_workload(folder / "w.yaml").network
    assert network is not None
    for layer in network.layers:
        np.testing.assert_array_equal(layer.weight, arrays()[f"{layer.name}.weight"])
        np.testing.assert_array_equal(layer.bias, arrays()[f"{layer.name}.bias"])


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: np.asfortranarray(x),
    ],
)
def test_the_layout_of_an_array_does_not_matter(folder: Path, convert: Any) -> None:
    replace(folder, "hidden.weight", convert(arrays()["hidden.weight"]))
    network = load_workload(folder / "w.yaml").network
    assert network is not None
    np.testing.assert_array_equal(network.layers[0].weight, arrays()["hidden.weight"])


def test_half_precision_weights_are_taken(folder: Path) -> None:
    replace(folder, "logits.bias", np.full(10, 0.1, np.float16))
    network = load_workload(folder / "w.yaml").network
    assert network is not None
    np.testing.assert_array_equal(network.layers[1].bias, np.float32(np.float16(0.1)))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full(10, np.nan), "holds NaN or infinite values"),
        (np.full(10, -np.inf), "holds NaN or infinite values"),
        (np.full(10, 1e300), "holds values beyond float32"),
        (np.zeros(11, np.float32), "has shape (11,), expected (10,)"),
        (np.zeros((10, 1), np.float32), "has shape (10, 1), expected (10,)"),
        (np.zeros((), np.float32), "has shape (), expected (10,)"),
        (np.zeros(10, np.int64), "holds int64, expected float16, float32 or float64"),
        (np.zeros(10, np.bool_), "holds bool, expected float16, float32 or float64"),
        (np.zeros(10, np.complex64), "holds complex64, expected float16, float32 or float64"),
        (np.full(10, "a"), "holds <U1, expected float16, float32 or float64"),
        (np.full(10, None), "holds object, expected float16, float32 or float64"),
    ],
)
def test_an_array_that_does_not_fit_is_named_with_the_line_of_its_layer(
    folder: Path, array: Any, said: str
) -> None:
    replace(folder, "logits.bias", array)
    assert problems(folder) == [f":6: layers[1]: weights.npz: array 'logits.bias' {said}"]


def test_every_array_that_does_not_fit_is_named(folder: Path) -> None:
    given = arrays()
    del given["hidden.weight"]
    given["logits.weight"] = given["logits.weight"].T
    np.savez(folder / "weights.npz", **given)
    assert problems(folder) == [
        ":5: layers[0]: weights.npz: no array 'hidden.weight' in it, expected one of shape (8, 64)",
        ":6: layers[1]: weights.npz: array 'logits.weight' has shape (8, 10), expected (10, 8)",
    ]


class Explosive:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_objects_are_never_unpickled(folder: Path) -> None:
    bomb = np.array([Explosive(folder / "exploded")] * 10, dtype=object)
    replace(folder, "logits.bias", bomb)
    # The control: were objects unpickled, this one would leave its file.
    np.load(folder / "weights.npz", allow_pickle=True)["logits.bias"]
    assert (folder / "exploded").exists()
    (folder / "exploded").unlink()
    assert problems(folder) == [
        ":6: layers[1]: weights.npz: array 'logits.bias' holds object,"
        " expected float16, float32 or float64"
    ]
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is damaged"),
        (b"garbage", "is damaged"),
        (b"\x93NUMPY\x01\x00\xff\x00{", "is damaged"),
        (b"\x93NUMPY\x02\x00" + bytes(20), "has a header that is not of version 1.0"),
        (header("{'descr': '<f4', 'fortran"), "is damaged"),
        (header("__import__('os').abort()"), "is damaged"),
        (header("{[]: 1}"), "is damaged"),
        (header("[" * 5000), "is damaged"),
        (header("-" * 9000 + "1"), "is damaged"),
        (header(" " * 20000), "is damaged"),
        (floats("(10,)", "'zzz'"), "is damaged"),
        (floats("(-10,)"), "has shape (-10,), expected (10,)"),
        (floats("(10,)") + bytes(39), "is cut short"),
        (floats("(10,)") + bytes(41), "has more data than its shape"),
        (floats("(10L,)") + bytes(39), "is cut short"),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, bytes) else "",
)
def test_a_member_that_is_no_array_is_refused(folder: Path, data: bytes, said: str) -> None:
    replace_member(folder, "logits.bias", data)
    assert problems(folder) == [f":6: layers[1]: weights.npz: array 'logits.bias' {said}"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_compression_that_numpy_uses_is_taken(folder: Path, compression: int) -> None:
    replace_member(folder, "logits.bias", floats("(10,)") + bytes(40), compression)
    assert problems(folder) == [
        ":6: layers[1]: weights.npz: array 'logits.bias'"
        " is compressed in a way that NumPy does not use"
    ]


def test_an_archive_that_claims_a_huge_array_takes_no_memory(tmp_path: Path) -> None:
    data = floats("(50000000,)") + bytes(200_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        out.writestr("logits.bias.npy", data)
    del data
    tracemalloc.start()
    try:
        taken, said = read_weights(tmp_path / "bomb.npz", {"logits.bias": (10,)})
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == {}
    assert said == {"logits.bias": "array 'logits.bias' has shape (50000000,), expected (10,)"}
    assert peak_bytes < 2_000_000


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("absent.npz", "no such file: absent.npz"),
        (".", ". cannot be read: Is a directory"),
        ("w.yaml", "w.yaml: not a NumPy archive (npz)"),
        ("w.yaml/x", "w.yaml/x cannot be read: Not a directory"),
    ],
)
def test_weights_that_are_no_archive_are_refused(folder: Path, weights: str, said: str) -> None:
    assert problems(folder, YAML.replace("weights.npz", weights)) == [f":3: weights: {said}"]


@pytest.mark.parametrize("keep", [0, 10, 500, -30, -1])
def test_a_truncated_archive_is_refused(folder: Path, keep: int) -> None:
    whole = (folder / "weights.npz").read_bytes()
    (folder / "weights.npz").write_bytes(whole[:keep])
    assert problems(folder) == [":3: weights: weights.npz: not a NumPy archive (npz)"]


def test_a_damaged_archive_is_refused_or_gives_the_weights_it_was_made_from(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    whole = stream.getvalue()
    shapes = {name: array.shape for name, array in arrays().items()}
    path = tmp_path / "weights.npz"
    generator = np.random.default_rng(0)
    refused = 0
    for bits in np.resize([1, 2, 20], 600):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(0, damaged.size, bits)
        damaged[places] ^= np.uint8(1) << generator.integers(0, 8, bits, dtype=np.uint8)
        path.write_bytes(damaged.tobytes())
        try:
            taken, said = read_weights(path, shapes)
        except ValueError as error:
            taken, said = {}, {"archive": str(error)}
        refused += bool(said)
        assert said.get("archive", "not a NumPy archive (npz)") == "not a NumPy archive (npz)"
        assert not set(taken) & set(said)
        for name, array in taken.items():
            np.testing.assert_array_equal(array, arrays()[name])
    assert refused > 500


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "inputs: 8",
            "inputs: 9",
            [
                ":6: layers[1].inputs: got 9, expected 8, the outputs of layer hidden",
                ":6: layers[1]: weights.npz: array 'logits.weight' has shape (10, 8),"
                " expected (10, 9)",
            ],
        ),
        (
            "inputs: 64",
            "inputs: 65",
            [
                ":5: layers[0].inputs: got 65, expected 64 for digits",
                ":5: layers[0]: weights.npz: array 'hidden.weight' has shape (8, 64),"
                " expected (8, 65)",
            ],
        ),
        (
            "outputs: 10",
            "outputs: 9",
            [
                ":6: layers[1].outputs: got 9, expected 10 for digits",
                ":6: layers[1]: weights.npz: array 'logits.weight' has shape (10, 8),"
                " expected (9, 8)",
                ":6: layers[1]: weights.npz: array 'logits.bias' has shape (10,), expected (9,)",
            ],
        ),
        (
            "dataset: digits\n",
            "",
            [":1: dataset: key is missing, expected digits, mnist, fashion-mnist"],
        ),
        (
            "name: logits",
            "name: hidden",
            [":6: layers[1].name: 'hidden' is the name of layers[0] already"],
        ),
        (
            "activation: relu",
            "activation: gelu",
            [
                ":5: layers[0].activation: got the string 'gelu',"
                " expected one of identity, relu, tanh"
            ],
        ),
        (
            "kind: dense, inputs: 64, outputs: 8, activation: relu",
            "kind: gemm, m: 1, k: 64, n: 8",
            [":5: layers[0].kind: got gemm, expected dense: the file names weights"],
        ),
        (
            "weights: weights.npz\n",
            "",
            [
                ":2: dataset: a workload without weights has no dataset; remove the key",
                ":4: layers[0].kind: got dense, expected a layer known by its shape:"
                " the file names no weights",
                ":5: layers[1].kind: got dense, expected a layer known by its shape:"
                " the file names no weights",
            ],
        ),
    ],
)
def test_layers_must_fit_each_other_the_data_and_the_weights(
    folder: Path, old: str, new: str, said: list[str]
) -> None:
    assert problems(folder, YAML.replace(old, new)) == said


def test_the_shipped_weights_are_those_beside_their_file(tmp_path: Path) -> None:
    shutil.copy(WORKLOADS / "digits-relu.yaml", tmp_path / "w.yaml")
    with pytest.raises(InputError) as caught:
        load_workload(tmp_path / "w.yaml")
    assert caught.value.problems == (
        f"{tmp_path}/w.yaml:5: weights: no such file: digits-relu.npz",
    )


def test_a_typo_hides_no_other_problem(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(
        "name: w\ndataset: digits\nweights: nope.npz\nlayers:\n"
        "  - {name: a, kind: dense, inputs: 63, outputs: 8, activation: rleu}\n"
        "  - {name: a, kind: dense, inputs: 9, outputs: 11, activation: identity}\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        load_workload(tmp_path / "w.yaml")
    assert [line.removeprefix(f"{tmp_path / 'w.yaml'}:") for line in caught.value.problems] == [
        "3: weights: no such file: nope.npz",
        "5: layers[0].activation: got the string 'rleu', expected one of identity, relu, tanh",
        "5: layers[0].inputs: got 63, expected 64 for digits",
        "6: layers[1].name: 'a' is the name of layers[0] already",
        "6: layers[1].inputs: got 9, expected 8, the outputs of layer a",
        "6: layers[1].outputs: got 11, expected 10 for digits",
    ]


def test_weights_of_another_seed_that_are_not_there_can_be_trained(tmp_path: Path) -> None:
    """Only a shipped network has a recipe, and only a missing file needs it."""
    folder = tmp_path / "seed-3"
    with pytest.raises(InputError) as caught:
        load_workload(folder / "digits-tanh.yaml")
    command = f"python workloads/train.py --seed 3 --out {folder}"
    assert str(caught.value) == (
        f"{folder / 'digits-tanh.yaml'}: no such file, but it can be trained, with all others of"
        f" its seed (or alone, with its name at the end): {command}"
    )
    for other in (folder / "mine.yaml", tmp_path / "seeds" / "digits-tanh.yaml"):
        with pytest.raises(InputError, match=r"no such file$"):
            load_workload(other)
