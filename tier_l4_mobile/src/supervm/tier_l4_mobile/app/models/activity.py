"""Activity: what was paid and what came in, newest first, with search; pages are asked for as somebody scrolls.

Both are lists of their own at the node, read page by page. Rows are shown down to the time that both have been read to,
so that nothing appears above a row that was seen already. What came in has no payer: a proof of a balance names none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Literal

from ...messages import IncomeList, SearchPayments
from ...wallet.payments import CANCELLED, EXPIRED, PROGRESS, R4, REFUSED
from ..values import Amount, Moment, Text, say
from .steps import is_open, is_paid, status_text
from .waiting import WINDOW, amount_of

PAGE_ROWS: Final = 50
ROWS_MAX: Final = 10_000
"""Most rows that are kept in memory; whoever looks further back searches."""

Part = Literal["all", "open", "paid", "void", "in"]
"""What is listed: all, what is on its way, what is paid, what came to nothing, what came in."""
_STATUSES: Final[Mapping[Part, tuple[str, ...]]] = {
    "all": (),
    "open": tuple(PROGRESS),
    "paid": (R4,),
    "void": (R4, REFUSED, EXPIRED, CANCELLED),  # what was executed may have failed
    "in": (),
}
PARTS: Final[Mapping[Part, Text]] = {
    "all": say("activity.all"),
    "open": say("activity.open"),
    "paid": say("activity.paid"),
    "in": say("activity.in"),
    "void": say("activity.void"),
}
"""The parts, with their names."""


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """One payment in the list, or something that came in.

    Attributes:
        id: what the node calls it; of what came in a name of its own.
        to: the receiver: a contact's name or an address; of what came in the own address.
        amount: what it moves.
        status: how it stands.
        when: it was asked for.
        is_paid: whether it may be drawn as paid.
        is_open: whether it is on its way.
        is_income: whether it came in; then nobody here knows from whom.
    """

    id: str
    to: str
    amount: Text
    status: Text
    when: Moment
    is_paid: bool
    is_open: bool
    is_income: bool = False


@dataclass(slots=True)
class ActivityModel:
    """State of the activity screen.

    Attributes:
        is_whole: whether there is no payment further back.
        is_income_whole: whether nothing came in further back, or only payments are looked for.
        part: what is listed.
    """

    is_whole: bool = False
    is_income_whole: bool = False
    part: Part = "all"
    _search: str = ""
    _rows: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _names: Mapping[str, str] = field(default_factory=dict)
    _before: int | None = None
    _asked: SearchPayments | None = None
    _income: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _income_before: int | None = None
    _newest_income: int = 0
    _listed: list[tuple[int, str, Mapping[str, Any]]] | None = None

    def search(self, text: str) -> None:
        """Look for something else; empty: for everything."""
        self._search = text.strip()
        self._rows, self._before, self._asked, self._listed = {}, None, None, None
        self._income, self._income_before = {}, None
        self.is_whole = self.part == "in"
        self.is_income_whole = not self._wants_income

    def choose(self, part: Part) -> None:
        """List another part."""
        self.part = part
        self.restart()

    @property
    def _wants_income(self) -> bool:
        """Whether what came in is listed; while something is looked for it is not: there is no word in it."""
        return self.part in ("all", "in") and not self._search

    @property
    def is_narrowed(self) -> bool:
        """Whether something is looked for, or a part is listed, so that an empty list is not an empty wallet."""
        return bool(self._search) or self.part != "all"

    @property
    def is_all_read(self) -> bool:
        """Whether there is nothing further back."""
        return self.is_whole and self.is_income_whole

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
        statuses = _STATUSES[self.part]
        self._asked = SearchPayments(text, statuses, receivers=named, before=self._before, limit=PAGE_ROWS)
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
            if self._fits(payment):
                self._rows[payment["number"]] = payment
        self._before = answer["before"]
        self.is_whole = self._before is None
        self._listed = None

    def _fits(self, payment: Mapping[str, Any]) -> bool:
        """Return whether a payment, as it stands now, is in the part that is listed."""
        match self.part:
            case "all":
                return True
            case "open":
                return is_open(payment)
            case "paid":
                return is_paid(payment)
            case "void":
                return not is_open(payment) and not is_paid(payment)
            case "in":
                return False

    def next_income(self) -> IncomeList | None:
        """Return what gives the next page of what came in; None if there is none, or no room for it."""
        if self.is_income_whole or len(self._income) >= ROWS_MAX:
            return None
        return IncomeList(self._income_before, PAGE_ROWS)

    def take_income(self, request: IncomeList, answer: Mapping[str, Any]) -> None:
        """Take a page of it; one that was asked for before the search changed is left alone."""
        if self.is_income_whole or request.before != self._income_before:
            return
        self._take_income(answer["income"])
        self._income_before = answer["before"]
        self.is_income_whole = self._income_before is None
        self._listed = None

    def news_of_income(self, last: int) -> IncomeList | None:
        """Return what gives the newest of what came in; None if that is here already, or was never asked for.

        Args:
            last: the number of the newest row, as `messages.Info` tells it.
        """
        is_read = self._wants_income and (bool(self._income) or self.is_income_whole)
        return IncomeList(None, PAGE_ROWS) if is_read and last > self._newest_income else None

    def take_news(self, answer: Mapping[str, Any]) -> None:
        """Take the newest; if that is more than a page, what lies between is read anew."""
        rows = answer["income"]
        if self._newest_income and rows and rows[-1]["number"] > self._newest_income + 1:
            self._income, self._income_before = {}, answer["before"]
            self.is_income_whole = self._income_before is None
        self._take_income(rows)

    def _take_income(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._income[row["number"]] = row
            self._newest_income = max(self._newest_income, row["number"])
        self._listed = None

    def take_payments(self, payments: Iterable[Mapping[str, Any]]) -> None:
        """Take payments that changed; new ones join the list unless something is looked for."""
        newest = max(self._rows, default=0)
        for payment in payments:
            number = payment["number"]
            is_new = self.is_whole or 0 < newest < number
            if number in self._rows or (is_new and not self._search and len(self._rows) < ROWS_MAX):
                if self._fits(payment):
                    self._rows[number] = payment
                else:
                    self._rows.pop(number, None)
                self._listed = None

    @property
    def count(self) -> int:
        """How many payments there are so far."""
        return len(self._rows)

    @property
    def listed_count(self) -> int:
        """How many rows there are to show so far, of both kinds."""
        return len(self._list())

    def rows(self, first: int = 0, most: int = WINDOW) -> list[ActivityRow]:
        """Return a part of the list, newest first: as much as a screen needs at once."""
        part = self._list()[first : first + most]
        return [self._row(row) if way == "out" else _income_row(row) for _, way, row in part]

    def _list(self) -> list[tuple[int, str, Mapping[str, Any]]]:
        """Return time, way and row of all that is shown, newest first; it is kept until something changes."""
        if self._listed is None:
            paid = (self._rows[number] for number in sorted(self._rows, reverse=True))
            came = (self._income[number] for number in sorted(self._income, reverse=True))
            read_to = max(
                0 if self.is_whole else min((_paid_ms(row) for row in self._rows.values()), default=0),
                0 if self.is_income_whole else min((row["ts_ms"] for row in self._income.values()), default=0),
            )
            both = [*((_paid_ms(row), "out", row) for row in paid), *((row["ts_ms"], "in", row) for row in came)]
            both.sort(key=itemgetter(0), reverse=True)  # two lists in order: that takes one pass
            self._listed = [item for item in both if item[0] >= read_to]
        return self._listed

    def _row(self, payment: Mapping[str, Any]) -> ActivityRow:
        return ActivityRow(
            payment["id"],
            self._names.get(payment["to"], payment["to"]),
            amount_of(payment),
            status_text(payment),
            Moment(_paid_ms(payment)),
            is_paid(payment),
            is_open(payment),
        )


def _paid_ms(payment: Mapping[str, Any]) -> int:
    ms: int = payment["created_us"] // 1000
    return ms


def _income_row(row: Mapping[str, Any]) -> ActivityRow:
    amount = Amount.of(row["amount"], row["asset"])
    how = "income.proved" if row["is_exact"] else "income.at-least"
    return ActivityRow(
        f"income-{row['number']}",
        row["to"],
        say("income.amount", amount=amount),
        Text(how, {"height": row["height"]}),
        Moment(row["ts_ms"]),
        is_paid=True,
        is_open=False,
        is_income=True,
    )
