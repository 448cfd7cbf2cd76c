"""Activity: what was paid, newest first, with search; pages are asked for as somebody scrolls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...messages import SearchPayments
from ..values import Moment, Text
from .steps import is_open, is_paid, status_text
from .waiting import WINDOW, amount_of

PAGE_ROWS: Final = 50
ROWS_MAX: Final = 10_000
"""Most rows that are kept in memory; whoever looks further back searches."""


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """One payment in the list.

    Attributes:
        id: what the node calls it.
        to: the receiver: a contact's name or an address.
        amount: what it moves.
        status: how it stands.
        when: it was asked for.
        is_paid: whether it may be drawn as paid.
        is_open: whether it is on its way.
    """

    id: str
    to: str
    amount: Text
    status: Text
    when: Moment
    is_paid: bool
    is_open: bool


@dataclass(slots=True)
class ActivityModel:
    """State of the activity screen.

    Attributes:
        is_whole: whether there is nothing further back.
    """

    is_whole: bool = False
    _search: str = ""
    _rows: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _names: Mapping[str, str] = field(default_factory=dict)
    _before: int | None = None
    _asked: SearchPayments | None = None

    def search(self, text: str) -> None:
        """Look for something else; empty: for everything."""
        self._search = text.strip()
        self._rows, self._before, self.is_whole, self._asked = {}, None, False, None

    def restart(self) -> None:
        """Forget what was read, and read it anew."""
        self.search(self._search)

    def take_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Take the contacts of `messages.ContactList`."""
        self._names = {contact["address"]: contact["name"] for contact in contacts}

    def next_request(self) -> SearchPayments | None:
        """Return what gives the next page; None if there is none, or no room for it."""
        if self.is_whole or len(self._rows) >= ROWS_MAX:
            return None
        named = self._receivers()
        text = "" if named else self._search[:128]
        self._asked = SearchPayments(text, receivers=named, before=self._before, limit=PAGE_ROWS)
        return self._asked

    def _receivers(self) -> tuple[str, ...]:
        """Return the addresses of the contacts that are looked for by name."""
        text = self._search.casefold()
        return tuple(address for address, name in self._names.items() if text and text in name.casefold())

    def take_page(self, request: SearchPayments, answer: Mapping[str, Any]) -> None:
        """Take a page; one that was asked for before the search changed is left alone."""
        if request is not self._asked:
            return
        for payment in answer["payments"]:
            self._rows[payment["number"]] = payment
        self._before = answer["before"]
        self.is_whole = self._before is None

    def take_payments(self, payments: Iterable[Mapping[str, Any]]) -> None:
        """Take payments that changed; new ones join the list unless something is looked for."""
        newest = max(self._rows, default=0)
        for payment in payments:
            number = payment["number"]
            is_new = self.is_whole or 0 < newest < number
            if number in self._rows or (is_new and not self._search and len(self._rows) < ROWS_MAX):
                self._rows[number] = payment

    @property
    def count(self) -> int:
        """How many rows there are so far."""
        return len(self._rows)

    def rows(self, first: int = 0, most: int = WINDOW) -> list[ActivityRow]:
        """Return a part of the list, newest first: as much as a screen needs at once."""
        numbers = sorted(self._rows, reverse=True)[first : first + most]
        return [self._row(self._rows[number]) for number in numbers]

    def _row(self, payment: Mapping[str, Any]) -> ActivityRow:
        return ActivityRow(
            payment["id"],
            self._names.get(payment["to"], payment["to"]),
            amount_of(payment),
            status_text(payment),
            Moment(payment["created_us"] // 1000),
            is_paid(payment),
            is_open(payment),
        )
