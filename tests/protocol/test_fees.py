"""Fee split: exact to the last grain, largest remainder, ties to the lower tier (economics.md 1)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.money.fees import BPS_WHOLE, DEFAULT_SHARES_BPS, check_shares, split_fee

FEES = st.integers(0, INT_MAX) | st.integers(0, 20_000)
SHARES = st.lists(st.integers(0, BPS_WHOLE), min_size=3, max_size=3).map(
    lambda cuts: (
        min(cuts),
        sorted(cuts)[1] - min(cuts),
        max(cuts) - sorted(cuts)[1],
        BPS_WHOLE - max(cuts),
    )
)


@pytest.mark.parametrize(
    ("fee", "shares", "parts"),
    [
        (0, DEFAULT_SHARES_BPS, (0, 0, 0, 0)),
        (1, DEFAULT_SHARES_BPS, (1, 0, 0, 0)),
        (2, DEFAULT_SHARES_BPS, (1, 1, 0, 0)),
        (3, DEFAULT_SHARES_BPS, (1, 1, 1, 0)),
        (4, DEFAULT_SHARES_BPS, (2, 1, 1, 0)),
        (5, DEFAULT_SHARES_BPS, (2, 2, 1, 0)),  # remainders 0, .5, 0, .5: the tie goes to L2
        (6, DEFAULT_SHARES_BPS, (2, 2, 1, 1)),
        (9, DEFAULT_SHARES_BPS, (3, 3, 2, 1)),
        (10, DEFAULT_SHARES_BPS, (4, 3, 2, 1)),
        (1_000_000_000, DEFAULT_SHARES_BPS, (400_000_000, 300_000_000, 200_000_000, 100_000_000)),
        (1, (2_500, 2_500, 2_500, 2_500), (1, 0, 0, 0)),
        (2, (2_500, 2_500, 2_500, 2_500), (1, 1, 0, 0)),
        (3, (2_500, 2_500, 2_500, 2_500), (1, 1, 1, 0)),
        (1, (0, 0, 5_000, 5_000), (0, 0, 1, 0)),
        (7, (0, 0, 0, 10_000), (0, 0, 0, 7)),
        (1, (1, 9_999, 0, 0), (0, 1, 0, 0)),
        (
            INT_MAX,
            DEFAULT_SHARES_BPS,
            (3_689_348_814_741_910_323, 2_767_011_611_056_432_742, 1_844_674_407_370_955_161, 922_337_203_685_477_581),
        ),
    ],
)
def test_table(fee: int, shares: tuple[int, ...], parts: tuple[int, ...]) -> None:
    assert split_fee(fee, shares) == parts
    assert sum(parts) == fee


def test_the_sum_is_exact_for_every_small_fee() -> None:
    assert all(sum(split_fee(fee)) == fee for fee in range(20_001))


@given(FEES, SHARES)
def test_sum_is_exact_and_no_part_is_a_grain_off_its_share(fee: int, shares: tuple[int, ...]) -> None:
    parts = split_fee(fee, shares)
    assert sum(parts) == fee
    for part, share in zip(parts, shares, strict=True):
        assert part >= 0
        assert abs(part - Fraction(fee * share, BPS_WHOLE)) < 1


@given(FEES, SHARES)
def test_rounding_goes_to_the_largest_remainders_and_ties_to_the_lower_tier(fee: int, shares: tuple[int, ...]) -> None:
    exact = [Fraction(fee * share, BPS_WHOLE) for share in shares]
    gained = [part - value.__floor__() for part, value in zip(split_fee(fee, shares), exact, strict=True)]
    rank = [(-(value - value.__floor__()), tier) for tier, value in enumerate(exact)]
    winners = [tier for _, tier in sorted(rank)[: sum(gained)]]
    assert [tier for tier, gain in enumerate(gained) if gain] == sorted(winners)
    assert set(gained) <= {0, 1}


@given(FEES)
def test_a_tier_without_share_gets_nothing(fee: int) -> None:
    assert split_fee(fee, (10_000, 0, 0, 0)) == (fee, 0, 0, 0)


@pytest.mark.parametrize("fee", [-1, INT_MAX + 1])
def test_a_fee_out_of_range_is_our_own_error(fee: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"a fee of {fee} grain"):
        split_fee(fee)


@pytest.mark.parametrize(
    "shares",
    [
        (),
        (10_000,),
        (5_000, 5_000, 0),
        (2_500, 2_500, 2_500, 2_499),
        (2_500, 2_500, 2_500, 2_501),
        (11_000, -1_000, 0, 0),
        (2_000, 2_000, 2_000, 2_000, 2_000),
    ],
)
def test_shares_that_are_not_four_parts_of_the_whole_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(LocalProtocolError, match="four values >= 0 that sum to 10000 bps"):
        check_shares(shares)
    with pytest.raises(LocalProtocolError):
        split_fee(1, shares)
