"""What a light client knows outlives its process, and a newer anchor is the person's word on what to believe."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain_tools import GENESIS_TIME_MS
from epoch_tools import EpochChain
from trust_tools import NOW_MS, chain_of, forged

from supervm.common.contract.core import Outbox, Persist, Publish
from supervm.common.contract.events import Event
from supervm.common.errors import InputError
from supervm.common.host.anchor_file import load_anchor
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.light_tables import CERTIFIED, TRUST_TABLES
from supervm.common.parts.validator_changes import CHANGES
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.light.client import Anchor, ValidatorChange
from supervm.protocol.light.forks import REMEMBERED_MAX, checkpoint_fork
from supervm.protocol.wire.payments import ForkMessage, ValidatorChanges

PERIOD_MS = 21 * 86_400_000


class Kept:
    """A memory on a store, with its outbox carried out by hand."""

    def __init__(self, chain: EpochChain, store: MemoryStore | None = None, anchor: Anchor | None = None) -> None:
        self.store = store or MemoryStore(TRUST_TABLES)
        self.outbox = Outbox()
        self.events: list[Event] = []
        self.memory = LightMemory(chain.chain, self.store, self.outbox, verify, anchor=anchor)
        self.memory.start()
        self.settle()

    def settle(self) -> None:
        for effect in self.outbox.drain():
            if isinstance(effect, Persist):
                self.store.commit(effect.records)
            elif isinstance(effect, Publish):
                self.events.append(effect.event)

    def save(self) -> None:
        records = self.memory.take_records()
        if records:
            self.store.commit(records)

    def accept(self, chain: EpochChain, *heights: int) -> None:
        for height in heights:
            self.memory.client.accept_checkpoint(encode(chain.certified(height)), NOW_MS)


def anchor_at(chain: EpochChain, height: int) -> Anchor:
    header = chain.checkpoints[height]
    return Anchor(1, header, ValidatorList(1, chain.rules_of[header.epoch].validators.members))


def fork_of(chain: EpochChain, height: int) -> ForkMessage:
    rival = forged(chain, chain.checkpoints[height], chain.checkpoints[height].epoch, state_root=b"x" * 32)
    return ForkMessage(encode(checkpoint_fork(chain.certified(height), rival)))


def test_headers_and_changes_come_back() -> None:
    chain = chain_of((4, 5, 6, 7))
    kept = Kept(chain)
    kept.accept(chain, 1, 2)
    assert kept.memory.follower.follow(chain.changes()[0], NOW_MS)
    kept.accept(chain, -1)
    kept.settle()
    kept.save()
    again = Kept(chain, kept.store)
    assert again.memory.client.header == chain.checkpoints[-1]
    assert again.memory.answer(0) == ValidatorChanges((encode(chain.changes()[0]),))
    with pytest.raises(RemoteProtocolError) as caught:
        again.memory.client.check_checkpoint(forged(chain, chain.checkpoints[2], 0, state_root=b"x" * 32), NOW_MS)
    assert caught.value.code == "fork"
    assert again.events == []


def test_rows_are_as_bounded_as_the_memory() -> None:
    chain = EpochChain(4)
    for _ in range(REMEMBERED_MAX + 10):
        chain.add()
    kept = Kept(chain)
    for height in range(1, len(chain.checkpoints)):
        kept.accept(chain, height)
        if height % 7 == 0:
            kept.save()
    kept.save()
    assert kept.memory.take_records() == []
    assert [row.height for row in CERTIFIED.rows(kept.store)] == list(range(11, REMEMBERED_MAX + 11))


def test_a_fork_is_written_told_once_and_holds_over_a_restart_until_an_anchor_decides() -> None:
    chain = chain_of(None)
    kept = Kept(chain)
    kept.accept(chain, 1)
    assert kept.memory.fork_message is None
    message = fork_of(chain, 1)
    kept.memory.fork(message, NOW_MS)
    token, told = kept.memory.take_fork() or (0, None)
    assert (token > 0, told, kept.memory.take_fork()) == (True, message, None)
    kept.memory.tell_doubt(NOW_MS)
    kept.memory.tell_doubt(NOW_MS)
    kept.settle()
    assert [(event.NAME, event.fields.get("kind")) for event in kept.events] == [
        ("evidence", "fork"),
        ("nothing-believed", None),
    ]
    again = Kept(chain, kept.store)
    assert (again.memory.fork_message, again.memory.take_fork()) == (message, None)
    info = again.memory.info(NOW_MS)
    assert (info["believing"], info["anchor_height"]) == (False, 0)
    assert info["fork"] == {
        "height": 1,
        "reason": "two certified headers exist at height 1",
        "evidence": message.fork.hex(),
    }
    decided = Kept(chain, kept.store, anchor_at(chain, 1))
    assert decided.memory.info(NOW_MS)["believing"] is True
    decided.accept(chain, -1)
    decided.settle()
    assert Kept(chain, kept.store).memory.info(NOW_MS)["anchor_height"] == 1, "the anchor is kept"


def test_a_false_fork_costs_its_bringer_the_link() -> None:
    chain = chain_of(None)
    kept = Kept(chain)
    none = encode(checkpoint_fork(chain.certified(1), chain.certified(2)))
    for raw in (b"", b"\x84", fork_of(chain, 1).fork[:-1], none):
        with pytest.raises(RemoteProtocolError) as caught:
            kept.memory.fork(ForkMessage(raw), NOW_MS)
        assert caught.value.penalty == 100
    assert kept.memory.take_fork() is None


def test_an_anchor_renews_trust_that_is_too_old() -> None:
    chain = EpochChain(4, epoch_ms=10**12)
    for _ in range(3):
        chain.add()
    late_ms = GENESIS_TIME_MS + 30 * 86_400_000
    chain.add(ts_ms=late_ms)
    chain.add(ts_ms=late_ms + 1_000)
    kept = Kept(chain)
    kept.accept(chain, 2)
    kept.save()
    assert "29 days old" in str(kept.memory.info(late_ms)["reason"])
    kept.memory.tell_doubt(late_ms)
    kept.memory.tell_doubt(NOW_MS)
    kept.settle()
    assert [event.NAME for event in kept.events] == ["nothing-believed", "believing-again"]
    renewed = Kept(chain, kept.store, anchor_at(chain, 4))
    assert renewed.memory.client.accept_checkpoint(encode(chain.certified(5)), late_ms) == chain.checkpoints[5]
    assert list(CERTIFIED.rows(kept.store)) == [], "what is below the anchor is of no use"


def test_an_older_anchor_than_the_one_in_use_changes_nothing() -> None:
    chain = chain_of(None, None)
    kept = Kept(chain, anchor=anchor_at(chain, 3))
    assert Kept(chain, kept.store, anchor_at(chain, 2)).memory.client.anchor == anchor_at(chain, 3)


def test_what_does_not_lead_on_from_a_new_anchor_is_forgotten() -> None:
    """A phone was led to W at h1; the anchor says that V went on: W and everything under it goes."""
    chain = chain_of(None, None)
    following = ValidatorSet(chain.members(8, 9, 10, 11))
    seal = forged(chain, chain.checkpoints[1], 0, next_validators_hash=following.hash)
    kept = Kept(chain)
    kept.memory.follower.follow(ValidatorChange(1, seal, ValidatorList(1, following.members)), NOW_MS)
    kept.settle()
    kept.save()
    mended = Kept(chain, kept.store, anchor_at(chain, 2))
    assert mended.memory.client.validators.hash == chain.rules.validators.hash
    mended.accept(chain, -1)
    assert list(CHANGES.rows(kept.store)) == []
    assert mended.memory.answer(0) == ValidatorChanges(())


def test_changes_below_an_anchor_are_answered_only_if_they_are_all_there() -> None:
    chain = chain_of((4, 5, 6, 7), (0, 1, 2, 3))
    first, second = chain.changes()
    height = first.checkpoint.header.height
    fresh = Kept(chain, anchor=anchor_at(chain, height + 1))
    assert fresh.memory.client.changed_height == height
    fresh.memory.follower.follow(second, NOW_MS)
    assert fresh.memory.answer(0) == ValidatorChanges(())
    assert fresh.memory.answer(height) == ValidatorChanges((encode(second),))
    whole = Kept(chain)
    whole.memory.follower.follow(first, NOW_MS)
    whole.settle()
    anchored = Kept(chain, whole.store, anchor_at(chain, height + 1))
    anchored.memory.follower.follow(second, NOW_MS)
    assert anchored.memory.answer(0) == ValidatorChanges((encode(first), encode(second)))


def test_an_anchor_file_is_checked(tmp_path: Path) -> None:
    chain, other = chain_of(None), EpochChain(4, epoch_ms=7)
    path = tmp_path / "anchor"
    path.write_bytes(encode(anchor_at(chain, 2)))
    assert load_anchor(path, chain.chain) == anchor_at(chain, 2)
    with pytest.raises(InputError, match="another network's"):
        load_anchor(path, other.chain)
    with pytest.raises(LocalProtocolError, match="another network's"):
        Kept(other, anchor=anchor_at(chain, 2))
    path.write_bytes(encode(Anchor(1, chain.checkpoints[2], ValidatorList(1, chain.members(5)))))
    with pytest.raises(InputError, match="no anchor"):
        load_anchor(path, chain.chain)
    path.write_bytes(b"\x00" * (1 << 19))
    with pytest.raises(InputError, match="no anchor"):
        load_anchor(path, chain.chain)
    with pytest.raises(InputError, match="cannot be read"):
        load_anchor(tmp_path / "nothing", chain.chain)
