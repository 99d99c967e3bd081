"""The same accumulation by other libraries, each a loop over k of rounded outer products.

A peer is a function of operands, accumulator format and overflow rule that returns a function
without arguments to time. It raises ImportError where its library is not installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Timed = Callable[[], Any]
_E4M3_MAX = 448.0


def ml_dtypes_loop(a: F32, b: F32, fmt: str) -> Timed:
    """NumPy with the casts of ml_dtypes."""
    import ml_dtypes

    kind: Any = {"e4m3fn": ml_dtypes.float8_e4m3fn, "bf16": ml_dtypes.bfloat16}.get(fmt, np.float16)

    def run() -> F32:
        total = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for k in range(a.shape[1]):
            total = total + np.multiply.outer(a[:, k], b[k])
            if fmt == "e4m3fn":
                total = np.clip(total, -_E4M3_MAX, _E4M3_MAX)
            total = total.astype(kind).astype(np.float32)
        return total

    return run


def jax_jitted(a: F32, b: F32, fmt: str) -> Timed:
    """JAX on the CPU, the loop compiled; XLA must be told to keep the casts."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_allow_excess_precision" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_allow_excess_precision=false".strip()
    import jax
    import jax.numpy as jnp

    kind = {"e4m3fn": jnp.float8_e4m3fn, "bf16": jnp.bfloat16, "fp16": jnp.float16}[fmt]

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def product(x: Any, y: Any) -> Any:
        def step(k: Any, total: Any) -> Any:
            total = total + x[:, k, None] * y[k]
            if fmt == "e4m3fn":
                total = jnp.clip(total, -_E4M3_MAX, _E4M3_MAX)
            return total.astype(kind).astype(jnp.float32)

        start = jnp.zeros((x.shape[0], y.shape[1]), jnp.float32)
        return jax.lax.fori_loop(0, x.shape[1], step, start)

    left, right = jnp.asarray(a), jnp.asarray(b)
    return lambda: np.asarray(product(left, right).block_until_ready())


def torch_casts(a: F32, b: F32, fmt: str) -> Timed:
    """PyTorch on the CPU, eager."""
    import torch

    torch.set_num_threads(1)
    kind = {"e4m3fn": torch.float8_e4m3fn, "bf16": torch.bfloat16, "fp16": torch.float16}[fmt]
    left, right = torch.from_numpy(a), torch.from_numpy(b)

    def run() -> Any:
        total = torch.zeros(a.shape[0], b.shape[1])
        for k in range(a.shape[1]):
            total = total + torch.outer(left[:, k], right[k])
            if fmt == "e4m3fn":
                total = total.clamp(-_E4M3_MAX, _E4M3_MAX)
            total = total.to(kind).float()
        return total.numpy()

    return run


def mptorch_kernel(a: F32, b: F32, fmt: str) -> Timed:
    """The C++ kernel of mptorch on the CPU, one rounding a step, as its package builds it.

    It is not on PyPI: `pip install .` in its repository compiles it. The largest number of its
    e4m3 is another than OCP's, which the operands of the benchmark do not come near.
    """
    import torch
    from mptorch.quant import float_mm

    torch.set_num_threads(1)
    exponent_bits, mantissa_bits = {"e4m3fn": (4, 3), "fp16": (5, 10), "bf16": (8, 7)}[fmt]
    left, right = torch.from_numpy(a), torch.from_numpy(b)

    def run() -> Any:
        total = float_mm(
            left,
            right,
            man_add=mantissa_bits,
            exp_add=exponent_bits,
            rounding="nearest",
            fma=True,
            subnormals=True,
            saturate=fmt == "e4m3fn",
        )
        return total.numpy()

    return run


JAX, TORCH, ML_DTYPES, MPTORCH = "JAX, jitted", "torch casts", "ml_dtypes loop", "mptorch's kernel"
PEERS = {
    JAX: jax_jitted,
    TORCH: torch_casts,
    ML_DTYPES: ml_dtypes_loop,
    MPTORCH: mptorch_kernel,
}
