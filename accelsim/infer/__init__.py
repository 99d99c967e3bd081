"""Run a workload under a policy: accuracy, and the trace that a machine is charged for."""

from accelsim.infer.inference import MAX_MASKED_OUTPUTS, Inference, infer
from accelsim.infer.measures import accuracy, kl_divergence
from accelsim.infer.prepared import Prepared, prepare

__all__ = [
    "MAX_MASKED_OUTPUTS",
    "Inference",
    "Prepared",
    "accuracy",
    "infer",
    "kl_divergence",
    "prepare",
]
