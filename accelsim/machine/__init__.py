"""The machine: its types, what it does with a layer, how long that takes, and what it counts."""

from accelsim.machine.counts import Action, Arithmetic, Counts, DramAccess, Sram
from accelsim.machine.hardware import DramType, Hardware, Lanes, Rerun
from accelsim.machine.lower import LoweredLayer, lower
from accelsim.machine.perfetto import chrome_trace
from accelsim.machine.simulate import Simulation, simulate, simulate_every_fold
from accelsim.machine.timeline import Interval, Level, Stall, Timeline

__all__ = [
    "Action",
    "Arithmetic",
    "Counts",
    "DramAccess",
    "DramType",
    "Hardware",
    "Interval",
    "Lanes",
    "Level",
    "LoweredLayer",
    "Rerun",
    "Simulation",
    "Sram",
    "Stall",
    "Timeline",
    "chrome_trace",
    "lower",
    "simulate",
    "simulate_every_fold",
]
