"""Condition numbers, element by element: a ufunc, which broadcasts and copies nothing."""

from __future__ import annotations

import numpy as np
from numba import vectorize


@vectorize(cache=True)
def quotient(v, numerator, margin):
    """Return numerator / |v|: 0 where v < -margin or the numerator is 0, inf where one of the two
    is not finite.
    """
    value = np.float64(v)
    kappa = numerator / abs(value)
    # Without a branch, so that LLVM takes several elements at a time.
    kappa = 0.0 if (value < -margin) | (numerator == 0.0) else kappa
    return kappa if (abs(value) < np.inf) & (abs(numerator) < np.inf) else np.inf
