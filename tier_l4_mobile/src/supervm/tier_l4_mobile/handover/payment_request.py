"""Requests for a payment as a URI, ``svm:ADDRESS?amount=1.5&unit=svm&label=Bakery`` (transactions.md 7).

A request may come from anywhere: a picture on a wall, a link, a message. Reading one has one error, `RequestError`,
whose text names what was wrong and what is allowed and can be shown as it is. What is read is exact: writing a request
and reading it gives the same request.

The form is that of RFC 3986 with a query of ``name=value`` pairs. ``%XX`` stands for a byte of UTF-8; ``+`` is a plus.
A parameter that is not known is passed over, unless its name begins with ``req-``: whoever wrote it says that the
request means something else without it, so it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from supervm.protocol.base.address import decode_address, encode_address
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.hashing import HASH_BYTES
from supervm.protocol.money.transfer import PAYLOAD_BYTES_MAX
from supervm.protocol.state.leaves import NATIVE, NATIVE_NAME

from ..errors import MobileError

SCHEME: Final = "svm"
URI_CHARS_MAX: Final = 2_048
"""Longest request that is read; the longest that is written has some 1,300 characters."""
LABEL_BYTES_MAX: Final = 96
"""Longest name of who asks, in bytes of UTF-8."""
NOTE_BYTES_MAX: Final = PAYLOAD_BYTES_MAX
"""Longest note, so that it may go into the payment's payload."""
PARAMETERS_MAX: Final = 16
REQUIRED: Final = "req-"
"""What the name of a parameter begins with that must be understood."""
SVM_DECIMALS: Final = 9
"""1 SVM is 10^9 grain (economics.md)."""
UNITS: Final = {"grain": 0, "svm": SVM_DECIMALS}
"""How an amount of the native asset may be written, with the decimals that each unit has."""

_NAMES: Final = ("amount", "unit", "asset", "label", "note")
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_NUMBER = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,18}))?")
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$'()*+,;:@/?")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_SAFE: Final = "-._~"
_SHOWN_MAX: Final = 40


class RequestError(MobileError):
    """A payment request cannot be read or written; the text says what is wrong and what is allowed."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What somebody asks to be paid.

    Attributes:
        account: who is to be paid.
        test_network: whether the address is a test network's.
        amount: of the asset's smallest unit, 1 to 2^63-1; None leaves it to the payer.
        asset: of which asset; the native one unless the request says so.
        unit: how the amount is written: ``grain``, or ``svm`` for the native asset only.
        label: who asks, for people; up to `LABEL_BYTES_MAX` bytes, empty for nothing.
        note: what for; up to `NOTE_BYTES_MAX` bytes.
    """

    account: bytes
    test_network: bool
    amount: int | None = None
    asset: bytes = NATIVE
    unit: str = "grain"
    label: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            RequestError: a field is out of them.
        """
        if self.amount is not None and not 1 <= self.amount <= INT_MAX:
            raise RequestError(f"the amount is {self.amount} of the smallest unit; 1 to {INT_MAX} are allowed")
        if len(self.asset) not in (0, HASH_BYTES):
            raise RequestError(
                f"the asset's id has {len(self.asset)} bytes; {HASH_BYTES}, or none for svm, are allowed"
            )
        if self.unit not in UNITS:
            raise RequestError(f"the unit {_shown(self.unit)} is not known; {_or(UNITS)} is allowed")
        if self.unit != "grain" and (self.asset or self.amount is None):
            raise RequestError(f"the unit {self.unit} is allowed for an amount of svm only")
        for name, text, most in (("label", self.label, LABEL_BYTES_MAX), ("note", self.note, NOTE_BYTES_MAX)):
            _check_text(name, text, most)

    @property
    def address(self) -> str:
        """The address that is to be paid."""
        return encode_address(self.account, test=self.test_network)


def format_request(request: PaymentRequest) -> str:
    """Return the URI of a request, in the one form that this program writes."""
    pairs: list[tuple[str, str]] = []
    if request.amount is not None:
        pairs.append(("amount", _decimal(request.amount, UNITS[request.unit])))
    if request.unit != "grain":
        pairs.append(("unit", request.unit))
    if request.asset:
        pairs.append(("asset", request.asset.hex()))
    pairs += [(name, text) for name, text in (("label", request.label), ("note", request.note)) if text]
    query = "&".join(f"{name}={quote(text, safe=_SAFE)}" for name, text in pairs)
    return f"{SCHEME}:{request.address}" + (f"?{query}" if query else "")


def parse_request(text: str) -> PaymentRequest:
    """Read a URI; a bare address is a request without an amount.

    Raises:
        RequestError: what is wrong with it, and what is allowed.
    """
    if len(text) > URI_CHARS_MAX:
        raise RequestError(f"the request has {len(text)} characters; at most {URI_CHARS_MAX} are allowed")
    scheme, colon, rest = text.strip(" \t\r\n").partition(":")
    if not colon:
        scheme, rest = SCHEME, scheme
    if scheme.lower() != SCHEME:
        raise RequestError(f"the request begins with {_shown(scheme)}; it must begin with {SCHEME}: or be an address")
    address, _, query = rest.partition("?")
    try:
        account, test_network = decode_address(address)
    except LocalProtocolError as error:
        raise RequestError(str(error)) from None
    values = _parameters(query)
    asset = _asset(values.get("asset", NATIVE_NAME))
    unit = values.get("unit", "grain").lower()
    if unit not in UNITS:
        raise RequestError(f"the unit {_shown(unit)} is not known; {_or(UNITS)} is allowed")
    if "unit" in values and "amount" not in values:
        raise RequestError("there is a unit without an amount; a unit says what the amount is in")
    amount = _amount(values["amount"], unit) if "amount" in values else None
    return PaymentRequest(
        account, test_network, amount, asset, unit, label=values.get("label", ""), note=values.get("note", "")
    )


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters that are known, each once."""
    values: dict[str, str] = {}
    pairs = query.split("&") if query else []
    if len(pairs) > PARAMETERS_MAX:
        raise RequestError(f"the request has {len(pairs)} parameters; at most {PARAMETERS_MAX} are allowed")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.lower()
        if not equals or _NAME.fullmatch(name) is None:
            raise RequestError(
                f"the parameter {_shown(pair)} is not allowed: name=value is, where the name has 1 to 32 letters, "
                "digits and hyphens"
            )
        if name.startswith(REQUIRED):
            raise RequestError(
                f"the request requires {_shown(name)}, which this program does not know; a newer one may"
            )
        text = _unquoted(name, value)
        if name in _NAMES:
            if name in values:
                raise RequestError(f"the parameter {name} is there twice; once is allowed")
            values[name] = text
    return values


def _unquoted(name: str, value: str) -> str:
    """Return a value without its percent-encoding."""
    data, place = bytearray(), 0
    while place < len(value):
        letter = value[place]
        if letter == "%":
            pair = value[place + 1 : place + 3]
            if len(pair) != 2 or not _HEX.issuperset(pair):
                raise RequestError(f"the parameter {name} has {_shown('%' + pair)}; % and two hex digits are allowed")
            data.append(int(pair, 16))
            place += 3
        elif letter in _PLAIN:
            data.append(ord(letter))
            place += 1
        else:
            raise RequestError(f"the parameter {name} has {_shown(letter)} in it; it must be percent-encoded")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(f"the parameter {name} is no UTF-8; percent-encoded UTF-8 is allowed") from None


def _asset(text: str) -> bytes:
    if text.lower() == NATIVE_NAME:
        return NATIVE
    if len(text) != 2 * HASH_BYTES or not _HEX.issuperset(text):
        raise RequestError(f"the asset {_shown(text)} is neither svm nor the {2 * HASH_BYTES} hex digits of an id")
    asset = bytes.fromhex(text)
    return asset if any(asset) else NATIVE


def _amount(text: str, unit: str) -> int:
    decimals = UNITS[unit]
    found = _NUMBER.fullmatch(text)
    allowed = "digits are" if not decimals else f"digits and at most {decimals} decimals behind a point are"
    if found is None:
        raise RequestError(f"the amount {_shown(text)} is no number in {unit}; {allowed} allowed")
    whole, fraction = found[1], found[2] or ""
    if len(fraction) > decimals:
        raise RequestError(f"the amount {_shown(text)} has {len(fraction)} decimals; in {unit} {allowed} allowed")
    return int(whole + fraction.ljust(decimals, "0"))


def _decimal(amount: int, decimals: int) -> str:
    whole, fraction = divmod(amount, 10**decimals)
    return f"{whole}.{fraction:0{decimals}}".rstrip("0") if fraction else str(whole)


def _check_text(name: str, text: str, bytes_max: int) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise RequestError(f"the {name} holds half of a character; whole ones are allowed") from None
    if size > bytes_max:
        raise RequestError(f"the {name} has {size} bytes; at most {bytes_max} are allowed")
    if not text.isprintable():  # also what turns the direction of writing around, or is not seen
        raise RequestError(f"the {name} {_shown(text)} holds characters that are not shown; printable ones are allowed")


def _shown(text: str) -> str:
    """Return a little of what anybody may have written, as ASCII in quotes."""
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")


def _or(names: dict[str, int]) -> str:
    return " or ".join(names)
