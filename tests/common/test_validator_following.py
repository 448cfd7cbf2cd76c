"""A light client's way from set to set: whom it asks and how often, what it follows, and where it stops."""

from __future__ import annotations

import pytest
from trust_tools import NOW_MS, chain_of

from supervm.common.contract.core import Outbox, Send
from supervm.common.parts.validator_changes import CHANGE_TABLES, ChangeStore
from supervm.common.parts.validator_following import ASK_US, ValidatorFollower, read_changes
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.light.client import LightClient, ValidatorChange, anchor_of
from supervm.protocol.wire.payments import CHANGES_MAX, GetValidatorChanges, ValidatorChanges

A, B = b"a" * 32, b"b" * 32
NOW_US = NOW_MS * 1000
CHAIN = chain_of((4, 5, 6, 7), (0, 1, 2, 3))
FIRST, SECOND = CHAIN.changes()


class World:
    def __init__(self) -> None:
        self.outbox = Outbox()
        self.changes = ChangeStore(MemoryStore(CHANGE_TABLES), self.outbox)
        self.client = LightClient(anchor_of(CHAIN.chain), verify)
        self.follower = ValidatorFollower(self.client, self.changes, self.outbox)

    def asked(self) -> list[tuple[bytes, int]]:
        """Whom it has asked since the last time, for what is above which height."""
        sent = [effect for effect in self.outbox.drain() if isinstance(effect, Send)]
        assert all(isinstance(effect.message, GetValidatorChanges) for effect in sent)
        return [(effect.peer, effect.message.after_height) for effect in sent]


def height_of(change: ValidatorChange) -> int:
    return change.checkpoint.header.height


def test_it_asks_for_what_is_above_the_last_change_that_it_followed() -> None:
    world = World()
    world.follower.ask(A)
    assert world.follower.follow(FIRST, NOW_MS)
    assert not world.follower.follow(FIRST, NOW_MS), "it is no news"
    world.follower.ask(B)
    assert world.asked() == [(A, 0), (B, height_of(FIRST))]
    assert world.changes.all() == [FIRST]


def test_refused_answers_make_it_ask_once_a_second_whoever_sent_them() -> None:
    world = World()
    for after_us, peer in ((0, A), (1, B), (ASK_US - 1, A), (ASK_US, B), (ASK_US + 1, B), (2 * ASK_US, A)):
        world.follower.ask_who(NOW_US + after_us, peer)
    assert [peer for peer, _ in world.asked()] == [A, B, A]


@pytest.mark.parametrize(
    ("brought", "told"),
    [
        ((), []),
        ((FIRST,), [FIRST]),
        ((FIRST, SECOND), [FIRST, SECOND]),
        ((FIRST, FIRST, SECOND), [FIRST, SECOND]),
    ],
)
def test_each_change_that_is_news_is_kept_and_told(
    brought: tuple[ValidatorChange, ...], told: list[ValidatorChange]
) -> None:
    world = World()
    message = ValidatorChanges(tuple(encode(change) for change in brought))
    heard: list[ValidatorChange] = []
    assert world.follower.follow_all(NOW_US, read_changes(message), heard.append) is bool(told)
    assert (heard, world.changes.all()) == (told, told)
    assert not world.follower.follow_all(NOW_US, read_changes(message))


@pytest.mark.parametrize("bad", [b"no change", encode(SECOND)[:-1]])
def test_what_comes_before_a_malformed_change_is_followed(bad: bytes) -> None:
    world = World()
    with pytest.raises(RemoteProtocolError):
        world.follower.follow_all(NOW_US, read_changes(ValidatorChanges((encode(FIRST), bad, encode(SECOND)))))
    assert world.changes.all() == [FIRST]
    assert world.client.changed_height == height_of(FIRST)


@pytest.mark.parametrize(("count", "asked"), [(1, []), (CHANGES_MAX - 1, []), (CHANGES_MAX, [(A, 0)])])
def test_only_a_full_answer_is_asked_on(count: int, asked: list[tuple[bytes, int]]) -> None:
    world = World()
    world.follower.ask_on(A, count)
    assert world.asked() == asked
