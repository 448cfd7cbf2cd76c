"""What somebody has scanned, pasted or opened: told apart by how it begins, before anything reads it.

Each kind has one reader, and what decides about trust never comes in by the way of a payment: an anchor that is held
before the payment scanner is refused with a sentence, whatever it says. Only `take_anchor` takes one, where the owner
has asked for that (consensus.md 5: over a channel that he trusts). The words of a wallet are known by their look, so
that nobody pastes them where they would be sent or shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from supervm.common.host.anchor_file import ANCHOR_PREFIX, read_anchor
from supervm.protocol.base.address import HRP_MAIN, HRP_NODE, HRP_TEST
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import Anchor

from .errors import MobileError
from .handover.container import MAGIC as CONTAINER_MAGIC

PAYMENT_PREFIX: Final = "svm:"
"""How a payment request begins, in small or capital letters."""
HAND_OVER_MAGIC: Final = b"SV"
"""How a frame of the offline hand-over begins; a byte below 32, its version, follows."""
BYTES_MAX: Final = 1 << 19
"""Longest thing that is looked at."""

Kind = Literal["payment-request", "address", "node", "anchor", "hand-over", "container", "words", "other"]
"""What it is: a request for a payment, an account's address, a node's id, what a light client starts from, a frame of
signed payments, all of them as a file has them, a wallet's words, or nothing that is known here."""

_WORDS = re.compile(r"[a-z]{3,8}( [a-z]{3,8}){11,23}")
_REFUSED: Final = {
    "node": "this is the id of a node, and nobody can be paid there: ask for an address, svm1...",
    "anchor": "this says whom to trust and asks for no payment: the payment scanner never takes it. If somebody whom "
    "you trust gave it to you, take it in under Settings",
    "hand-over": "this carries payments from a phone without network: take it in under Receive",
    "container": "this carries payments from a phone without network: take it in under Receive",
    "words": "these look like the words of a wallet: whoever has them has the money, so show them to nobody",
    "other": "this is no payment request and no address",
}


class NotForThis(MobileError):
    """What was scanned is of another kind than what is asked for here; the text says what it is."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was scanned.

    Attributes:
        kind: what it is.
        text: without blanks around it; empty for a frame of bytes.
        data: as it came.
    """

    kind: Kind
    text: str = field(repr=False)
    data: bytes = field(repr=False)


def look_at(scanned: str | bytes) -> Scanned:
    """Say what it is; nothing is checked but how it begins."""
    data = scanned.encode("utf-8", "replace") if isinstance(scanned, str) else bytes(scanned)
    if len(data) > BYTES_MAX:
        return Scanned("other", "", data)
    if data[:2] == HAND_OVER_MAGIC and len(data) > 2 and data[2] < 32:
        return Scanned("hand-over", "", data)
    if data.startswith(CONTAINER_MAGIC):
        return Scanned("container", "", data)
    try:
        text = data.decode().strip().strip("\ufeff\u200b").strip()
    except UnicodeDecodeError:
        return Scanned("other", "", data)
    return Scanned(_kind_of(text), text, data)


def _kind_of(text: str) -> Kind:
    begin = text[:32].lower()
    if begin.startswith(ANCHOR_PREFIX):
        return "anchor"
    if begin.startswith(PAYMENT_PREFIX):
        return "payment-request"
    if begin.startswith(f"{HRP_NODE}1"):
        return "node"
    if begin.startswith((f"{HRP_MAIN}1", f"{HRP_TEST}1")):
        return "address"
    letters = " ".join(re.findall(r"[^\W\d_]+", text[:4_096].lower()))
    return "words" if _WORDS.fullmatch(letters) else "other"


def for_payment(scanned: str | bytes) -> Scanned:
    """Return what may be paid: a payment request or an address.

    Raises:
        NotForThis: it is something else, and what.
    """
    found = look_at(scanned)
    if found.kind not in ("payment-request", "address"):
        raise NotForThis(_REFUSED[found.kind])
    return found


def take_anchor(scanned: str | bytes, chain: Chain) -> Anchor:
    """Return the anchor of a text or a file, where the owner has asked to take one.

    Args:
        scanned: a text that begins with `ANCHOR_PREFIX`, or the bytes of an anchor's file.
        chain: the network.

    Raises:
        NotForThis: it is something else, and what.
        InputError: it is no anchor, or another network's.
    """
    found = look_at(scanned)
    if found.kind not in ("anchor", "other"):  # a file of bytes has no beginning that tells
        raise NotForThis(f"this is no anchor. {_REFUSED.get(found.kind, 'It asks for a payment')}")
    return read_anchor(found.data, chain, "what was given")
