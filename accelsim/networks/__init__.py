"""Networks, their weights, and the data they are run on."""

from accelsim.networks.datasets import DATASETS, Dataset
from accelsim.networks.download import DOWNLOADS, download
from accelsim.networks.network import ACTIVATIONS, Activation, DenseLayer, Network, activate
from accelsim.networks.shapes import ShapeError, as_gemm, as_shapes
from accelsim.networks.vector import BY_TABLE, FUNCTIONS, Operations, VectorWork
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
    "BY_TABLE",
    "DATASETS",
    "DOWNLOADS",
    "FUNCTIONS",
    "Activation",
    "BatchedGemmSpec",
    "Conv2dSpec",
    "Dataset",
    "DenseLayer",
    "DenseSpec",
    "Gemm",
    "GemmSpec",
    "Network",
    "Operations",
    "ShapeError",
    "VectorWork",
    "Workload",
    "WorkloadSpec",
    "activate",
    "as_gemm",
    "as_shapes",
    "download",
]
