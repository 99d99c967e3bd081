"""How fast a whole test set goes through a network, and how much memory that takes.

Run as `python -m benchmarks.inference POLICY COPIES` it prints the memory that so many copies take.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from accelsim.errors import AccelsimError
from accelsim.infer import Prepared, infer, prepare
from accelsim.networks import DATASETS, Dataset, DenseLayer, Network, Workload
from accelsim.numerics import FloatFormat
from accelsim.policies import parse_policy
from benchmarks.measure import cell, worth_of_two_cores

WIDTHS = (784, 512, 512, 10)
IMAGES = 10_000
REPEATS = 3
BUDGET_S, CORES = 5.0, 2
BUDGET_RATIO = 1.5
COPIES = (1, 4)
BUDGET_MB = 20
"""What the peak may grow by from the first to the second, beside inputs and what is returned."""
LOW, HIGH = "uniform-low", "uniform-high"
HELD = (
    *(f"selective:tau={tau},numerator=constant" for tau in (1, 4, 16, 64, 256, 1024)),
    *(f"selective:tau={tau},numerator=l2" for tau in (16, 64)),
    *(f"selective:tau={tau},numerator=l1-inf" for tau in (64, 512)),
    "selective:tau=16,numerator=exact",
    "selective:tau=16,chunk=32",
    "static:rate=0.05",
    "static:rate=0.3",
    "absolute:tau=24,numerator=l2",
    "next-layer:tau=35,numerator=l2",
    "gauss-newton:tau=2,numerator=l2",
    "look-ahead:tau=1,numerator=l2",
    "look-ahead:tau=1,hidden=e4m3fn",
    *(f"random:rate={rate}" for rate in (0.01, 0.05, 0.3)),
)
NAMED = {
    "selective:tau=128,numerator=exact": "a second product, in fp32",
    "selective:tau=16,numerator=low": "two sums in e4m3fn a term",
    "selective:tau=128,numerator=low": "two sums in e4m3fn a term",
    "selective:tau=512,numerator=running-error": "two sums a term",
}
"""Rules that are not held to the ratio, and why."""
KINDS = (
    LOW,
    "selective:tau=16,numerator=constant",
    "selective:tau=16,numerator=exact",
    "selective:tau=16,chunk=32",
    "selective:tau=512,numerator=running-error",
    "look-ahead:tau=1,numerator=l2",
    "random:rate=0.05",
)
"""Rules whose memory is measured: one of each kind of sums, and of each choice of outputs."""
INDEX_BYTES = 4
"""What `random` keeps for each output of a layer while it draws."""


def workload(copies: int = 1) -> tuple[Workload, str]:
    """Return MNIST's test images, so many times over, on a network with random weights."""
    try:
        images, source = DATASETS["mnist"]().test_inputs[:IMAGES], "MNIST"
    except AccelsimError:
        pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, WIDTHS[0]))
        images, source = (pixels / 255).astype(np.float32), "noise, for MNIST is not there"
    generator = np.random.default_rng(0)
    layers = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)  # He et al.
        activation = "relu" if number + 2 < len(WIDTHS) else "identity"
        bias = np.zeros(outputs, np.float32)
        layers.append(
            DenseLayer(f"dense{number}", weight.astype(np.float32), bias, activation)  # type: ignore[arg-type]
        )
    few, fmt = images[:1000], FloatFormat.parse("e4m3fn")
    labels = np.zeros(len(images) * copies, np.int64)
    dataset = Dataset(few, labels[:1000], np.tile(images, (copies, 1)), labels)
    return Workload("mlp", fmt, network=Network(tuple(layers), fmt), dataset=dataset), source


def main() -> None:
    """Print times and memory, and hold them to their budgets."""
    load, source = workload()
    prepared = prepare(load)
    policies = [LOW, HIGH, *HELD, *NAMED]
    print(
        f"{IMAGES} images ({source}) through {'-'.join(map(str, WIDTHS))}, by {len(policies)}"
        f" policies, {REPEATS} times:",
        flush=True,
    )
    traces = [infer(prepared, parse_policy(policy)).trace for policy in policies]  # compile
    rates = [trace.recompute_rate for trace in traces]
    # Time on the cores, as other work on the machine makes a process wait but not work more; what
    # the second core is worth says how much of the clock is due to others.
    worth = worth_of_two_cores()
    times = np.array([[_seconds(prepared, policy) for policy in policies] for _ in range(REPEATS)])
    cpu = times[..., 0]
    budgets = BUDGET_RATIO * cpu[:, :1] + np.array(rates) * cpu[:, 1:2]
    macs = IMAGES * sum(a * b for a, b in itertools.pairwise(WIDTHS))
    for policy, rate, (cpu_s, wall_s), used in zip(
        policies, rates, np.median(times, axis=0), (cpu / budgets).T, strict=True
    ):
        print(
            f"{policy}, {rate:.1%} recomputed: {wall_s:.2f} s, {cpu_s:.2f} s of one core,"
            f" {macs / cpu_s / 1e9:.1f} billion MACs a second of it; {cell(used)} of {BUDGET_RATIO}"
            f" times {LOW} and the share of {HIGH}"
            + (f", to which it is not held: {NAMED[policy]}" if policy in NAMED else "")
        )
    worth = (worth + worth_of_two_cores()) / 2
    low_s, wall_s = np.median(cpu[:, 0]) / CORES, np.median(times[:, 0, 1]) * worth / CORES
    print(
        f"{LOW}: {low_s:.2f} s on each of {CORES} cores; on the clock {wall_s:.2f} s if both were"
        f" free: two processes of bare SimPy do {worth:.2f} times what one does"
    )
    assert max(low_s, wall_s) < BUDGET_S, f"the budget is {BUDGET_S} s on {CORES} cores"
    held = np.median(cpu / budgets, axis=0)[2 : 2 + len(HELD)]
    over = [policy for policy, used in zip(HELD, held, strict=True) if used >= 1]
    assert not over, f"more than the budget: {'; '.join(over)}"
    _memory()


def _seconds(prepared: Prepared, policy: str) -> tuple[float, float]:
    """Return the seconds of one core that an inference takes, and the seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    infer(prepared, parse_policy(policy))
    return time.process_time() - cpu, time.perf_counter() - wall


def _memory() -> None:
    """Print how the peak of a process grows with the images."""
    root = Path(__file__).parents[1]
    more = (COPIES[1] - COPIES[0]) * IMAGES
    for policy in KINDS:
        drawn = INDEX_BYTES * max(WIDTHS[1:]) * more / 1e6 if policy.startswith("random") else 0.0
        peaks = []
        for copies in COPIES:
            command = [sys.executable, "-m", "benchmarks.inference", policy, str(copies)]
            done = subprocess.run(  # noqa: S603
                command, cwd=root, stdout=subprocess.PIPE, text=True, check=True
            )
            peaks.append(float(done.stdout))
            print(
                f"{policy}, {copies * IMAGES} images: at most {peaks[-1]:.0f} MB beside the images"
                " and what is returned"
            )
        budget_mb = BUDGET_MB + drawn
        assert peaks[1] - peaks[0] < budget_mb, f"the budget is {budget_mb:.0f} MB more"


def _peak() -> None:
    """Print the megabytes that an inference takes beside its inputs and what it returns."""
    rule = parse_policy(sys.argv[1])
    infer(prepare(workload()[0]), rule)  # compile
    load, _ = workload(int(sys.argv[2]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: proc_pid_clear_refs(5)
    before = _memory_bytes("VmRSS")
    prepared = prepare(load)
    found = infer(prepared, rule)
    masks = [layer.recomputed for layer in found.trace.products]
    returned = [prepared.reference, found.outputs, *masks]
    known = sum(array.nbytes for array in returned if array is not None)
    print((_memory_bytes("VmHWM") - before - known) / 1e6)


def _memory_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    run: Callable[[], None] = _peak if len(sys.argv) > 1 else main
    run()
