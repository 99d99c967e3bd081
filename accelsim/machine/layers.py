"""Any layer on a machine: a matrix product, the steps of a recurrent one, or vector work."""

from __future__ import annotations

from accelsim.machine.hardware import Hardware
from accelsim.machine.lower import LoweredLayer, lower
from accelsim.machine.recurrent import (
    LoweredSteps,
    StepsSimulation,
    lower_steps,
    simulate_steps,
)
from accelsim.machine.simulate import Simulation, simulate
from accelsim.machine.vector import (
    LoweredVector,
    VectorSimulation,
    lower_vector,
    simulate_vector,
)
from accelsim.progress import Progress, silent
from accelsim.trace import LayerTrace, VectorTrace

Lowered = LoweredLayer | LoweredSteps | LoweredVector
Simulated = Simulation | StepsSimulation | VectorSimulation


def lower_layer(trace: LayerTrace | VectorTrace, hardware: Hardware) -> Lowered:
    """Cut a layer into what the machine does one after the other, and count it.

    Raises AccelsimError if a piece does not fit its scratchpad.
    """
    if isinstance(trace, VectorTrace):
        return lower_vector(trace, hardware)
    return lower_steps(trace, hardware) if trace.recurrent else lower(trace, hardware)


def simulate_layer(layer: Lowered, hardware: Hardware, progress: Progress = silent) -> Simulated:
    """Run a layer from an idle machine until its last output is in DRAM."""
    match layer:
        case LoweredVector():
            return simulate_vector(layer, hardware)
        case LoweredSteps():
            return simulate_steps(layer, hardware, progress)
        case LoweredLayer():
            return simulate(layer, hardware, progress)
