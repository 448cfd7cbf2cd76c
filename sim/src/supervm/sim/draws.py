"""Distributions over integers, the same on every machine: no floating point."""

from __future__ import annotations

from .exact import Stream

_LN2_Q32 = 2_977_044_472  # ln 2 * 2**32


def exponential(stream: Stream, mean_us: int) -> int:
    """Return an exponentially distributed time of the given mean, at least 1 us.

    It is -mean * ln(u) for a u of 32 random bits; the binary logarithm is taken bit by bit (16 of them) in integers.
    """
    value = stream.below(1 << 32) + 1
    whole = value.bit_length() - 1
    mantissa = value << (32 - whole)  # 1 <= mantissa / 2**32 < 2
    log2_q16 = whole << 16
    for place in range(15, -1, -1):
        mantissa = mantissa * mantissa >> 32
        if mantissa >> 33:
            mantissa >>= 1
            log2_q16 |= 1 << place
    missing_q16 = (32 << 16) - log2_q16
    return max(1, mean_us * missing_q16 * _LN2_Q32 >> 48)
