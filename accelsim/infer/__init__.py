"""Run a workload under a policy: accuracy, and the trace that a machine is charged for."""

from accelsim.infer.clusters import BLOCKS, Cluster
from accelsim.infer.inference import MAX_MASKED_OUTPUTS, Inference, infer
from accelsim.infer.measures import accuracy, flip_rate, kl_divergence
from accelsim.infer.prepared import Prepared, prepare

__all__ = [
    "BLOCKS",
    "MAX_MASKED_OUTPUTS",
    "Cluster",
    "Inference",
    "Prepared",
    "accuracy",
    "flip_rate",
    "infer",
    "kl_divergence",
    "prepare",
]
