"""A phone follows the validators through its edge, believes no invented change, and hands on whole proofs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from epoch_tools import EpochChain
from mobile_tools import SECOND_US, Phone
from trust_tools import forged

from supervm.common.contract.core import PeerDown, Received
from supervm.common.parts.events import ForkEvidence, NothingBelieved, StoredTrustIgnored
from supervm.common.parts.light_tables import CERTIFIED
from supervm.common.parts.validator_changes import CHANGES
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.light.client import Anchor, LightClient, ValidatorChange, anchor_of
from supervm.protocol.light.forks import CheckpointFork, check_fork, checkpoint_fork
from supervm.protocol.state.leaves import account_leaf_id
from supervm.protocol.wire.payments import (
    ForkMessage,
    GetLeaves,
    GetValidatorChanges,
    LeafProofs,
    Subscribe,
    ValidatorChanges,
)
from supervm.tier_l4_mobile.messages import Balance, Info, NewestAnchor, Pay, PaymentRow, ShowPayment

EDGE = b"\xe1" * 32
ALICE = test_key("alice").public
ALICE_LEAF = account_leaf_id(ALICE)


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

    def proofs(self) -> LeafProofs:
        pairs = self.epochs.ledger.prove_leaves(self.epochs.head.height, [ALICE_LEAF])
        assert pairs is not None
        return LeafProofs(encode(self.epochs.certified()), tuple(pairs))

    def changes(self) -> ValidatorChanges:
        return ValidatorChanges(tuple(encode(change) for change in self.epochs.changes()))


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def phone(net: Net) -> Phone:
    made = Phone(net)  # type: ignore[arg-type]
    made.connect(EDGE)
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
    assert phone.take(GetLeaves) == [GetLeaves((ALICE_LEAF,))]
    get(phone, net.proofs())
    assert phone.core.client.header == net.epochs.checkpoints[-1]
    assert phone.core.queue.lanes[ALICE].proved is not None
    assert phone.hung_up == {}


def test_it_asks_at_most_once_a_second(net: Net, phone: Phone) -> None:
    net.change_to(0, 1, 2, 4)
    for wait_us, asked in ((0, 1), (0, 0), (SECOND_US - 1, 0), (1, 1)):
        phone.wait(wait_us)
        get(phone, net.proofs())
        assert len(phone.take(GetValidatorChanges)) == asked
    assert phone.hung_up == {}


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
    before = phone.core.client.validators.hash
    get(phone, ValidatorChanges((raw,)))
    assert list(phone.hung_up) == [EDGE]
    assert phone.core.client.validators.hash == before
    assert list(CHANGES.rows(phone.store)) == []


def test_changes_and_what_was_believed_survive_a_restart(net: Net, phone: Phone) -> None:
    net.change_to(4, 5, 6, 7)
    get(phone, net.changes())
    get(phone, net.proofs())
    phone.crash()
    assert phone.core.client.validators.hash == net.epochs.rules.validators.hash
    phone.connect(EDGE)
    phone.sent.clear()
    get(phone, net.proofs())
    assert phone.take(GetValidatorChanges) == []
    assert phone.core.client.header == net.epochs.checkpoints[-1]
    assert phone.told(StoredTrustIgnored) == []


def test_a_restart_right_after_a_change_ignores_nothing_it_kept(net: Net, phone: Phone) -> None:
    """The change is newer than the kept checkpoint: the floor is the change's, and that is no damage."""
    get(phone, net.proofs())
    bob = encode_address(test_key("bob").public, test=False)
    phone.call(Pay(row=PaymentRow(to=bob, amount=1, fee=1)))  # with it, what is believed is written
    assert [row.height for row in CERTIFIED.rows(phone.store)] == [net.epochs.head.height]
    net.change_to(4, 5, 6, 7)
    get(phone, net.changes())
    phone.crash()
    assert phone.core.client.header == net.epochs.changes()[0].checkpoint.header
    assert phone.told(StoredTrustIgnored) == []


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
    assert (proved.amount, client.changes) == (1_000_000, net.epochs.changes())
    assert proved.header.height == net.epochs.head.height


# --- a second edge, forks and old trust -----------------------------------------------------------------------------

OTHER = b"\xe2" * 32
BOB = encode_address(test_key("bob").public, test=False)


@pytest.fixture
def two(net: Net, phone: Phone) -> Phone:
    """A phone with a second edge."""
    phone.connect(OTHER, "127.0.0.1:9001")
    phone.sent.clear()
    return phone


def hear(phone: Phone, edge: bytes, message: Any) -> None:
    phone.step(Received(edge, message))
    phone.disk()


def rival_change(net: Net, height: int) -> ValidatorChanges:
    """A change to others that the validators of epoch 0 sign for a height beside what they really did there."""
    others = ValidatorSet(net.epochs.members(8, 9, 10, 11))
    seal = forged(net.epochs, net.epochs.checkpoints[height], 0, epoch=0, next_validators_hash=others.hash)
    return ValidatorChanges((encode(ValidatorChange(1, seal, ValidatorList(1, others.members))),))


def shown(phone: Phone) -> dict[str, Any]:
    return phone.call(Info())["trust"]


def test_a_second_edge_is_asked_before_a_change_is_followed(net: Net, two: Phone) -> None:
    net.change_to(4, 5, 6, 7)
    hear(two, EDGE, net.changes())
    assert [(peer, message) for peer, message in two.sent if type(message) in (GetValidatorChanges, GetLeaves)] == [
        (OTHER, GetValidatorChanges(0)),
        (OTHER, GetLeaves(())),
    ]
    assert two.core.client.changes == []
    hear(two, OTHER, net.changes())
    assert two.core.client.changes == net.epochs.changes()
    assert shown(two)["believing"]


@pytest.mark.parametrize("answer", ["nothing", "silence", "gone"])
def test_a_second_edge_that_does_not_help_costs_three_seconds(net: Net, two: Phone, answer: str) -> None:
    net.change_to(4, 5, 6, 7)
    hear(two, EDGE, net.changes())
    if answer == "nothing":
        hear(two, OTHER, ValidatorChanges(()))
    elif answer == "gone":
        two.step(PeerDown(OTHER, "test"))
    two.wait(SECOND_US * 3 - 1)
    assert two.core.client.changes == []
    two.wait(1)
    assert two.core.client.changes == net.epochs.changes()
    assert two.take(GetLeaves)[-1] == GetLeaves((ALICE_LEAF,))


def test_an_invented_change_asks_nobody_and_ends_its_link(net: Net, two: Phone) -> None:
    net.change_to(4, 5, 6, 7)
    (change,) = net.epochs.changes()
    few = msgspec.structs.replace(change, checkpoint=net.epochs.certified(change.checkpoint.header.height, (0, 3)))
    hear(two, EDGE, ValidatorChanges((encode(few),)))
    assert list(two.hung_up) == [EDGE]
    assert two.take(GetValidatorChanges) == []


def test_two_edges_with_two_changes_of_one_height_stop_belief(net: Net, two: Phone) -> None:
    """The late forker: its edge is the phone's own, and the honest one is asked in time."""
    net.change_to(4, 5, 6, 7)
    height = net.epochs.changes()[0].checkpoint.header.height
    hear(two, EDGE, rival_change(net, height))
    hear(two, OTHER, net.changes())
    trust = shown(two)
    assert (trust["believing"], trust["fork"]["height"]) == (False, height)
    assert {peer for peer, message in two.sent if isinstance(message, ForkMessage)} == {EDGE, OTHER}
    assert [event.kind for event in two.told(ForkEvidence)] == ["fork"]
    assert two.hung_up == {}
    fork = decode(CheckpointFork, bytes.fromhex(trust["fork"]["evidence"]))
    assert check_fork(fork, net.chain.chain_id, [net.chain.validators], verify) == (0, 1, 2, 3)


def test_a_change_below_what_the_second_edge_shows_is_a_fork(net: Net, two: Phone) -> None:
    """The honest edge knows no change; its newest checkpoint, of the old validators, is the contradiction."""
    for _ in range(4):
        net.epochs.add()
    hear(two, EDGE, rival_change(net, 2))
    hear(two, OTHER, ValidatorChanges(()))
    hear(two, OTHER, net.proofs())
    two.wait(3 * SECOND_US)
    assert shown(two)["fork"]["height"] == 2
    assert len([event for event in two.events if isinstance(event, NothingBelieved)]) == 1


def test_a_fork_ends_paid_holds_payments_and_outlives_a_restart_until_an_anchor_decides(net: Net, phone: Phone) -> None:
    get(phone, net.proofs())
    phone.call(Pay(row=PaymentRow(to=BOB, amount=1, fee=1)))
    paid = phone.core.queue.payments[1]
    phone.core.queue._finish(paid, "executed", phone.now_us)  # as a proof of the account does
    assert phone.call(ShowPayment(paid.label))["proof_verified"]
    net.epochs.add()
    net.epochs.add()
    rival = forged(net.epochs, net.epochs.checkpoints[1], 0, state_root=b"x" * 32)
    get(phone, LeafProofs(encode(rival), ()))
    for _ in range(2):
        after = phone.call(ShowPayment(paid.label))
        assert (after["status"], after["proof_verified"]) == ("R4", False)
        assert "contradict themselves" in after["reason"]
        value = phone.call(Balance())
        assert (value["proof_verified"], value["balance"]) == (False, 1_000_000)
        assert "until a newer anchor decides" in value["reason"]
        phone.submitted()
        new = phone.call(Pay(row=PaymentRow(to=BOB, amount=2, fee=1)))
        assert new["status"] == "queued"
        assert "contradict themselves" in new["reason"]
        get(phone, net.proofs())
        assert phone.submitted() == []
        assert phone.hung_up == {}
        phone.crash()
        phone.connect(EDGE)
        assert len(phone.take(ForkMessage)) == 1
    anchor = Anchor(1, net.epochs.checkpoints[-1], ValidatorList(1, net.epochs.rules.validators.members))
    phone.crash(anchor=anchor)
    phone.connect(EDGE)
    net.epochs.add()
    get(phone, net.proofs())
    assert phone.call(ShowPayment(paid.label))["proof_verified"]
    assert len(phone.submitted()) == 2


def test_a_fork_that_an_edge_passes_on_stops_a_phone_and_a_false_one_ends_the_link(net: Net, two: Phone) -> None:
    net.epochs.add()
    rival = forged(net.epochs, net.epochs.checkpoints[1], 0, state_root=b"x" * 32)
    raw = encode(checkpoint_fork(net.epochs.certified(1), rival))
    hear(two, OTHER, ForkMessage(raw[:-1]))
    assert list(two.hung_up) == [OTHER]
    assert shown(two)["believing"]
    hear(two, EDGE, ForkMessage(raw))
    assert not shown(two)["believing"]


def test_past_the_trusting_period_a_phone_says_what_it_needs(net: Net, phone: Phone) -> None:
    get(phone, net.proofs())
    phone.now_us += 21 * 86_400 * SECOND_US
    get(phone, net.proofs())
    value = phone.call(Balance())
    assert (value["proof_verified"], value["balance"]) == (False, 1_000_000)
    assert "is 21 days old by this machine's clock" in value["reason"]
    assert "a newer anchor is needed" in value["reason"]
    assert [event.code for event in phone.told(NothingBelieved)] == ["expired"]
    assert phone.hung_up == {}
    token = phone.ask(NewestAnchor())
    phone.disk()
    assert "no anchor to give" in str(phone.replies[token].error)


def test_a_phone_gives_the_anchor_that_another_one_starts_from(net: Net, phone: Phone) -> None:
    net.change_to(4, 5, 6, 7)
    get(phone, net.changes())
    get(phone, net.proofs())
    given = phone.call(NewestAnchor())
    anchor = decode(Anchor, bytes.fromhex(given["anchor_hex"]))
    assert (given["height"], anchor.header) == (net.epochs.head.height, net.epochs.checkpoints[-1])
    fresh = Phone(net, anchor=anchor)  # type: ignore[arg-type]
    fresh.connect(EDGE)
    net.epochs.add()
    get(fresh, net.proofs())
    assert fresh.core.queue.lanes[ALICE].proved is not None
    assert shown(fresh)["anchor_height"] == given["height"]


def test_a_phone_that_is_only_watched_still_keeps_what_it_saw(net: Net, phone: Phone) -> None:
    for wait_s, stored in ((0, 1), (599, 1), (1, 3)):
        phone.now_us += wait_s * SECOND_US
        get(phone, net.proofs())
        net.epochs.add()
        assert CERTIFIED.count(phone.store) == stored
