"""A clock behind the chain is said, each minute, until it is not; what a peer shows counts while it is shown."""

from __future__ import annotations

import pytest

from supervm.common.contract.core import Outbox, Publish
from supervm.common.parts.chain_clock import AGAIN_US, DRIFT_MS_MAX, ClockWatch, age_ms, behind_text

NOW_US = 1_700_000_000_000_000
NOW_MS = NOW_US // 1000
HOUR_MS = 3_600_000


def said(outbox: Outbox) -> list[str]:
    return [effect.event.NAME for effect in outbox.drain() if isinstance(effect, Publish)]


@pytest.mark.parametrize(
    ("ahead_ms", "age"), [(-5_000, 5_000), (0, 0), (DRIFT_MS_MAX, 0), (DRIFT_MS_MAX + 1, None), (HOUR_MS, None)]
)
def test_nothing_is_young_that_is_dated_ahead(ahead_ms: int, age: int | None) -> None:
    assert age_ms(NOW_MS + ahead_ms, NOW_US) == age
    assert (behind_text("block 7", NOW_MS + ahead_ms, NOW_US) is None) is (age is not None)


def test_the_sentence_names_both_times_and_a_date_beyond_every_calendar_is_no_error() -> None:
    text = behind_text("the genesis file", NOW_MS + HOUR_MS, NOW_US)
    assert text is not None
    assert text.startswith("this machine's clock is 3600 s behind the genesis file, which is dated 2023-11-14 23:13:20")
    assert behind_text("block 1", 2**63 - 1, NOW_US) is not None


def test_it_is_said_at_once_each_minute_and_when_it_is_over() -> None:
    outbox = Outbox()
    watch = ClockWatch(outbox)
    watch.look(NOW_US, 0, NOW_MS)
    assert (said(outbox), watch.problem(NOW_US)) == ([], None)
    watch.look(NOW_US, 7, NOW_MS + HOUR_MS)
    watch.look(NOW_US + 1, 7, NOW_MS + HOUR_MS)
    assert said(outbox) == ["clock-behind"]
    assert "3600 s behind block 7" in (watch.problem(NOW_US) or "")
    watch.look(NOW_US + AGAIN_US, 7, NOW_MS + HOUR_MS)
    assert said(outbox) == ["clock-behind"]
    watch.look(NOW_US + HOUR_MS * 1000, 7, NOW_MS + HOUR_MS)
    assert (said(outbox), watch.problem(NOW_US + HOUR_MS * 1000)) == (["clock-in-step"], None)


def test_a_lower_height_in_step_says_nothing_about_a_higher_one_ahead_and_a_claim_is_forgotten() -> None:
    """An edge's own newest header is old while its miner shows one from the future."""
    outbox = Outbox()
    watch = ClockWatch(outbox)
    watch.look(NOW_US, 9, NOW_MS + HOUR_MS)
    watch.look(NOW_US, 8, NOW_MS)
    assert said(outbox) == ["clock-behind"]
    assert watch.problem(NOW_US + 2 * AGAIN_US) is not None
    assert watch.problem(NOW_US + 2 * AGAIN_US + 1) is None
