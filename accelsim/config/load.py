"""From files to the types of both wings."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError

from accelsim.config.document import Document, read_document
from accelsim.config.extends import EXTENDS, extend
from accelsim.config.shipped import find, shipped_names
from accelsim.config.tables import SCALED, check_named_table, energy_table, resolve_table
from accelsim.config.topology import load_topology
from accelsim.config.validate import validate
from accelsim.energy import EnergyTable
from accelsim.errors import AccelsimError, InputError
from accelsim.machine import Hardware
from accelsim.networks import (
    DATASETS,
    Dataset,
    DenseLayer,
    DenseSpec,
    Gemm,
    Network,
    ShapeError,
    VectorWork,
    Workload,
    as_shapes,
)
from accelsim.networks.npz import read_weights
from accelsim.networks.workload import LayerSpec, WorkloadSpec
from accelsim.numerics import FloatFormat

if TYPE_CHECKING:
    from accelsim.config.study import StudyFile  # which loads all of the others

_SEED = re.compile(r"seed-(\d+)")
"""The name of a folder with the shipped networks, trained from another seed."""
_KINDS: dict[str, type[BaseModel]] = {
    "hardware": Hardware,
    "workload": WorkloadSpec,
    "energy table": EnergyTable,
}


def load_hardware(path: str | Path) -> Hardware:
    """Read a hardware file, or the shipped machine of that name.

    Raises InputError with a line for every problem.
    """
    return hardware_of(read_document(find(path, "hwconfigs")))


def hardware_of(document: Document) -> Hardware:
    """Return the machine that a document describes. Raises InputError for every problem."""
    _refuse_other(document, "hardware")
    resolve_table(document)
    extend(document)
    hardware = validate(document, Hardware)
    check_named_table(document)
    if document.problems or hardware is None:
        document.fail()
    return hardware


def load_workload(path: str | Path) -> Workload:
    """Read a workload file and its weights, a SCALE-Sim topology table (`.csv`), or the shipped
    workload of that name.

    Raises InputError with a line for every problem.
    """
    path = find(path, "workloads")
    seed = _SEED.fullmatch(path.parent.name)
    if seed and path.stem in shipped_names("workloads") and not path.exists():
        raise InputError(
            f"{path}: no such file, but it can be trained, with all others of its seed (or alone,"
            " with its name at the end):"
            f" python workloads/train.py --seed {seed[1]} --out {path.parent}"
        )
    if path.suffix.lower() == ".csv":
        return load_topology(path)
    return _workload(read_document(path))


def _workload(document: Document) -> Workload:
    _refuse_other(document, "workload")
    spec = validate(document, WorkloadSpec)
    content = _salvage(document) if spec is None else _Content.of(spec)
    workload = None
    if content.weights is not None:
        workload = _network(document, content)
    elif not _has(document, "weights"):
        workload = _shapes(document, content)
    if document.problems or workload is None:
        document.fail()
    return workload


class _Content(NamedTuple):
    """What a workload file says, as far as it can be understood; a layer may be None."""

    name: str
    operand_format: FloatFormat
    layers: list[LayerSpec | None]
    dataset: str | None
    weights: str | None

    @classmethod
    def of(cls, spec: WorkloadSpec) -> _Content:
        return cls(spec.name, spec.operand_format, [*spec.layers], spec.dataset, spec.weights)


def _salvage(document: Document) -> _Content:
    """Return what can be understood of a file with problems, so that all of them are found."""
    raw = document.value if isinstance(document.value, dict) else {}
    entries = raw.get("layers")
    layers = [_salvage_layer(entry) for entry in entries] if isinstance(entries, list) else []
    dataset, weights = raw.get("dataset"), raw.get("weights")
    return _Content(
        "",
        FloatFormat.parse("fp32"),
        layers,
        dataset if isinstance(dataset, str) and dataset in DATASETS else None,
        weights if isinstance(weights, str) and weights else None,
    )


def _has(document: Document, key: str) -> bool:
    return isinstance(document.value, dict) and key in document.value


def _salvage_layer(entry: object) -> LayerSpec | None:
    candidates = [entry]
    if isinstance(entry, dict) and entry.get("kind") == "dense":
        kept = {key: entry[key] for key in ("name", "inputs", "outputs") if key in entry}
        candidates.append({**kept, "kind": "dense", "activation": "identity"})
    for candidate in candidates:
        with contextlib.suppress(ValidationError):
            layer: LayerSpec = TypeAdapter(LayerSpec).validate_python(candidate)
            return layer
    return None


def check_file(path: str | Path, check_study: Callable[[StudyFile], None] | None = None) -> str:
    """Check a file of any kind and describe it in a few words; raises InputError.

    `check_study` looks further at what a study file says.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return f"workload {load_topology(path).name}"
    for folder in ("hwconfigs", "workloads"):
        if str(path) in shipped_names(folder):
            path = find(path, folder)
    document = read_document(path)
    match _kind_of(document):
        case "hardware":
            return f"hardware {hardware_of(document).name}"
        case "workload":
            return f"workload {_workload(document).name}"
        case "study":
            from accelsim.config.study import load_study  # which loads all of the others

            study = load_study(path)
            if check_study is not None:
                check_study(study)
            return f"study {study.name}, {study.points} points"
    return f"energy table {energy_table(document).name}"


def _kind_of(document: Document) -> str:
    """Return the kind whose keys the file's come closest to."""
    keys = [str(key) for key in document.value] if isinstance(document.value, dict) else []
    if EXTENDS in keys:
        return "hardware"
    if SCALED in keys:
        return "energy table"
    if {"hardware", "policy", "sweep"} & {*keys}:
        return "study"

    def score(model: type[BaseModel]) -> float:
        return sum(
            max(difflib.SequenceMatcher(None, key, field).ratio() for field in model.model_fields)
            for key in keys
        )

    return max(_KINDS, key=lambda kind: score(_KINDS[kind]))


def _refuse_other(document: Document, expected: str) -> None:
    """Raise InputError, with a line, for a file of another kind, none of whose keys but its name
    is one of the kind expected.
    """
    keys = {str(key) for key in document.value} if isinstance(document.value, dict) else set()
    keys -= {"name"}
    if keys.isdisjoint(_KINDS[expected].model_fields):
        for kind, model in _KINDS.items():
            if kind != expected and not keys.isdisjoint(model.model_fields):
                raise InputError(f"{document.path}: is of kind {kind}, expected {expected}")


def _shapes(document: Document, spec: _Content) -> Workload | None:
    shapes: list[Gemm | VectorWork] = []
    for index, layer in enumerate(spec.layers):
        if layer is None:
            continue
        if isinstance(layer, DenseSpec):
            expected = "expected a layer known by its shape: the file names no weights"
            document.report(("layers", index, "kind"), f"got dense, {expected}")
            continue
        try:
            found = as_shapes(layer)
        except ShapeError as error:
            document.report(("layers", index, error.key), str(error))
            continue
        for shape in found:
            if isinstance(shape, VectorWork) and shape.fused and not document.problems:
                _check_fused(document, index, shape, shapes)
        shapes += found
    if spec.dataset is not None:
        document.report(("dataset",), "a workload without weights has no dataset; remove the key")
    _check_names(document, spec)
    if document.problems:
        return None
    return Workload(spec.name, spec.operand_format, shapes=tuple(shapes))


def _check_fused(
    document: Document, index: int, work: VectorWork, before: list[Gemm | VectorWork]
) -> None:
    """Report work on the outputs of the layer before that does not take as many."""
    given = before[-1].outputs if before else 0
    if given != work.outputs:
        what = f"the {given} outputs of {before[-1].name}" if before else "a layer before it"
        document.report(
            ("layers", index, "elements"), f"got {work.outputs}, expected {what}, to be fused"
        )


def _network(document: Document, spec: _Content) -> Workload | None:
    dense = []
    for index, layer in enumerate(spec.layers):
        if layer is None:
            continue
        if isinstance(layer, DenseSpec):
            dense.append((index, layer))
        else:
            document.report(
                ("layers", index, "kind"),
                f"got {layer.kind}, expected dense: the file names weights",
            )
    if not _has(document, "dataset"):
        document.report(("dataset",), f"key is missing, expected {', '.join(DATASETS)}")
    names_differ = _check_names(document, spec)
    for (place, before), (index, after) in itertools.pairwise(dense):
        if place + 1 == index and before.outputs != after.inputs:
            document.report(
                ("layers", index, "inputs"),
                f"got {after.inputs}, expected {before.outputs},"
                f" the outputs of layer {before.name}",
            )
    dataset = _dataset(document, spec)
    if dataset is not None and dense and len(dense) == len(spec.layers):
        _, features = dataset.test_inputs.shape
        classes = int(dataset.test_labels.max()) + 1
        for index, key, given, expected in (
            (0, "inputs", dense[0][1].inputs, features),
            (len(dense) - 1, "outputs", dense[-1][1].outputs, classes),
        ):
            if given != expected:
                document.report(
                    ("layers", index, key), f"got {given}, expected {expected} for {spec.dataset}"
                )
    layers = _read_layers(document, spec, dense if names_differ else [])
    if document.problems:
        return None
    network = Network(tuple(layers), spec.operand_format)
    return Workload(spec.name, spec.operand_format, network=network, dataset=dataset)


def _dataset(document: Document, spec: _Content) -> Dataset | None:
    if spec.dataset is None:
        return None
    try:
        return DATASETS[spec.dataset]()
    except AccelsimError as error:
        document.report(("dataset",), str(error))
        return None


def _read_layers(
    document: Document, spec: _Content, dense: list[tuple[int, DenseSpec]]
) -> list[DenseLayer]:
    assert spec.weights is not None
    shapes: dict[str, tuple[int, ...]] = {}
    for _, layer in dense:
        shapes[f"{layer.name}.weight"] = (layer.outputs, layer.inputs)
        shapes[f"{layer.name}.bias"] = (layer.outputs,)
    try:
        arrays, problems = read_weights(document.path.parent / spec.weights, shapes)
    except FileNotFoundError:
        document.report(("weights",), f"no such file: {spec.weights}")
        return []
    except OSError as error:
        document.report(("weights",), f"{spec.weights} cannot be read: {error.strerror}")
        return []
    except ValueError as error:
        document.report(("weights",), f"{spec.weights}: {error}")
        return []
    for index, layer in dense:
        for part in ("weight", "bias"):
            if (name := f"{layer.name}.{part}") in problems:
                document.report(("layers", index), f"{spec.weights}: {problems[name]}")
    if problems or document.problems:
        return []
    return [
        DenseLayer(
            layer.name,
            arrays[f"{layer.name}.weight"],
            arrays[f"{layer.name}.bias"],
            layer.activation,
        )
        for _, layer in dense
    ]


def _check_names(document: Document, spec: _Content) -> bool:
    """Report layers with the name of an earlier one; return whether there are none."""
    first: dict[str, int] = {}
    for index, layer in enumerate(spec.layers):
        if layer is None:
            continue
        if layer.name in first:
            document.report(
                ("layers", index, "name"),
                f"{layer.name!r} is the name of layers[{first[layer.name]}] already",
            )
        first.setdefault(layer.name, index)
    return len(first) == sum(layer is not None for layer in spec.layers)
