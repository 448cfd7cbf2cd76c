"""Time that validators have signed: a floor that no edge makes up, and a comparison where there is no ceiling."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS
from trust_tools import chain_of, client_of, forged

from supervm.common.contract.core import Outbox
from supervm.common.parts.chain_clock import DRIFT_MS_MAX, ClockWatch
from supervm.common.parts.signed_time import SAMPLES, SHOWN_US, SignedTime
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CheckpointHeader

CHAIN = chain_of(None)
FIRST = CHAIN.checkpoints[1]
T_MS = GENESIS_TIME_MS + 1_000_000


class Scene:
    """A clock, and blocks that come."""

    def __init__(self, offset_ms: int | None = 0) -> None:
        self.header: CheckpointHeader = msgspec.structs.replace(FIRST, height=1, ts_ms=T_MS)
        self.offset_ms = offset_ms
        self.time = SignedTime(ClockWatch(Outbox()), lambda: self.header, lambda: self.offset_ms)

    def come(self, times: Sequence[tuple[int, int]]) -> int:
        """Blocks come at these times, signed at those, all in seconds after `T_MS`; return the last, in us."""
        now_us = 0
        for came_s, signed_s in times:
            height = self.header.height + 1
            self.header = msgspec.structs.replace(FIRST, height=height, ts_ms=T_MS + signed_s * 1_000)
            now_us = (T_MS + came_s * 1_000) * 1_000
            self.time.settle(now_us)
        return now_us


def test_a_clock_below_what_was_signed_is_behind_whatever_anybody_says() -> None:
    scene = Scene()
    now_us = T_MS * 1_000
    assert scene.time.info(now_us)["time"] == {"signed_ms": T_MS, "behind_ms": 0, "late_ms": 0}
    scene.time.note(T_MS + 100_000)
    assert scene.time.behind_ms(now_us) == 100_000 - DRIFT_MS_MAX
    [problem] = scene.time.problems(now_us)
    assert "at least 98 s behind" in problem
    scene.time.note(T_MS + 50_000)  # older news change nothing
    assert scene.time.behind_ms(now_us) == 98_000
    assert list(scene.time.problems(now_us + 98_000_000)) == []


def test_while_a_block_ahead_is_shown_one_sentence_is_enough() -> None:
    scene = Scene()
    clock = ClockWatch(Outbox())
    time = SignedTime(clock, lambda: scene.header, lambda: 0)
    time.note(T_MS + 100_000)
    clock.look(T_MS * 1_000, 2, T_MS + 100_000)
    assert list(time.problems(T_MS * 1_000)) == []


IN_STEP = [(100, 10), (110, 20), (120, 30), (130, 40)]


@pytest.mark.parametrize(
    ("times", "late_s"),
    [
        (IN_STEP, 90),
        (IN_STEP[:-1], 0),  # too few to tell
        ([(came - 85, signed) for came, signed in IN_STEP], 0),  # 5 s are on time
        ([(100, 10), (101, 40), (102, 70), (103, 95)], 0),  # somebody catches up
        ([(100, 10), (103, 11), (106, 12), (109, 14)], 0),  # the chain's own time hardly goes on
        ([(100, 10), (100, 12), (100, 14), (100, 16)], 0),  # all at once
        ([*IN_STEP, (131, 130), (141, 140), (151, 150), (161, 160)], 0),  # the edge has caught up
    ],
)
def test_blocks_that_come_in_step_and_late_say_how_late(times: list[tuple[int, int]], late_s: int) -> None:
    scene = Scene()
    now_us = scene.come(times)
    assert scene.time.late_ms(now_us) == late_s * 1_000
    assert scene.time.behind_ms(now_us) == 0
    assert scene.time.late_ms(now_us + SHOWN_US + 1) == 0


@pytest.mark.parametrize(
    ("offset_ms", "words"), [(-90_000, "this machine's clock is about 90 s ahead"), (0, "the edge, or whoever")]
)
def test_the_edges_own_clock_says_which_of_two_it_claims(offset_ms: int, words: str) -> None:
    scene = Scene(offset_ms)
    now_us = scene.come(IN_STEP)
    assert len(IN_STEP) == SAMPLES
    [problem] = scene.time.problems(now_us)
    assert words in problem


def test_only_a_quorum_of_the_trusted_set_signs_time() -> None:
    client = client_of(CHAIN)
    before = client.header
    ahead = forged(CHAIN, FIRST, 0, ts_ms=GENESIS_TIME_MS + 10**9)
    assert client.signed_ms(ahead) == GENESIS_TIME_MS + 10**9
    assert client.header == before  # nothing else is believed of it
    few = msgspec.structs.replace(ahead, signatures=ahead.signatures[:2])
    unsigned = msgspec.structs.replace(ahead, header=msgspec.structs.replace(ahead.header, ts_ms=GENESIS_TIME_MS + 1))
    for wrong in (few, unsigned):
        with pytest.raises(RemoteProtocolError):
            client.signed_ms(wrong)
