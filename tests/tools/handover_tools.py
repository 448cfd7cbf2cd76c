"""Two phones in a test's hands that meet without any network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chain_tools import test_key
from mobile_tools import START_US, Network, Phone

from supervm.common.contract.core import PeerDown, Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.money.transaction import SignedTransaction, sign_transfer
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R3, Status, StatusItem, Submit
from supervm.tier_l4_mobile.messages import HandoverExport, HandoverList, HandoverTake, Pay, PaymentRow

EDGE = b"\xe1" * 32
SHOP = encode_address(test_key("shop").public, test=False)
FUNDS = {"alice": 1_000_000, "bob": 1_000_000, "carol": 1_000_000}


def row(amount: int = 10, **more: object) -> PaymentRow:
    """Return a payment to the shop."""
    return PaymentRow(to=SHOP, amount=amount, fee=1, **more)  # type: ignore[arg-type]


def serve(phone: Phone, edge: bytes = EDGE) -> list[bytes]:
    """Let an honest edge answer every question that waits; return the transactions that came to it."""
    raws: list[bytes] = []
    for _ in range(8):
        asked, phone.sent = phone.sent, []
        for peer, message in asked:
            if isinstance(message, Submit):
                raws += message.transactions
            elif peer == edge:
                for answer in phone.network.answer(message):
                    phone.step(Received(edge, answer))
        phone.disk()
    return raws


def claim(phone: Phone, raws: Iterable[bytes], level: int = LEVEL_R0) -> None:
    """Let the edge say how far transactions are."""
    items = tuple(StatusItem(phone.network.parse(raw).id, level, "") for raw in raws)
    phone.step(Received(EDGE, Status(items)))


def online(network: Network, *names: str) -> Phone:
    """Return a phone whose edge has proved its accounts."""
    phone = Phone(network, names)
    phone.connect(EDGE)
    serve(phone)
    return phone


def transfer(network: Network, name: str, **more: Any) -> SignedTransaction:
    """Sign a transfer to the shop for the next slot of an account, whatever a wallet would say to it."""
    state = network.proved(network.account(name)).account
    values = {
        "chain_id": network.chain.chain_id,
        "seq": state.next_seq,
        "prev": state.head,
        "to": test_key("shop").public,
        "amount": 10,
        "fee": 1,
        "valid_until_ms": START_US // 1000 + 3_600_000,
    }
    return sign_transfer(network.key(name), **(values | more))


def offline(network: Network, *names: str) -> Phone:
    """Return a phone that has met an edge once and will not meet one again."""
    phone = online(network, *names)
    phone.step(PeerDown(EDGE, "gone"))
    phone.disk()
    return phone


def promised(phone: Phone, amount: int = 10, *, offline: bool = False, **more: object) -> dict[str, Any]:
    """Queue a payment and return it."""
    payment: dict[str, Any] = phone.call(Pay(row(amount, **more), offline))
    return payment


def export(phone: Phone, *ids: str) -> str:
    """Return a container as hex."""
    text: str = phone.call(HandoverExport(ids))["container_hex"]
    return text


def take(phone: Phone, container: str) -> dict[str, Any]:
    """Give a container to a phone; return its answer."""
    answer: dict[str, Any] = phone.call(HandoverTake(container))
    return answer


def kept(phone: Phone) -> list[dict[str, Any]]:
    """Return the promises of a phone."""
    found: list[dict[str, Any]] = phone.call(HandoverList())["taken"]
    return found


def later(phone: Phone, us: int) -> None:
    """Let time pass, and the edge be there again."""
    phone.step(PeerDown(EDGE, "gone"))
    phone.wait(us)
    phone.connect(EDGE)


def bring(phone: Phone, *, seal: bool = True) -> list[bytes]:
    """Let a phone's edge have what it submits, execute it, and prove it; return the transactions."""
    raws = serve(phone)
    claim(phone, raws)
    if raws and seal:
        phone.network.seal(list(dict.fromkeys(raws)), ts_ms=phone.now_us // 1000)
    claim(phone, raws, LEVEL_R3)
    phone.wait(2_000_000)
    serve(phone)
    return raws
