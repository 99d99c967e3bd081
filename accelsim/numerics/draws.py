"""Random bits of stochastic rounding: a function of the seed and the position, without state.

The bits that round one sum depend on the seed, on the output (row i, column j) and on the number
of the rounding within that output, and on nothing else: neither threads nor tiles nor the order
of calls. An output has two 32-bit keys, a rounding has one, and a mixing function of two
multiplications combines them. The constants are those of MurmurHash3 (A. Appleby) and of
`lowbias32` (C. Wellons), both in the public domain; SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)
spreads the seed.
"""

from __future__ import annotations

from accelsim.numerics.rounding import Draw

_32 = 0xFFFFFFFF
_64 = 0xFFFFFFFFFFFFFFFF

# The roundings of step k have the numbers 8k … 8k+7.
STEP, PRODUCT, CORRECTED, DIFFERENCE, COMPENSATION, OUTER, WIDE, ADDEND = range(8)
ROUNDINGS_PER_STEP = 8


def splitmix(x: int) -> int:
    """Return 64 mixed bits of the 64-bit number x."""
    x = (x + 0x9E3779B97F4A7C15) & _64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _64
    return x ^ (x >> 31)


def output_keys(seed: int, row: int, column: int) -> tuple[int, int]:
    """Return the two 32-bit keys of the output (row, column)."""
    mixed = splitmix(splitmix(splitmix(seed & _64) ^ row) ^ column)
    return mixed & _32, mixed >> 32


def rounding_key(seed: int, number: int) -> int:
    """Return the 32-bit key of rounding `number` within every output."""
    return splitmix(splitmix(~seed & _64) ^ number) & _32


def mix(first: int, second: int, rounding: int) -> int:
    """Combine the keys of an output and of a rounding into 32 random bits."""
    x = first ^ rounding
    x ^= x >> 16
    x = (x * 0x7FEB352D) & _32
    x ^= second
    x ^= x >> 15
    x = (x * 0x846CA68B) & _32
    return x ^ (x >> 16)


def draw(seed: int, row: int, column: int, number: int, bits: int) -> Draw:
    """Return the random integer of one rounding: the top `bits` of 32."""
    first, second = output_keys(seed, row, column)
    return Draw(mix(first, second, rounding_key(seed, number)) >> (32 - bits), bits)
