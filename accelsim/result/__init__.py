"""What a run found: cycles, joules and accuracy, per layer and in all."""

from accelsim.result.layer import MEMORIES, LayerRun
from accelsim.result.run import COMPONENTS, Run

__all__ = ["COMPONENTS", "MEMORIES", "LayerRun", "Run"]
