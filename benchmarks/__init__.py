"""Timings, apart from the tests: `python -m benchmarks.numerics`."""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # NumPy reads them when it is imported
