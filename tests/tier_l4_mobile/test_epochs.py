"""A phone follows the validators through its edge, believes no invented change, and hands on whole proofs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from epoch_tools import EpochChain
from mobile_tools import SECOND_US, Phone

from supervm.common.core import PeerUp, Received
from supervm.protocol.address import encode_address
from supervm.protocol.codec import encode
from supervm.protocol.keys import verify
from supervm.protocol.light import LightClient, anchor_of
from supervm.protocol.validators import ValidatorList
from supervm.protocol.wire.messages import AccountProofs, GetAccounts, GetValidatorChanges, Subscribe, ValidatorChanges
from supervm.tier_l4_mobile.messages import Balance, Pay, PaymentRow

EDGE = b"\xe1" * 32
ALICE = test_key("alice").public


class Net:
    """A chain of epochs as `Phone` wants it."""

    def __init__(self) -> None:
        self.epochs = EpochChain(4)
        self.chain = self.epochs.chain
        self.epochs.add()

    def key(self, name: str) -> Any:
        return test_key(name)

    def account(self, name: str) -> bytes:
        return test_key(name).public

    def change_to(self, *nodes: int) -> None:
        self.epochs.end_epoch(self.epochs.members(*nodes))
        self.epochs.add()

    def proofs(self) -> AccountProofs:
        pairs = self.epochs.ledger.prove_accounts(self.epochs.head.height, [ALICE])
        assert pairs is not None
        return AccountProofs(encode(self.epochs.certified()), tuple(pairs))

    def changes(self) -> ValidatorChanges:
        return ValidatorChanges(tuple(encode(change) for change in self.epochs.changes()))


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def phone(net: Net) -> Phone:
    made = Phone(net)  # type: ignore[arg-type]
    made.step(PeerUp(EDGE, 3, (), 0, "127.0.0.1:9000"))
    assert len(made.take(Subscribe)) == 1
    return made


def get(phone: Phone, message: Any) -> None:
    phone.step(Received(EDGE, message))
    phone.disk()


def test_an_unknown_set_makes_it_ask_follow_and_ask_again(net: Net, phone: Phone) -> None:
    net.change_to(0, 1, 2, 4)
    net.change_to(4, 5, 6, 7)
    get(phone, net.proofs())
    assert phone.take(GetValidatorChanges) == [GetValidatorChanges(0)]
    get(phone, net.changes())
    assert phone.take(GetAccounts) == [GetAccounts((ALICE,))]
    get(phone, net.proofs())
    assert phone.node.client.header == net.epochs.checkpoints[-1]
    assert phone.node.queue.lanes[ALICE].proved is not None
    assert phone.hung_up == []


def test_it_asks_at_most_once_a_second(net: Net, phone: Phone) -> None:
    net.change_to(0, 1, 2, 4)
    for wait_us, asked in ((0, 1), (0, 0), (SECOND_US - 1, 0), (1, 1)):
        phone.wait(wait_us)
        get(phone, net.proofs())
        assert len(phone.take(GetValidatorChanges)) == asked
    assert phone.hung_up == []


@pytest.mark.parametrize("forgery", ["too few", "other list", "out of order", "nonsense"])
def test_an_invented_change_ends_the_link_and_changes_nothing(net: Net, phone: Phone, forgery: str) -> None:
    net.change_to(0, 1, 2, 4)
    net.change_to(4, 5, 6, 7)
    first, second = net.epochs.changes()
    replace = msgspec.structs.replace
    forged = {
        "too few": replace(first, checkpoint=net.epochs.certified(first.checkpoint.header.height, signers=(0, 3))),
        "other list": replace(first, validators=ValidatorList(1, net.epochs.members(8, 9))),
        "out of order": second,
    }
    raw = encode(forged[forgery]) if forgery in forged else b"\x01"
    before = phone.node.client.validators.hash
    get(phone, ValidatorChanges((raw,)))
    assert [item.peer for item in phone.hung_up] == [EDGE]
    assert phone.node.client.validators.hash == before
    assert list(phone.store.scan("validator_changes")) == []


def test_changes_and_what_was_believed_survive_a_restart(net: Net, phone: Phone) -> None:
    net.change_to(4, 5, 6, 7)
    get(phone, net.changes())
    get(phone, net.proofs())
    phone.crash()
    assert phone.node.client.validators.hash == net.epochs.rules.validators.hash
    phone.step(PeerUp(EDGE, 3, (), 0, "127.0.0.1:9000"))
    phone.sent.clear()
    get(phone, net.proofs())
    assert phone.take(GetValidatorChanges) == []
    assert phone.node.client.header == net.epochs.checkpoints[-1]
    assert [event for event in phone.events if event.name == "stored trust ignored"] == []


def test_a_restart_right_after_a_change_ignores_nothing_it_kept(net: Net, phone: Phone) -> None:
    """The change is newer than the kept checkpoint: the floor is the change's, and that is no damage."""
    get(phone, net.proofs())
    bob = encode_address(test_key("bob").public, test=False)
    phone.do(Pay(row=PaymentRow(to=bob, amount=1, fee=1)))  # with it, what is believed is written
    assert [key for key, _ in phone.store.scan("certified")] == [(net.epochs.head.height,)]
    net.change_to(4, 5, 6, 7)
    get(phone, net.changes())
    phone.crash()
    assert phone.node.client.header == net.epochs.changes()[0].checkpoint.header
    assert [event for event in phone.events if event.name == "stored trust ignored"] == []


def test_an_answer_proves_itself_from_genesis_on(net: Net, phone: Phone) -> None:
    net.change_to(0, 1, 2, 4)
    net.change_to(4, 5, 6, 7)
    get(phone, net.changes())
    token = phone.ask(Balance(address=encode_address(ALICE, test=False), answer=True))
    phone.disk()
    get(phone, net.proofs())
    answer = bytes.fromhex(phone.replies[token].value["answer_hex"])
    client = LightClient(anchor_of(net.chain), verify)
    proved = client.check_answer(answer, GENESIS_TIME_MS + 10_000)
    assert (proved.account.balance, client.changes) == (1_000_000, net.epochs.changes())
    assert proved.header.height == net.epochs.head.height
