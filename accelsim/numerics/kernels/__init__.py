"""Compiled loops: the only door to Numba.

A kernel computes into arrays that its caller has validated and allocated. There is no
`fastmath` here: every rounding relies on IEEE 754 arithmetic in program order.

`scalar` rounds and adds one number in binary64, for every format and rule; `sums` accumulates one
output at a time in every order; `scan` reads the range of operands; `product` cuts matrices into
tiles, which `tile` accumulates in registers as a `spec` says: `lane` rounds as `scalar` does, with
the instructions of `vector`.

Numba's cache looks at the age of the module that holds a function, and not of those it calls. So
the folder of the cache is named after the content of all of them: a kernel is never older than
any line that it was compiled from.
"""

import hashlib
from pathlib import Path

from numba.core import config

_FOLDER = Path(__file__).parent
_CONTENT = b"".join(path.read_bytes() for path in sorted(_FOLDER.glob("*.py")))
_given = config.CACHE_DIR
config.CACHE_DIR = str(
    (Path(_given) if _given else _FOLDER / "__pycache__")
    / f"kernels-{hashlib.sha256(_CONTENT).hexdigest()[:16]}"
)
try:
    from accelsim.numerics.kernels import (
        compiled,
        lane,
        product,
        scalar,
        scan,
        spec,
        sums,
        tile,
        vector,
    )
finally:
    config.CACHE_DIR = _given

__all__ = ["compiled", "lane", "product", "scalar", "scan", "spec", "sums", "tile", "vector"]
