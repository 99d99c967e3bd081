"""The machine: its types, what it does with a layer, how long that takes, and what it counts."""

from accelsim.machine.counts import Action, Arithmetic, Counts, DramAccess, Sram
from accelsim.machine.hardware import DramType, Hardware, Lanes, Rerun
from accelsim.machine.lower import LoweredLayer, Part, Visit, lower
from accelsim.machine.perfetto import chrome_trace
from accelsim.machine.simulate import Simulation, simulate, simulate_every_visit
from accelsim.machine.tiling import Tiling
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
    "Part",
    "Rerun",
    "Simulation",
    "Sram",
    "Stall",
    "Tiling",
    "Timeline",
    "Visit",
    "chrome_trace",
    "lower",
    "simulate",
    "simulate_every_visit",
]
