"""How functions are compiled: for callers in Python, or for compiled ones alone."""

from numba import njit

# No C library calls any of them.
kernel = njit(cache=True, nogil=True, no_cfunc_wrapper=True)
"""For a function that Python calls."""
helper = njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)
"""For a function that only compiled ones call: to unpack Python's objects takes long to compile."""
