"""What holds a layer back: the unit with the largest claim on its cycles.

The cycles of a layer are, without gaps or overlaps,

    total = mac + fill_drain + the stalls by cause    (a product)
    total = vector + the stalls by cause              (vector work)

but a unit may hold a layer back with few stalls to show for it. What each unit claims instead, and
which claim wins, is defined under "The bottleneck" in docs/layers.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.machine.hardware import Hardware, Lanes
from accelsim.machine.layers import Lowered, Simulated
from accelsim.machine.lower import LoweredLayer
from accelsim.machine.recurrent import LoweredSteps
from accelsim.machine.vector import LoweredVector


@dataclass(frozen=True)
class Bottleneck:
    """What holds a layer back, why, and how its compute cycles divide."""

    name: str
    why: str
    mac_cycles: int
    fill_drain_cycles: int
    vector_cycles: int


def find_bottleneck(layer: Lowered, simulation: Simulated, hardware: Hardware) -> Bottleneck:
    """Return the bottleneck of a layer that has been simulated."""
    total, stalls = simulation.total_cycles, simulation.stall_cycles
    transfers = hardware.transfer_cycles(layer.counts.bytes_moved("dram"))
    memory = f"transfers take {_share(transfers, total)} of the cycles"
    if isinstance(layer, LoweredVector):
        work = simulation.compute_cycles
        claims = {
            "vector": (work, f"the vector unit works in {_share(work, total)} of the cycles"),
            "dram": (
                max(transfers, stalls["dram"]),
                f"{memory}, the vector unit waits in {_share(stalls['dram'], total)}",
            ),
        }
        name = max(claims, key=lambda unit: claims[unit][0])
        return Bottleneck(name, claims[name][1], 0, 0, work)
    mac = mac_cycles(layer)
    fill_drain = simulation.compute_cycles - mac
    lanes = isinstance(hardware.recompute, Lanes) and not hardware.defers
    redo = 0 if lanes or hardware.defers else stalls["recompute"]
    parts = {
        "compute": (mac, _streaming(layer, mac, total, hardware)),
        "fill/drain": (
            fill_drain,
            f"the array fills or drains in {_share(fill_drain, total)} of the cycles",
        ),
        "recompute": (redo, f"the array redoes outputs in {_share(redo, total)} of the cycles"),
    }
    part = max(parts, key=lambda name: parts[name][0])
    claims = {part: (simulation.compute_cycles + redo, parts[part][1])}
    others = {
        "dram": (
            max(transfers, stalls["dram"]),
            f"{memory}, the array waits in {_share(stalls['dram'], total)}",
        )
    }
    if lanes:
        busy = _lane_cycles(layer, hardware)
        others["recompute"] = (
            max(busy, stalls["recompute"]),
            f"the lanes are busy in {_share(busy, total)} of the cycles,"
            f" the array waits in {_share(stalls['recompute'], total)}",
        )
    if hardware.defers:
        others["recompute"] = (
            stalls["recompute"],
            f"what was deferred takes {_share(stalls['recompute'], total)} of the cycles",
        )
    for cause in stalls.keys() - {"dram", "recompute"}:
        others[cause] = (
            stalls[cause],
            f"the array waits in {_share(stalls[cause], total)} of the cycles",
        )
    claims |= others
    name = max(claims, key=lambda unit: claims[unit][0])
    return Bottleneck(name, claims[name][1], mac, fill_drain, 0)


def mac_cycles(layer: LoweredLayer | LoweredSteps) -> int:
    """Return the cycles in which terms stream through the array, over all folds."""
    if isinstance(layer, LoweredSteps):
        return sum(step.stream_cycles for step in layer.steps)
    return layer.stream_cycles


def _lane_cycles(layer: LoweredLayer | LoweredSteps, hardware: Hardware) -> int:
    """Return the cycles in which separate lanes redo outputs: rounds of as many as go together."""
    if isinstance(layer, LoweredSteps):
        return sum(_lane_cycles(step, hardware) for step in layer.steps)
    assert isinstance(hardware.recompute, Lanes)
    return layer.first.lane_cycles(hardware.recompute.width)


def _streaming(layer: LoweredLayer | LoweredSteps, mac: int, total: int, hardware: Hardware) -> str:
    array = hardware.array
    return (
        f"terms stream in {_share(mac, total)} of the cycles,"
        f" {_share(layer.trace.macs, mac * array.macs_per_cycle)} of the PEs at work"
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"
