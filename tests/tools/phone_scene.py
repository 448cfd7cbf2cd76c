"""A phone in a test's hands whose edge answers, and what tests ask of it."""

from __future__ import annotations

from chain_tools import test_key
from mobile_tools import Network, Phone

from supervm.common.contract.core import Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.state.leaves import account_leaf_id
from supervm.protocol.wire.payments import Status, StatusItem, Submit
from supervm.tier_l4_mobile.messages import PaymentRow, ShowPayment

EDGE, OTHER = b"\xe1" * 32, b"\xe2" * 32
ALICE, BOB = test_key("alice").public, test_key("bob").public
ALICE_LEAF = account_leaf_id(ALICE)
BOB_ADDRESS = encode_address(BOB, test=False)


def row(amount: int = 10, **more: object) -> PaymentRow:
    return PaymentRow(to=BOB_ADDRESS, amount=amount, fee=1, **more)


def edge_up(phone: Phone, edge: bytes = EDGE) -> None:
    phone.connect(edge, f"127.0.0.1:{9000 if edge == EDGE else 9001}")


def serve(phone: Phone, edge: bytes = EDGE) -> None:
    """The edge answers every question that waits."""
    asked, phone.sent = phone.sent, []
    for peer, message in asked:
        if isinstance(message, Submit):
            phone.sent.append((peer, message))
        elif peer == edge:
            for answer in phone.network.answer(message):
                phone.step(Received(edge, answer))
    phone.disk()


def online(*names: str, funds: dict[str, int] | None = None) -> Phone:
    phone = Phone(Network(**(funds or {})), names or ("alice",), peers=2)
    edge_up(phone)
    serve(phone)
    return phone


def prove(phone: Phone, *accounts: bytes, edge: bytes = EDGE) -> None:
    phone.step(Received(edge, phone.network.proofs(accounts or [ALICE])))
    phone.disk()


def tell(phone: Phone, payment_id: str, level: int, reason: str = "", edge: bytes = EDGE) -> None:
    phone.step(Received(edge, Status((StatusItem(bytes.fromhex(payment_id), level, reason),))))


def status(phone: Phone, payment: dict) -> str:
    return phone.call(ShowPayment(payment["id"]))["status"]


def submitted_to(phone: Phone, edge: bytes) -> int:
    """How many payments went to an edge since the last time that somebody asked."""
    asked, phone.sent = phone.sent, []
    return sum(len(message.transactions) for peer, message in asked if peer == edge and isinstance(message, Submit))
