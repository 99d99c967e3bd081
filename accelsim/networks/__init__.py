"""Networks, their weights, and the data they are run on."""

from accelsim.networks.datasets import DATASETS, Dataset
from accelsim.networks.network import ACTIVATIONS, Activation, DenseLayer, Network, activate
from accelsim.networks.shapes import ConvolutionError, as_gemm
from accelsim.networks.workload import (
    BatchedGemmSpec,
    Conv2dSpec,
    DenseSpec,
    Gemm,
    GemmSpec,
    Workload,
    WorkloadSpec,
)

__all__ = [
    "ACTIVATIONS",
    "DATASETS",
    "Activation",
    "BatchedGemmSpec",
    "Conv2dSpec",
    "ConvolutionError",
    "Dataset",
    "DenseLayer",
    "DenseSpec",
    "Gemm",
    "GemmSpec",
    "Network",
    "Workload",
    "WorkloadSpec",
    "activate",
    "as_gemm",
]
