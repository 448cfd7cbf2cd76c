"""Pay: whom, how much, for what fee; then the address once more in groups, and after that what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supervm.protocol.base.address import TEXT_MAX, decode_address
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.state.leaves import NATIVE_NAME, write_asset

from ...handover.payment_request import PaymentRequest
from ...messages import Pay, PaymentRow
from ..errors import explain_text
from ..money import NoAmount, read_amount, write_amount
from ..values import GRAIN, SVM, Amount, Text, Unit, say, unit_of
from .groups import groups_of
from .in_hand import PaymentInHand


@dataclass(frozen=True, slots=True)
class FeeChoice:
    """A fee that the edge takes."""

    name: Text
    amount: Amount


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the owner is asked to look at before a payment is signed.

    Attributes:
        name: what the owner calls the receiver, or that it is nobody known.
        is_known: whether the receiver is a contact.
        groups: the address.
        amount: what is paid.
        fee: what the network gets on top.
        total: both, if they are of one asset; else None.
        waits: why it will not leave at once; None if it will.
    """

    name: Text
    is_known: bool
    groups: tuple[str, ...]
    amount: Amount
    fee: Amount
    total: Amount | None
    waits: Text | None


@dataclass(slots=True)
class PayModel(PaymentInHand):
    """State of the pay screen, from the first letter typed until the payment is proved.

    Attributes:
        to: what was typed, scanned or chosen as the receiver: an address or a contact's name.
        amount: what was typed as the amount.
        fee: what was typed as the fee; empty: the edge's least.
        fee_unit: what the fee is counted in.
        unit: what the amount is counted in.
        is_offline: whether it is to stay on this device for now.
    """

    to: str = ""
    amount: str = ""
    fee: str = ""
    unit: Unit = SVM
    fee_unit: Unit = SVM
    is_offline: bool = False
    _test_network: bool = False
    _contacts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _own: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _fees: Mapping[str, int] | None = None
    _is_online: bool = False
    _asked: PaymentRequest | None = None

    # --- what is known ------------------------------------------------------------------------------------------------

    def take_info(self, info: Mapping[str, Any]) -> None:
        """Take the answer to `messages.Info`: own accounts, the edge's fees, and which network this is."""
        self._own = {account["address"]: account for account in info["accounts"]}
        self._test_network = any(address.startswith("tsvm1") for address in self._own)
        self._fees = info["terms"]["fees"]
        self._is_online = info["link"] is not None

    def take_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Take the contacts of `messages.ContactList`."""
        self._contacts = {contact["address"]: contact for contact in contacts}

    def suggestions(self, typed: str, most: int = 5) -> list[Mapping[str, Any]]:
        """Return contacts whose name or address begins with, or else holds, what was typed."""
        text = typed.strip().casefold()
        first = [contact for contact in self._contacts.values() if contact["name"].casefold().startswith(text)]
        more = [
            contact
            for contact in self._contacts.values()
            if contact not in first and (text in contact["name"].casefold() or text in contact["address"])
        ]
        return (first + more)[:most]

    # --- what is typed ------------------------------------------------------------------------------------------------

    def receiver(self) -> str:
        """Return the receiver's address, of a contact's name too.

        Raises:
            LocalProtocolError: it is none.
        """
        typed = "".join(self.to.split())
        named = [
            contact["address"]
            for contact in self._contacts.values()
            if contact["name"].casefold() == self.to.strip().casefold()
        ]
        address = named[0] if named else typed.lower() if typed.isupper() else typed
        decode_address(address[: TEXT_MAX + 1])
        return address

    def receiver_problem(self) -> Text | None:
        """Say what is wrong with the receiver; None if it can be paid."""
        if not self.to.strip():
            return say("pay.to-empty")
        try:
            address = self.receiver()
        except LocalProtocolError as error:
            return explain_text(str(error))
        if decode_address(address)[1] != self._test_network:
            return say("pay.other-network")
        return None

    def amount_problem(self) -> Text | None:
        """Say what is wrong with the amount; None if it can be paid as far as is known here."""
        try:
            units = read_amount(self.amount, self.unit)
        except NoAmount as error:
            return error.text
        free = self._free(self.unit.asset)
        needed = units + (self._fee_units() or 0) * (self.unit.asset == self.fee_unit.asset)
        if free is not None and needed > free:
            return say("pay.too-much", free=Amount.of(max(0, free), self.unit.asset))
        return None

    def fee_problem(self) -> Text | None:
        """Say what is wrong with the fee; None if the edge takes it, or nothing is known of what it takes."""
        if self.fee.strip():
            try:
                read_amount(self.fee, self.fee_unit)
            except NoAmount as error:
                return error.text
        if self._fees is None:
            return None
        least, units = self._fees.get(self.fee_unit.asset), self._fee_units()
        if least is None:
            return say("pay.fee-asset")
        if (units or 0) < least:
            return say("pay.fee-low", least=self._fee(least))
        return None

    def fee_choices(self) -> list[FeeChoice]:
        """Return what may be suggested: what the edge takes at least, and more, which miners take first."""
        least = self._least_fee
        named = (("fee.least", 1), ("fee.more", 2), ("fee.most", 5))
        return [FeeChoice(Text(key), self._fee(least * times)) for key, times in named]

    def fee_assets(self) -> list[Unit]:
        """Return what the edge takes fees in."""
        return [unit_of(asset) for asset in self._fees or (NATIVE_NAME,)]

    def choose_fee(self, choice: FeeChoice) -> None:
        """Take a suggested fee."""
        self.fee = write_amount(choice.amount.units, self.fee_unit.decimals)

    def _fee(self, units: int) -> Amount:
        """Return a fee as it is shown: a few grain would be lost behind nine decimals."""
        is_small = self.fee_unit == SVM and units < 10 ** (SVM.decimals // 2)
        return Amount(units, GRAIN if is_small else self.fee_unit)

    @property
    def _least_fee(self) -> int:
        return (self._fees or {}).get(self.fee_unit.asset, 1)

    def _fee_units(self) -> int | None:
        if not self.fee.strip():
            return self._least_fee
        try:
            return read_amount(self.fee, self.fee_unit)
        except NoAmount:
            return None

    def units(self) -> list[Unit]:
        """Return what an amount may be counted in: the native asset as people write it and in grain, and what is held.

        An asset that was asked for is there too, though nothing is known to be held of it.
        """
        account = next(iter(self._own.values()), None)
        held = [] if account is None else [unit_of(item["asset"]) for item in account["holdings"]]
        return list(dict.fromkeys((SVM, GRAIN, *held, self.unit)))

    def free(self) -> Amount | None:
        """Return what may be spent of what the amount is counted in; None where nothing is proved."""
        units = self._free(self.unit.asset)
        return None if units is None else Amount(max(0, units), self.unit)

    def _free(self, asset: str) -> int | None:
        """Return what may still be spent of an asset, None where nothing is proved."""
        account = next(iter(self._own.values()), None)
        if account is None or not account["proved"]:
            return None
        if asset == NATIVE_NAME:
            return int(account["available"])
        held = [item["available"] for item in account["holdings"] if item["asset"] == asset]
        return int(held[0]) if held else None

    def problems(self) -> list[Text]:
        """Return all that keeps this from being paid."""
        found = (self.receiver_problem(), self.amount_problem(), self.fee_problem())
        return [problem for problem in found if problem is not None]

    # --- paying -------------------------------------------------------------------------------------------------------

    def confirmation(self) -> Confirmation:
        """Return what the owner is to look at; there must be no `problems`."""
        address = self.receiver()
        contact = self._contacts.get(address)
        if address in self._own:
            name = say("pay.to-self")
        elif contact is not None:
            name = say("pay.to-contact", name=contact["name"])
        else:
            name = say("pay.to-unknown")
        units, fee = read_amount(self.amount, self.unit), self._fee_units() or 0
        is_one = self.unit.asset == self.fee_unit.asset
        return Confirmation(
            name,
            contact is not None or address in self._own,
            groups_of(address),
            Amount(units, self.unit),
            self._fee(fee),
            Amount(units + fee, unit_of(self.unit.asset)) if is_one else None,
            self._waits(),
        )

    def _waits(self) -> Text | None:
        if self.is_offline:
            return say("wait.kept")
        if not self._is_online:
            return say("wait.offline")
        return say("wait.proof") if self._free(self.unit.asset) is None else None

    def request(self) -> Pay:
        """Return what the node is to be asked; asking twice is asking once."""
        row = PaymentRow(
            to=self.receiver(),
            amount=read_amount(self.amount, self.unit),
            fee=self._fee_units() or 0,
            asset=self.unit.asset,
            fee_asset=self.fee_unit.asset,
            key=self.key,
        )
        return Pay(row, self.is_offline)

    def clear(self) -> None:
        """Begin another payment."""
        self.let_go()
        self.to = self.amount = self.fee = ""
        self.unit = self.fee_unit = SVM
        self._asked, self.is_offline = None, False

    def take_scanned(self, request: PaymentRequest) -> None:
        """Take a request that was scanned or pasted; what it leaves open stays as it was typed."""
        if self.is_asked:
            self.clear()
        self.to, self._asked = request.address, request
        if request.amount is not None or request.asset:
            unit = unit_of(write_asset(request.asset))
            self.unit = GRAIN if unit == SVM and request.amount is not None and request.unit == "grain" else unit
        if request.amount is not None:
            self.amount = write_amount(request.amount, self.unit.decimals)

    @property
    def asked(self) -> tuple[str, str]:
        """What the request that was scanned calls itself, and what it is for: words of whoever made it.

        Both are empty once the receiver is another one than the request's.
        """
        request = self._asked
        return ("", "") if request is None or self.to.strip() != request.address else (request.label, request.note)
