"""Compiled loops: the only door to Numba.

A kernel computes into arrays that its caller has validated and allocated. There is no
`fastmath` here: every rounding relies on IEEE 754 arithmetic in program order.

`scalar` rounds and adds one number in binary64, for every format and rule; `sums` accumulates one
output at a time in every order; `scan` reads the range of operands; `product` cuts matrices into
tiles, which `tile` accumulates in registers with the instructions of `vector`.

Numba caches what it compiled beside a module and looks at that module's age alone: after a change
to `scalar`, `tile` or `vector`, remove the `*.nbi` files beside the others, or set NUMBA_CACHE_DIR
to a new folder.
"""
