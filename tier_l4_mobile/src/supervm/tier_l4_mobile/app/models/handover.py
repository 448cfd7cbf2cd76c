"""Hand-over: payments that go from phone to phone without a network, and what is certain of those that came here.

A payment that was handed over is promised: it is signed, and nothing more. It is called settled when its receipt is
proved here, and no screen calls it anything like paid before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from ...handover.frames import frames_of
from ...messages import HandoverExport, HandoverTake
from ..errors import explain_text
from ..values import Amount, Moment, Text, say
from .steps import status_text
from .waiting import amount_of

LISTED_MAX: Final = 1_000
"""Payments of each kind that are looked at: as many as a phone keeps of others unless its owner says otherwise."""

SHOWN_MAX: Final = 50
"""Payments of each kind that a screen shows: to write a thousand would take longer than a frame."""
MANY: Final = 50
"""For each so many of others one look more is waited before the list is asked for again, unless one came or went."""

_OPEN: Final[Mapping[str, Text]] = {
    "promised": say("promise.promised"),
    "accepted": say("promise.accepted"),
    "certified": say("promise.certified"),
    "final": say("promise.final"),
}


@dataclass(frozen=True, slots=True)
class PromiseLine:
    """One payment of somebody else that was handed over to this phone.

    Attributes:
        id: of the transaction.
        source: who pays: a contact's name or an address.
        to: who is paid, likewise.
        is_mine: whether an account of this wallet is paid; else it is only brought.
        amount: what is paid.
        status: how it stands.
        certainty: what is proved of it, or why it came to nothing.
        until: after which time it can no longer execute; None once it is over.
        is_settled: whether it is proved that it was executed: only then it may be drawn as paid.
        is_open: whether it has no fate yet.
    """

    id: str
    source: str
    to: str
    is_mine: bool
    amount: Text
    status: Text
    certainty: Text
    until: Moment | None
    is_settled: bool
    is_open: bool


@dataclass(frozen=True, slots=True)
class GivenLine:
    """One own payment that was handed over.

    Attributes:
        id: what the node calls it.
        to: the receiver: a contact's name or an address.
        amount: what is paid.
        status: how it stands.
        is_paid: whether it is proved that it was executed.
        when: it was handed over first.
    """

    id: str
    to: str
    amount: Text
    status: Text
    is_paid: bool
    when: Moment


@dataclass(frozen=True, slots=True)
class Given:
    """What another phone can take now.

    Attributes:
        container: as it goes into a file.
        frames_min: how many pictures it takes at least.
        ids: of the payments in it.
    """

    container: bytes
    frames_min: int
    ids: tuple[str, ...]

    def frames(self) -> Iterator[bytes]:
        """Yield what the pictures say, without end (`handover.frames`)."""
        return frames_of(self.container)


@dataclass(slots=True)
class HandoverModel:
    """State of the screens about hand-overs.

    Attributes:
        given: what is shown to another phone; None: nothing.
        told: what came of the last hand-over that was taken, a text for each thing.
    """

    given: Given | None = None
    told: tuple[Text, ...] = ()
    _own: tuple[str, ...] = ()
    _names: Mapping[str, str] = field(default_factory=dict)
    _given: Sequence[Mapping[str, Any]] = ()
    _taken: Sequence[Mapping[str, Any]] = ()
    _counts: Mapping[str, int] = field(default_factory=dict)
    _is_stale: bool = True
    _looks: int = 0

    # --- what is known ------------------------------------------------------------------------------------------------

    def take_info(self, info: Mapping[str, Any]) -> None:
        """Take the answer to `messages.Info`."""
        self._own = tuple(account["address"] for account in info["accounts"])
        counts = info["promises"]
        self._looks += 1
        is_due = bool(counts["open"]) and self._looks > counts["kept"] // MANY
        self._is_stale = self._is_stale or counts != self._counts or is_due
        self._counts = counts

    def take_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Take the contacts of `messages.ContactList`."""
        self._names = {contact["address"]: contact["name"] for contact in contacts}

    @property
    def is_stale(self) -> bool:
        """Whether the list may have changed since it was taken: something is open, or came, or went."""
        return self._is_stale

    def take_list(self, answer: Mapping[str, Any]) -> None:
        """Take the answer to `messages.HandoverList`."""
        self._given, self._taken = answer["given"], answer["taken"]
        self._is_stale, self._looks = False, 0

    def promises(self, most: int = SHOWN_MAX) -> list[PromiseLine]:
        """Return the payments of others, newest first."""
        return [self._line(promise) for promise in islice(reversed(self._taken), most)]

    def promise(self, identity: str) -> PromiseLine | None:
        """Return one of them; None if it is not known here any more."""
        return next((self._line(promise) for promise in self._taken if promise["id"] == identity), None)

    def handed(self, most: int = SHOWN_MAX) -> list[GivenLine]:
        """Return the own payments that were handed over, newest first."""
        return [
            GivenLine(
                payment["id"],
                self._names.get(payment["to"], payment["to"]),
                amount_of(payment),
                status_text(payment),
                payment["status"] == "R4" and payment["proof_verified"] and payment["result"] == "executed",
                Moment(payment["handed_over_us"] // 1000),
            )
            for payment in islice(reversed(self._given), most)
        ]

    def promised(self) -> dict[str, tuple[int, int | None]]:
        """Return what is promised to this wallet and has no fate yet.

        Returns:
            Asset -> smallest units, and the lowest height at which balances that cover them were proved; None where
            nothing that is proved covers one of them.
        """
        sums: dict[str, tuple[int, int | None]] = {}
        for promise in self._taken:
            if promise["to"] not in self._own or promise["kind"] != "transfer" or promise["status"] not in _OPEN:
                continue
            height = promise["balance_height"] if promise["covered"] else None
            units, lowest = sums.get(promise["asset"], (0, height))
            known = None if height is None or lowest is None else min(height, lowest)
            sums[promise["asset"]] = units + promise["amount"], known
        return sums

    def _line(self, promise: Mapping[str, Any]) -> PromiseLine:
        is_open = promise["status"] in _OPEN
        to = promise["to"] or promise["from"]  # an issue is for its issuer
        return PromiseLine(
            promise["id"],
            self._names.get(promise["from"], promise["from"]),
            self._names.get(to, to),
            to in self._own,
            amount_of(promise),
            promise_status(promise),
            promise_certainty(promise),
            Moment(promise["valid_until_ms"]) if is_open else None,
            bool(promise["settled"]),
            is_open,
        )

    # --- giving and taking --------------------------------------------------------------------------------------------

    def export_request(self, ids: Iterable[str]) -> HandoverExport:
        """Return what the node is asked for payments that another phone is to take; own ones are released by that."""
        self.given = None
        return HandoverExport(tuple(dict.fromkeys(ids)))

    def take_export(self, answer: Mapping[str, Any]) -> None:
        """Take the answer: there is something to show."""
        ids = (*(item["id"] for item in answer["payments"]), *(item["id"] for item in answer["promises"]))
        self.given = Given(bytes.fromhex(answer["container_hex"]), answer["frames"], ids)

    @staticmethod
    def take_request(container: bytes) -> HandoverTake:
        """Return what the node is asked for something that another phone handed over."""
        return HandoverTake(container.hex())

    def take_taken(self, answer: Mapping[str, Any]) -> None:
        """Take the answer: say what came of it."""
        told = [
            say("take.promise", amount=amount_of(promise), status=promise_status(promise))
            for promise in answer["promises"]
        ]
        told += [
            say("take.own", amount=amount_of(payment), status=status_text(payment)) for payment in answer["payments"]
        ]
        told += [explain_text(note) for note in answer["notes"]]
        self.told = tuple(told) or (say("take.nothing"),)
        self._is_stale = True


def promise_status(promise: Mapping[str, Any]) -> Text:
    """Return how a payment of somebody else stands; it is settled only if its receipt is proved."""
    if promise["settled"]:
        return say("promise.settled")
    if promise["status"] in _OPEN:
        return _OPEN[promise["status"]]
    if promise["status"] == "expired":
        return say("promise.expired")
    return say("status.failed") if promise["status"] == "proved" else say("promise.unknown")


def promise_certainty(promise: Mapping[str, Any]) -> Text:
    """Return what is proved of a payment of somebody else."""
    if promise["settled"]:
        key = "promise.proved-before" if promise["was_settled_before"] else "promise.proved"
        return Text(key, {"height": promise["height"]})
    if promise["reason"]:
        return explain_text(promise["reason"])
    if promise["balance"] is None or promise["covered"] is None:
        return say("promise.unproved")
    balance = Amount.of(promise["balance"], promise["asset"])
    if promise["covered"]:
        return say("promise.covered", height=promise["balance_height"])
    return say("promise.uncovered", height=promise["balance_height"], balance=balance)
