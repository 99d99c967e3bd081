"""The machine: its types, what it does with a layer, how long that takes, and what it counts."""

from accelsim.machine.counts import Action, Arithmetic, Counts, DramAccess, Sram
from accelsim.machine.hardware import DramType, Hardware, Lanes, Rerun
from accelsim.machine.lower import LoweredLayer, lower
from accelsim.machine.simulate import Simulation, simulate
from accelsim.machine.timeline import Interval, Timeline

__all__ = [
    "Action",
    "Arithmetic",
    "Counts",
    "DramAccess",
    "DramType",
    "Hardware",
    "Interval",
    "Lanes",
    "LoweredLayer",
    "Rerun",
    "Simulation",
    "Sram",
    "Timeline",
    "lower",
    "simulate",
]
