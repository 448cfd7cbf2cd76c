"""Integer fee split: who earns which part of a fee (economics.md 1).

Largest-remainder apportionment (Hamilton's method): each tier first gets the floor of its share, then the grains
left over go one each to the largest remainders, ties to the lower tier number. Every grain lands exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..base.codec import INT_MAX
from ..base.errors import LocalProtocolError

BPS_WHOLE = 10_000
"""Basis points in a whole."""

DEFAULT_SHARES_BPS = (4_000, 3_000, 2_000, 1_000)
"""L1, L2, L3, L4 (economics.md 1)."""


def check_shares(shares_bps: Sequence[int]) -> None:
    """Raise `LocalProtocolError` unless there are four shares >= 0 that sum to 10,000 bps."""
    if len(shares_bps) != 4 or any(share < 0 for share in shares_bps) or sum(shares_bps) != BPS_WHOLE:
        raise LocalProtocolError(
            f"shares {','.join(map(str, shares_bps))} are not allowed: four values >= 0 that sum to {BPS_WHOLE} bps"
        )


def split_fee(fee: int, shares_bps: Sequence[int] = DEFAULT_SHARES_BPS) -> tuple[int, int, int, int]:
    """Split `fee` grain (0..2**63-1) into the parts of L1, L2, L3 and L4; the parts sum to `fee`.

    Raises:
        LocalProtocolError: the fee is out of range or the shares are not four values that sum to 10,000.
    """
    if not 0 <= fee <= INT_MAX:
        raise LocalProtocolError(f"a fee of {fee} grain is not allowed: 0 to {INT_MAX}")
    check_shares(shares_bps)
    parts = [fee * share // BPS_WHOLE for share in shares_bps]
    left = fee - sum(parts)
    if left:
        # sorted() is stable, so equal remainders keep the order of the tiers
        by_remainder = sorted(range(4), key=lambda tier: -(fee * shares_bps[tier] % BPS_WHOLE))
        for tier in by_remainder[:left]:
            parts[tier] += 1
    return parts[0], parts[1], parts[2], parts[3]
