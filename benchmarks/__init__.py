"""Speed, as ratios against named peers in the same run: `python -m benchmarks`."""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # NumPy reads them when it is imported
