"""From layers known by their shapes to matrix products."""

from __future__ import annotations

from accelsim.networks.workload import BatchedGemmSpec, Conv2dSpec, Gemm, GemmSpec


def as_gemm(layer: GemmSpec | BatchedGemmSpec | Conv2dSpec) -> Gemm:
    """Return the matrix products that a layer is: a convolution is one for each group.

    Rows are the pixels of all images, terms the elements of a kernel, columns the filters of a
    group. Raises ConvolutionError if the convolution is not possible.
    """
    if isinstance(layer, GemmSpec):
        return Gemm(layer.name, layer.m, layer.k, layer.n)
    if isinstance(layer, BatchedGemmSpec):
        return Gemm(layer.name, layer.m, layer.k, layer.n, layer.batch)
    for key in ("channels", "filters"):
        if getattr(layer, key) % layer.groups:
            raise ConvolutionError(
                "groups", f"got {layer.groups}, expected a divisor of {key} {getattr(layer, key)}"
            )
    height = _outputs(layer, "height")
    width = _outputs(layer, "width")
    return Gemm(
        layer.name,
        m=layer.batch * height * width,
        k=layer.kernel_height * layer.kernel_width * (layer.channels // layer.groups),
        n=layer.filters // layer.groups,
        repeats=layer.groups,
    )


class ConvolutionError(ValueError):
    """A convolution that is not possible, and the key that says so."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _outputs(layer: Conv2dSpec, side: str) -> int:
    """Return how many times the kernel fits along a side of the padded image."""
    kernel: int = getattr(layer, f"kernel_{side}")
    reach = layer.dilation * (kernel - 1) + 1
    image = getattr(layer, side) + 2 * layer.padding
    if reach > image:
        raise ConvolutionError(
            f"kernel_{side}",
            f"got {kernel}, which reaches over {reach} pixels with dilation {layer.dilation},"
            f" expected at most the {image} of the padded image",
        )
    return int((image - reach) // layer.stride + 1)
