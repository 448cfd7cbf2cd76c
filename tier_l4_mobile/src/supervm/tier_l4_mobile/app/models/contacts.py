"""Contacts: whom the owner knows, and the form in which one of them is written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supervm.protocol.base.address import TEXT_MAX, decode_address
from supervm.protocol.base.errors import LocalProtocolError

from ..errors import explain_text
from ..values import Text, say


@dataclass(frozen=True, slots=True)
class ContactLine:
    """One contact in the list."""

    address: str
    name: str
    note: str
    is_watched: bool


@dataclass(slots=True)
class ContactForm:
    """What is typed about one contact.

    Attributes:
        address: as typed or pasted.
        name: what the owner calls it.
        note: anything else.
        is_watched: whether its balance is shown.
        is_new: whether it is in no list yet; the address of one that is stays as it is.
    """

    address: str = ""
    name: str = ""
    note: str = ""
    is_watched: bool = False
    is_new: bool = True

    @property
    def plain_address(self) -> str:
        """The address without the blanks that came with it, in small letters."""
        typed = "".join(self.address.split())
        return typed.lower() if typed.isupper() else typed


@dataclass(slots=True)
class ContactsModel:
    """State of the contacts' screens."""

    _contacts: dict[str, ContactLine] = field(default_factory=dict)
    _test_network: bool | None = None

    def take_info(self, info: Mapping[str, Any] | None) -> None:
        """Take the answer to `messages.Info`: own addresses tell which network this is."""
        if info is not None and info["accounts"]:
            self._test_network = info["accounts"][0]["address"].startswith("tsvm1")

    def take_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Take the contacts of `messages.ContactList`."""
        self._contacts = {
            contact["address"]: ContactLine(contact["address"], contact["name"], contact["note"], contact["watched"])
            for contact in contacts
        }

    def lines(self, text: str = "") -> list[ContactLine]:
        """Return the contacts by name; those only in whose name, note or address `text` occurs."""
        looked_for = text.strip().casefold()
        return [
            line
            for line in self._contacts.values()
            if any(looked_for in part.casefold() for part in (line.name, line.note, line.address))
        ]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._contacts)

    def form(self, address: str = "") -> ContactForm:
        """Return the form of a contact; of an address that is none yet a new one."""
        known = self._contacts.get(address)
        if known is None:
            return ContactForm(address)
        return ContactForm(known.address, known.name, known.note, known.is_watched, is_new=False)

    def address_problem(self, form: ContactForm) -> Text | None:
        """Say what is wrong with the address; None if nothing is."""
        address = form.plain_address
        if not address:
            return say("contact.no-address")
        try:
            is_test = decode_address(address[: TEXT_MAX + 1])[1]
        except LocalProtocolError as error:
            return explain_text(str(error))
        if self._test_network is not None and is_test != self._test_network:
            return say("pay.other-network")
        known = self._contacts.get(address) if form.is_new else None
        return None if known is None else say("contact.known", name=known.name)

    def name_problem(self, form: ContactForm) -> Text | None:
        """Say what is wrong with the name; None if nothing is."""
        name = form.name.strip()
        if not name:
            return say("error.contact-empty")
        others = [line for line in self._contacts.values() if line.address != form.plain_address]
        same = next((line for line in others if line.name.casefold() == name.casefold()), None)
        return None if same is None else say("error.contact-name", name=same.name)
