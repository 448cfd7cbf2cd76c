"""An edge follows changes of validators, passes them on, and is not led astray by a miner that invents some."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from epoch_tools import EpochChain

from supervm.protocol.checkpoint import CertifiedCheckpoint
from supervm.protocol.codec import encode
from supervm.protocol.keys import verify
from supervm.protocol.light import LightClient, ValidatorChange, anchor_of
from supervm.protocol.validators import ValidatorList
from supervm.protocol.votes import VoteKind
from supervm.protocol.wire.messages import (
    CHANGES_MAX,
    AccountProofs,
    GetAccounts,
    GetValidatorChanges,
    Subscribe,
    ValidatorChanges,
)

ALICE = test_key("alice").public
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

    def proofs(self) -> AccountProofs:
        pairs = self.epochs.ledger.prove_accounts(self.epochs.head.height, [ALICE])
        assert pairs is not None
        return AccountProofs(encode(self.epochs.certified()), tuple(pairs))

    def changes(self) -> tuple[bytes, ...]:
        return tuple(encode(change) for change in self.epochs.changes())


@pytest.fixture
def world() -> EpochWorld:
    return EpochWorld()


def test_an_unknown_set_makes_it_ask_and_then_believe(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    driver.get(world.phone, Subscribe((ALICE,)))
    world.change_to(0, 1, 2, 4)
    world.change_to(4, 5, 6, 7)
    driver.get(miner, world.proofs())
    assert driver.take(world.phone, AccountProofs) == []
    assert driver.take(miner, GetValidatorChanges) == [GetValidatorChanges(0)]
    driver.get(miner, ValidatorChanges(world.changes()))
    # clients hear of each step before anything that only the new set has signed
    assert driver.take(world.phone, ValidatorChanges) == [ValidatorChanges((raw,)) for raw in world.changes()]
    driver.get(miner, world.proofs())
    (message,) = driver.take(world.phone, AccountProofs)
    client = LightClient(anchor_of(world.chain), verify)
    for change in world.epochs.changes():
        client.follow(change, driver.now_us // 1000)
    client.accept_checkpoint(message.checkpoint, driver.now_us // 1000)
    assert driver.hung_up == {}


def test_it_asks_at_most_once_a_second(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    driver.get(world.phone, Subscribe((ALICE,)))
    world.change_to(0, 1, 2, 4)
    for wait_us, asked in ((0, 1), (0, 0), (999_999, 0), (1, 1), (500_000, 0)):
        driver.wait(wait_us)
        driver.get(miner, world.proofs())
        assert len(driver.take(miner, GetValidatorChanges)) == asked
    assert miner not in driver.hung_up


def test_a_long_absence_is_made_up_in_several_answers(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    for number in range(CHANGES_MAX + 2):
        world.change_to(*((0, 1, 2, 3) if number % 2 else (0, 1, 2, 4)))
    driver.wait(5_000_000)  # so that no change is dated ahead of the clock
    driver.get(miner, ValidatorChanges(world.changes()[:CHANGES_MAX]))
    last = world.epochs.changes()[CHANGES_MAX - 1].checkpoint.header.height
    assert driver.take(miner, GetValidatorChanges) == [GetValidatorChanges(last)]
    driver.get(miner, ValidatorChanges(world.changes()[CHANGES_MAX:]))
    assert driver.take(miner, GetValidatorChanges) == []
    driver.get(world.phone, GetValidatorChanges(last))
    assert driver.take(world.phone, ValidatorChanges)[-1] == ValidatorChanges(world.changes()[CHANGES_MAX:])


def test_changes_survive_a_restart(world: EpochWorld, make: Any) -> None:
    driver, miner = make(), world.miners[0]
    world.change_to(4, 5, 6, 7)
    driver.get(miner, ValidatorChanges(world.changes()))
    again = make(store=driver.store)
    again.get(world.phone, GetValidatorChanges(0))
    assert again.take(world.phone, ValidatorChanges) == [ValidatorChanges(world.changes())]
    again.get(world.phone, GetAccounts((ALICE,)))
    again.get(miner, world.proofs())
    assert len(again.take(world.phone, AccountProofs)) == 1
    assert again.take(miner, GetValidatorChanges) == []


@pytest.mark.parametrize("forgery", ["too few", "by the new set", "other list", "no seal", "nonsense"])
def test_an_invented_change_costs_its_miner_and_reaches_nobody(world: EpochWorld, make: Any, forgery: str) -> None:
    driver, miner = make(), world.miners[0]
    world.epochs.add()
    world.change_to(4, 5, 6, 7)
    (change,) = world.epochs.changes()
    header = change.checkpoint.header
    by_new = world.epochs.certificate(
        VoteKind.CHECKPOINT, header.height, header.hash,
        rules=dataclasses.replace(world.epochs.rules, epoch=header.epoch),
    )
    forged = {
        "too few": replace(change, checkpoint=world.epochs.certified(header.height, signers=(0, 1))),
        "by the new set": replace(change, checkpoint=CertifiedCheckpoint(1, header, by_new.signatures)),
        "other list": replace(change, validators=ValidatorList(1, world.epochs.members(8, 9))),
        "no seal": ValidatorChange(1, world.epochs.certified(1), change.validators),
    }
    raw = encode(forged[forgery]) if forgery in forged else b"\x01\x02"
    driver.get(world.phone, Subscribe((ALICE,)))
    for _ in range(5):
        if miner not in driver.hung_up:
            driver.get(miner, ValidatorChanges((raw,)))
    assert miner in driver.hung_up
    assert driver.take(world.phone, ValidatorChanges) == []
    driver.get(world.phone, GetValidatorChanges(0))
    assert driver.take(world.phone, ValidatorChanges) == [ValidatorChanges(())]
    assert list(driver.store.scan("validator_changes")) == []


def test_a_client_cannot_tell_an_edge_who_validates(world: EpochWorld, make: Any) -> None:
    driver = make()
    world.change_to(4, 5, 6, 7)
    driver.get(world.phone, ValidatorChanges(world.changes()))
    driver.get(world.phone, GetValidatorChanges(0))
    assert driver.take(world.phone, ValidatorChanges) == [ValidatorChanges(())]
