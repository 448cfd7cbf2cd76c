"""Contacts: names that the owner gives to addresses, and addresses whose balances the owner watches.

Theory of operation. A directory has one owner process, so what people keep in it is kept by the node. A contact is a
row by account; giving one again replaces it. No two contacts have one name, in whatever letters it is written: whoever
pays by name must not be able to mean two accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from supervm.common.contract.core import Outbox
from supervm.common.contract.records import Reader
from supervm.common.parts.part import Part
from supervm.protocol.base.errors import LocalProtocolError

from ..errors import PaymentError
from ..messages import ContactList, PutContact, RemoveContact
from ..tables import CONTACTS, ContactRow
from ..wallet.accounts import Accounts
from ..wallet.payments import printable

CONTACTS_MAX: Final = 1_000
"""Most contacts."""
WATCHED_MAX: Final = 50
"""Most watched addresses: each costs its edge a proof whenever somebody looks."""


class Contacts(Part):
    """The contacts.

    Args:
        outbox: where rows and answers go.
        accounts: which addresses are this network's.
        reader: what is durable.
    """

    answers = (PutContact, RemoveContact, ContactList)
    tables = (CONTACTS,)

    def __init__(self, outbox: Outbox, accounts: Accounts, reader: Reader) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._rows = {row.account: row for row in CONTACTS.rows(reader)}

    def command(self, now_us: int, token: int, request: PutContact | RemoveContact | ContactList) -> None:
        """Keep, forget or list; a change is answered once it is durable."""
        try:
            match request:
                case PutContact():
                    self._put(token, request)
                case RemoveContact(address):
                    self._remove(token, address)
                case ContactList():
                    rows = sorted(self._rows.values(), key=lambda row: (row.name.casefold(), row.account))
                    self._outbox.reply(token, {"contacts": [self._show(row) for row in rows], "max": CONTACTS_MAX})
        except (PaymentError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many there are."""
        return {"contacts": len(self._rows)}

    def _put(self, token: int, request: PutContact) -> None:
        account = self._accounts.receiver(request.address)
        row = ContactRow(account, request.name.strip(), request.note.strip(), int(request.watched))
        self._check(row)
        self._rows[account] = row
        self._outbox.reply(token, self._show(row), after=self._outbox.persist(CONTACTS.put(row)))

    def _check(self, row: ContactRow) -> None:
        """Check a row that would be kept.

        Raises:
            PaymentError: what is wrong with it, or that there is no room.
        """
        if not row.name:
            raise PaymentError("a contact needs a name")
        if printable(row.name) != row.name or printable(row.note) != row.note:
            raise PaymentError("the name or the note holds characters that cannot be printed")
        others = [other for account, other in self._rows.items() if account != row.account]
        same = next((other for other in others if other.name.casefold() == row.name.casefold()), None)
        if same is not None:
            raise PaymentError(f"another contact is called {same.name}: {self._accounts.address(same.account)}")
        if len(others) >= CONTACTS_MAX:
            raise PaymentError(f"there are {len(others)} contacts; at most {CONTACTS_MAX} are allowed")
        if row.watched and sum(other.watched for other in others) >= WATCHED_MAX:
            raise PaymentError(f"{WATCHED_MAX} addresses are watched already, and no more may be")

    def _remove(self, token: int, address: str) -> None:
        account = self._accounts.receiver(address)
        row = self._rows.pop(account, None)
        if row is None:
            raise PaymentError(f"{address} is no contact")
        self._outbox.reply(token, self._show(row), after=self._outbox.persist(CONTACTS.delete(account)))

    def _show(self, row: ContactRow) -> dict[str, Any]:
        return {
            "address": self._accounts.address(row.account),
            "name": row.name,
            "note": row.note,
            "watched": bool(row.watched),
        }
