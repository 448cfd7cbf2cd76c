"""The earliest of several deadlines, of which some may be never."""

from __future__ import annotations

import pytest

from supervm.common.contract.core import earliest


@pytest.mark.parametrize(
    ("times_us", "first_us"),
    [((), None), ((None, None), None), ((0, None), 0), ((None, 7, 5, None, 6), 5), ((-3, 0), -3)],
)
def test_the_earliest_deadline(times_us: tuple[int | None, ...], first_us: int | None) -> None:
    assert earliest(*times_us) == first_us
