"""Networks, their weights, and the data they are run on."""

from accelsim.networks.datasets import DATASETS, Dataset
from accelsim.networks.network import ACTIVATIONS, Activation, DenseLayer, Network, activate
from accelsim.networks.workload import DenseSpec, Gemm, GemmSpec, Workload, WorkloadSpec

__all__ = [
    "ACTIVATIONS",
    "DATASETS",
    "Activation",
    "Dataset",
    "DenseLayer",
    "DenseSpec",
    "Gemm",
    "GemmSpec",
    "Network",
    "Workload",
    "WorkloadSpec",
    "activate",
]
