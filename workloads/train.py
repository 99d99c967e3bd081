"""Train the perceptrons of this folder: `python workloads/train.py [NAME…] [--seed S] [--out DIR]`.

Without names, all of them: seconds for the digits, minutes for each of the others, whose data
must be there (accelsim download). Writes the weights as an npz archive, and the workload file
where there is none, so that other seeds may have a folder of their own. A seed gives the same
weights with the same versions of NumPy and scikit-learn on the same kind of processor, on which one
thread is used: the last bits of products differ between kinds, and training makes other networks of
that. So the weights of seed 0 are committed, and reports name the digests of all that they used.
Those of seeds 1 to 4 were trained without AVX-512; a processor that has it does the same with
OPENBLAS_CORETYPE=HASWELL NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" before it.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from accelsim.networks import DATASETS

HERE = Path(__file__).parent


class Recipe(NamedTuple):
    """What a network is made from: `hidden` are outputs of the layers before the last."""

    dataset: str
    hidden: tuple[int, ...]
    activation: str
    epochs: int
    stored_as: str


DEPTHS = {3: (256, 128), 5: (192, 128, 128, 64), 8: (128, 128, 128, 128, 64, 64, 64)}
"""Hidden layers by the number of layers: about as many weights in each."""
RECIPES = {
    f"digits-{activation}": Recipe("digits", DEPTHS[3], activation, 60, "float32")
    for activation in ("relu", "tanh")
} | {
    # Half precision is finer than any operand format, and halves what a checkout holds.
    f"{dataset}-{activation}-{depth}": Recipe(dataset, hidden, activation, 20, "float16")
    for dataset in ("mnist", "fashion-mnist")
    for activation in ("relu", "tanh")
    for depth, hidden in DEPTHS.items()
}


def train(name: str, seed: int, folder: Path) -> None:
    """Train one network; write `<name>.npz` and, if there is none, `<name>.yaml`."""
    recipe = RECIPES[name]
    data = DATASETS[recipe.dataset]()
    model = MLPClassifier(
        recipe.hidden, activation=recipe.activation, max_iter=recipe.epochs, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs is wanted
        model.fit(data.train_inputs, data.train_labels)
    arrays = {}
    for layer, weight, bias in zip(
        layer_names(recipe), model.coefs_, model.intercepts_, strict=True
    ):
        arrays[f"{layer}.weight"] = np.ascontiguousarray(weight.T, recipe.stored_as)
        arrays[f"{layer}.bias"] = bias.astype(recipe.stored_as)
    path = folder / f"{name}.npz"
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # arrays are not options
    temporary.replace(path)
    description = path.with_suffix(".yaml")
    if not description.exists():
        description.write_text(workload(name, recipe, seed), encoding="utf-8")
    score = model.score(data.test_inputs, data.test_labels)
    print(f"{path}: test accuracy {score:.4f} in float32 arithmetic")


def workload(name: str, recipe: Recipe, seed: int) -> str:
    """Return the text of a workload file."""
    inputs = {"digits": 64}.get(recipe.dataset, 784)
    sizes = (inputs, *recipe.hidden, 10)
    lines = [
        f"# A perceptron of {len(sizes) - 1} layers on {recipe.dataset}, trained by train.py with"
        f" seed {seed}.",
        f"name: {name}" + (f"-seed{seed}" if seed else ""),
        f"dataset: {recipe.dataset}",
        f"weights: {name}.npz",
        "operand_format: e4m3fn",
        "layers:",
    ]
    for index, layer in enumerate(layer_names(recipe)):
        activation = "identity" if layer == "logits" else recipe.activation
        lines.append(
            f"  - {{name: {layer}, kind: dense, inputs: {sizes[index]},"
            f" outputs: {sizes[index + 1]}, activation: {activation}}}"
        )
    return "\n".join(lines) + "\n"


def layer_names(recipe: Recipe) -> list[str]:
    """Return the names of the layers, first to last."""
    return [*(f"hidden{index + 1}" for index in range(len(recipe.hidden))), "logits"]


def main() -> None:
    """Train what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for what is written")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(RECIPES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):  # the order of sums goes by the number of threads
        for name in given.names or RECIPES:
            train(name, given.seed, given.out)


if __name__ == "__main__":
    main()
