"""An edge follows changes of validators, passes them on, and is not led astray by a miner that invents some."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from epoch_tools import EpochChain
from trust_tools import forged

from supervm.common.parts.validator_changes import CHANGES
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.validators import ValidatorList
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.light.client import LightClient, ValidatorChange, anchor_of
from supervm.protocol.light.forks import checkpoint_fork
from supervm.protocol.state.leaves import account_leaf_id
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.payments import (
    CHANGES_MAX,
    ForkMessage,
    GetLeaves,
    GetValidatorChanges,
    LeafProofs,
    Subscribe,
    ValidatorChanges,
)

ALICE = test_key("alice").public
ALICE_LEAF = account_leaf_id(ALICE)
replace = msgspec.structs.replace


class EpochWorld:
    """What `Driver` needs of a world, on a chain of epochs."""

    def __init__(self) -> None:
        self.epochs = EpochChain(4)
        self.chain = self.epochs.chain
        self.start_us = GENESIS_TIME_MS * 1000 + 5_000_000
        self.miners = [self.epochs.tools.miner_keys[0].public]
        self.phone, self.edge = test_key("phone").public, test_key("edge")

    def change_to(self, *nodes: int) -> None:
        self.epochs.end_epoch(self.epochs.members(*nodes))
        self.epochs.add()

    def proofs(self) -> LeafProofs:
        pairs = self.epochs.ledger.prove_leaves(self.epochs.head.height, [ALICE_LEAF])
        assert pairs is not None
        return LeafProofs(encode(self.epochs.certified()), tuple(pairs))

    def changes(self) -> tuple[bytes, ...]:
        return tuple(encode(change) for change in self.epochs.changes())


@pytest.fixture
def world() -> EpochWorld:
    return EpochWorld()


def test_an_unknown_set_makes_it_ask_and_then_believe(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    driver.receive(world.phone, Subscribe((ALICE,)))
    world.change_to(0, 1, 2, 4)
    world.change_to(4, 5, 6, 7)
    driver.receive(miner, world.proofs())
    assert driver.take(LeafProofs, world.phone) == []
    assert driver.take(GetValidatorChanges, miner) == [GetValidatorChanges(0)]
    driver.receive(miner, ValidatorChanges(world.changes()))
    # clients hear of each step before anything that only the new set has signed
    assert driver.take(ValidatorChanges, world.phone) == [ValidatorChanges((raw,)) for raw in world.changes()]
    driver.receive(miner, world.proofs())
    (message,) = driver.take(LeafProofs, world.phone)
    client = LightClient(anchor_of(world.chain), verify)
    for change in world.epochs.changes():
        client.follow(change, driver.now_us // 1000)
    client.accept_checkpoint(message.checkpoint, driver.now_us // 1000)
    assert driver.hung_up == {}


def test_it_asks_at_most_once_a_second(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    driver.receive(world.phone, Subscribe((ALICE,)))
    world.change_to(0, 1, 2, 4)
    for wait_us, asked in ((0, 1), (0, 0), (999_999, 0), (1, 1), (500_000, 0)):
        driver.wait(wait_us)
        driver.receive(miner, world.proofs())
        assert len(driver.take(GetValidatorChanges, miner)) == asked
    assert miner not in driver.hung_up


def test_a_long_absence_is_made_up_in_several_answers(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    for number in range(CHANGES_MAX + 2):
        world.change_to(*((0, 1, 2, 3) if number % 2 else (0, 1, 2, 4)))
    driver.wait(5_000_000)  # so that no change is dated ahead of the clock
    driver.receive(miner, ValidatorChanges(world.changes()[:CHANGES_MAX]))
    last = world.epochs.changes()[CHANGES_MAX - 1].checkpoint.header.height
    assert driver.take(GetValidatorChanges, miner) == [GetValidatorChanges(last)]
    driver.receive(miner, ValidatorChanges(world.changes()[CHANGES_MAX:]))
    assert driver.take(GetValidatorChanges, miner) == []
    driver.receive(world.phone, GetValidatorChanges(last))
    assert driver.take(ValidatorChanges, world.phone)[-1] == ValidatorChanges(world.changes()[CHANGES_MAX:])


def test_changes_survive_a_restart(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    world.change_to(4, 5, 6, 7)
    driver.receive(miner, ValidatorChanges(world.changes()))
    again = make(store=driver.store)
    again.receive(world.phone, GetValidatorChanges(0))
    assert again.take(ValidatorChanges, world.phone) == [ValidatorChanges(world.changes())]
    again.receive(world.phone, GetLeaves((ALICE_LEAF,)))
    again.receive(miner, world.proofs())
    assert len(again.take(LeafProofs, world.phone)) == 1
    assert again.take(GetValidatorChanges, miner) == []


@pytest.mark.parametrize("forgery", ["too few", "by the new set", "other list", "no seal", "nonsense"])
def test_an_invented_change_costs_its_miner_and_reaches_nobody(world: EpochWorld, make: Any, forgery: str) -> None:
    driver, miner = make(), world.miners[0]
    world.epochs.add()
    world.change_to(4, 5, 6, 7)
    (change,) = world.epochs.changes()
    header = change.checkpoint.header
    by_new = world.epochs.certificate(
        VoteKind.CHECKPOINT,
        header.height,
        header.hash,
        rules=dataclasses.replace(world.epochs.rules, epoch=header.epoch),
    )
    forged = {
        "too few": replace(change, checkpoint=world.epochs.certified(header.height, signers=(0, 1))),
        "by the new set": replace(change, checkpoint=CertifiedCheckpoint(1, header, by_new.signatures)),
        "other list": replace(change, validators=ValidatorList(1, world.epochs.members(8, 9))),
        "no seal": ValidatorChange(1, world.epochs.certified(1), change.validators),
    }
    raw = encode(forged[forgery]) if forgery in forged else b"\x01\x02"
    driver.receive(world.phone, Subscribe((ALICE,)))
    for _ in range(5):
        if miner not in driver.hung_up:
            driver.receive(miner, ValidatorChanges((raw,)))
    assert miner in driver.hung_up
    assert driver.take(ValidatorChanges, world.phone) == []
    driver.receive(world.phone, GetValidatorChanges(0))
    assert driver.take(ValidatorChanges, world.phone) == [ValidatorChanges(())]
    assert list(CHANGES.rows(driver.store)) == []


def test_a_client_cannot_tell_an_edge_who_validates(world: EpochWorld, make: Any) -> None:
    driver = make()
    world.change_to(4, 5, 6, 7)
    driver.receive(world.phone, ValidatorChanges(world.changes()))
    assert driver.hung_up == {world.phone: "direction"}
    other = test_key("other phone").public
    driver.up(other, 4)
    driver.receive(other, GetValidatorChanges(0))
    assert driver.take(ValidatorChanges, other) == [ValidatorChanges(())]


# --- forks and old trust --------------------------------------------------------------------------------------------


def fork_of(world: EpochWorld, height: int) -> ForkMessage:
    rival = forged(world.epochs, world.epochs.checkpoints[height], 0, state_root=b"x" * 32)
    return ForkMessage(encode(checkpoint_fork(world.epochs.certified(height), rival)))


def test_a_rival_in_the_stale_branch_stops_belief_serving_and_is_passed_on(world: EpochWorld, make: Any) -> None:
    """The miner that brings the second header is not to blame; phones and the other miner hear of it."""
    driver = make()
    one, other = world.miners[0], test_key("m1").public
    for _ in range(3):
        world.epochs.add()
    driver.receive(world.phone, Subscribe((ALICE,)))
    for height in (1, 3):
        driver.receive(one, CheckpointMessage(encode(world.epochs.certified(height))))
    rival = forged(world.epochs, world.epochs.checkpoints[1], 0, state_root=b"x" * 32)
    driver.sent.clear()
    driver.receive(one, CheckpointMessage(encode(rival)))
    assert one not in driver.hung_up
    (message,) = driver.take(ForkMessage, world.phone)
    assert message == fork_of(world, 1)
    assert driver.take(ForkMessage, one) == [message]
    info = driver.core.info(driver.now_us)
    assert info["trust"]["believing"] is False
    assert "contradict themselves" in info["trust"]["reason"]
    driver.receive(one, world.proofs())
    driver.receive(world.phone, GetLeaves(()))
    driver.receive(world.phone, GetLeaves((ALICE_LEAF,)))
    driver.wait(10_000_000)
    assert driver.take(LeafProofs, world.phone) == []
    assert driver.hung_up == {}
    again = make(store=driver.store)
    assert again.core.info(again.now_us)["trust"]["believing"] is False
    again.up(other, 4)
    assert again.take(ForkMessage, other) == [message]


def test_a_fork_that_a_phone_shows_stops_an_edge_and_a_false_one_ends_the_link(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    for _ in range(2):
        world.epochs.add()
    one, another = test_key("another").public, test_key("third").public
    driver.up(one, 4)
    driver.up(another, 4)
    driver.receive(one, ForkMessage(fork_of(world, 1).fork[:-1]))
    assert list(driver.hung_up) == [one]
    driver.receive(world.phone, fork_of(world, 1))
    assert driver.take(ForkMessage, miner) == driver.take(ForkMessage, another) == [fork_of(world, 1)]
    assert driver.core.info(driver.now_us)["trust"]["fork"]["height"] == 1
    driver.receive(another, fork_of(world, 2))
    assert driver.take(ForkMessage, miner) == []


def test_past_the_trusting_period_an_edge_believes_and_serves_nothing(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    world.epochs.add()
    driver.receive(world.phone, Subscribe((ALICE,)))
    driver.receive(miner, world.proofs())
    assert len(driver.take(LeafProofs, world.phone)) == 1
    driver.now_us += 21 * 86_400_000_000
    driver.receive(world.phone, GetLeaves((ALICE_LEAF,)))
    driver.receive(miner, world.proofs())
    assert driver.take(LeafProofs, world.phone) == []
    assert "a newer anchor is needed" in driver.core.info(driver.now_us)["trust"]["reason"]
    assert miner not in driver.hung_up


def test_a_change_dated_ahead_of_the_clock_is_not_followed(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    world.epochs.add(ts_ms=GENESIS_TIME_MS + 3_600_000)
    world.change_to(4, 5, 6, 7)
    driver.receive(miner, ValidatorChanges(world.changes()))
    assert list(CHANGES.rows(driver.store)) == []
    driver.now_us += 3_700_000_000
    driver.receive(miner, ValidatorChanges(world.changes()))
    assert len(list(CHANGES.rows(driver.store))) == 1
