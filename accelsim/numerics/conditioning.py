"""Condition numbers: how much a layer magnifies the rounding errors of its accumulation.

For `h' = φ(v)`, `v = W h + b` with the bias added after the sum, the computed sum satisfies
`|v̂ - v| ≤ γ_n S`, `S = |W| |h|`. The relative error of v is therefore at most γ_n κ_v with
`κ_v = S / |v|`, and φ multiplies it by `κ_φ = |v φ'(v) / φ(v)|`.
Source: El Arar, Filip, Mary, Riccietti, arXiv:2503.15568; N. J. Higham, Accuracy and Stability of
Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1 (γ_n).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def gamma(terms: int, unit_roundoff: float) -> float:
    """Return γ_n = n·u / (1 - n·u), or infinity where n·u ≥ 1 and there is no bound."""
    nu = terms * unit_roundoff
    return nu / (1.0 - nu) if nu < 1.0 else np.inf


def chunked_gamma(terms: int, chunk: int, inner: float, outer: float) -> float:
    """Return ε with |v̂ - v| ≤ ε·S where `chunk` terms are summed with the unit roundoff `inner`,
    and the ⌈n/chunk⌉ partial sums with `outer`: (1 + γ_chunk)(1 + γ_⌈n/chunk⌉) - 1.

    A partial sum s has an error of at most γ_chunk·S of its terms, and those errors together with
    the partial sums themselves, of at most (1 + γ_chunk)·S in all, meet the roundings between
    chunks. Source: P. Blanchard, N. J. Higham, T. Mary, A class of fast and accurate summation
    algorithms, SIAM J. Sci. Comput. 42 (2020), A1541-A1557.
    """
    within, between = gamma(min(terms, chunk), inner), gamma(-(-terms // chunk), outer)
    return (1.0 + within) * (1.0 + between) - 1.0


def activation_condition(activation: str, v: ArrayLike) -> Array:
    """Return κ_φ(v), element by element; `activation` is `identity`, `relu` or `tanh`.

    For ReLU this is 1 above zero and 0 below: see `condition_number` for why the latter may only
    be used where the sign of v is certain.
    """
    return _KAPPA_PHI[activation](np.asarray(v, np.float64))


def condition_number(
    activation: str,
    v: ArrayLike,
    numerator: ArrayLike,
    sign_margin: ArrayLike,
) -> Array:
    """Return κ = κ_v·κ_φ from computed pre-activations `v`, bias included.

    `numerator` is S or an estimate of it (it broadcasts against `v`), `sign_margin` a bound of
    |v̂ - v|: γ_n S, and what underflow can add to it. The cases a plain quotient gets wrong:

    * v = 0 with S > 0 is infinitely ill-conditioned; with S = 0 nothing was rounded, and κ is 0;
    * ReLU with v < 0: the sign is certain, and κ is 0, only if v < -sign_margin. Otherwise rounding
      alone may have made v negative, and κ is S / |v|;
    * where v is not finite, κ is infinite.
    """
    from accelsim.numerics.kernels.conditioning import quotient  # the compiler

    value, total = np.asarray(v), np.asarray(numerator, np.float64)
    if value.dtype != np.float32:
        value = value.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        if activation != "tanh":
            margin = sign_margin if activation == "relu" else np.inf
            return np.asarray(quotient(value, total, np.asarray(margin, np.float64)))
        # κ_v·κ_φ = 2S / sinh(2|v|): the product, not the quotient, so that ∞·0 never occurs.
        kappa = 2.0 * total / np.sinh(2.0 * np.abs(value.astype(np.float64)))
    kappa = np.where(total == 0.0, 0.0, kappa)
    finite = np.isfinite(value) & np.isfinite(total)
    return np.asarray(kappa if finite.all() else np.where(finite, kappa, np.inf))


def absolute_error(
    activation: str,
    v: ArrayLike,
    numerator: ArrayLike,
    sign_margin: ArrayLike,
) -> Array:
    """Return numerator·|φ'(v)|: to first order, the error of φ(v) per unit of that of v.

    Arguments as for `condition_number`. For ReLU φ' is 0 only where v < -sign_margin, and 1 where
    rounding alone may have made v negative. Infinite where v or its numerator is not finite.
    """
    value = np.asarray(v, np.float64)
    total = np.broadcast_to(np.asarray(numerator, np.float64), value.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        if activation == "tanh":
            error = total * (1.0 - np.tanh(value) ** 2)
        elif activation == "relu":
            error = np.where(value < -np.asarray(sign_margin, np.float64), 0.0, total)
        else:
            error = np.array(total)
    finite = np.isfinite(value) & np.isfinite(numerator)
    return error if finite.all() else np.where(finite, error, np.inf)


def _relu(v: Array) -> Array:
    return np.where(v > 0.0, 1.0, 0.0)


def _tanh(v: Array) -> Array:
    doubled = 2.0 * np.abs(v)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(doubled == 0.0, 1.0, doubled / np.sinh(doubled))


_KAPPA_PHI: dict[str, Callable[[Array], NDArray[Any]]] = {
    "identity": np.ones_like,
    "relu": _relu,
    "tanh": _tanh,
}
