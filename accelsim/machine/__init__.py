"""The machine: its types, what it does with a layer, how long that takes, and what it counts."""

from accelsim.machine.adders import Adder, needs_shift
from accelsim.machine.bottleneck import Bottleneck, find_bottleneck
from accelsim.machine.counts import (
    Action,
    Arithmetic,
    ByCause,
    Cause,
    Counts,
    DramAccess,
    Sram,
    parse_action,
)
from accelsim.machine.excerpt import Excerpt, excerpt
from accelsim.machine.hardware import DramType, Dual, Hardware, Lanes, Rerun
from accelsim.machine.layers import Lowered, Simulated, lower_layer, simulate_layer
from accelsim.machine.lower import LoweredLayer, lower
from accelsim.machine.perfetto import chrome_trace
from accelsim.machine.recurrent import LoweredSteps, StepsSimulation
from accelsim.machine.simulate import Simulation, simulate, simulate_every_visit
from accelsim.machine.tiling import Tiling
from accelsim.machine.timeline import CAUSES as STALL_CAUSES
from accelsim.machine.timeline import Interval, Level, Stall, Timeline
from accelsim.machine.vector import LoweredVector, VectorSimulation
from accelsim.machine.visits import Part, Pass, Visit

__all__ = [
    "STALL_CAUSES",
    "Action",
    "Adder",
    "Arithmetic",
    "Bottleneck",
    "ByCause",
    "Cause",
    "Counts",
    "DramAccess",
    "DramType",
    "Dual",
    "Excerpt",
    "Hardware",
    "Interval",
    "Lanes",
    "Level",
    "Lowered",
    "LoweredLayer",
    "LoweredSteps",
    "LoweredVector",
    "Part",
    "Pass",
    "Rerun",
    "Simulated",
    "Simulation",
    "Sram",
    "Stall",
    "StepsSimulation",
    "Tiling",
    "Timeline",
    "VectorSimulation",
    "Visit",
    "chrome_trace",
    "excerpt",
    "find_bottleneck",
    "lower",
    "lower_layer",
    "needs_shift",
    "parse_action",
    "simulate",
    "simulate_every_visit",
    "simulate_layer",
]
