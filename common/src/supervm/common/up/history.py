"""Which rows of a payments file were sent before: they are told by what they say, not by where they stand.

Theory of operation. Every row is journalled by a phone under a name, the hash of the file and the number of the row
(decisions.md, `up`). A file that was edited has another hash, so the names alone would send all its rows again. Before
anything is sent the phones are therefore asked for what they hold, and a row counts as sent if a payment with its
payer, payee, amounts and assets is there that no other row of the file stands for: a file may hold equal rows, and each
is one payment. So rows may be added, put elsewhere or taken out, and what was sent is never sent again.

A row that was *changed* looks like one that vanished and one that is new, and nobody can tell whether the new one is
meant to come on top. So where a file still holds rows that were sent, others of the same file are gone, and there are
new ones, nothing is sent until its owner says so. A file without any row that was sent is another file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervm.protocol.state.leaves import NATIVE_NAME

_ROW_NAME = re.compile(r"([0-9a-f]{32}):[1-9][0-9]*")
_SHOWN_MAX = 10

Content = tuple[str, str, int, int, str, str]
"""What a row says: address of the payer, of the payee, amount, fee, asset, asset of the fee; both ``svm`` or an id."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is known of a file's rows.

    Attributes:
        names: for each row the name under which it is or will be journalled.
        sent: for each row the payment that was made of it earlier, or None.
        gone: payments made of rows that the file no longer holds, though it holds others of the same file.
    """

    names: tuple[str, ...]
    sent: tuple[Mapping[str, Any] | None, ...]
    gone: tuple[Mapping[str, Any], ...]

    @property
    def new(self) -> list[int]:
        """Places of the rows that were never sent."""
        return [place for place, payment in enumerate(self.sent) if payment is None]

    @property
    def is_doubtful(self) -> bool:
        """Whether new rows may be meant to correct rows that were sent."""
        return bool(self.gone) and bool(self.new)


def recall(contents: Sequence[Content], digest: str, journal: Sequence[Mapping[str, Any]]) -> Recalled:
    """Find the rows of a file in what the phones hold.

    Args:
        contents: the rows.
        digest: hash of the file, 32 hexadecimal digits.
        journal: every payment of the phones, as `payments_since` shows them, in the order of their numbers.
    """
    names = [f"{digest}:{place}" for place in range(1, len(contents) + 1)]
    sent: list[Mapping[str, Any] | None] = [None] * len(contents)
    place_of = {name: place for place, name in enumerate(names)}
    free: dict[Content, list[Mapping[str, Any]]] = {}
    for payment in journal:
        place = place_of.get(payment["key"] or "")
        if place is not None:
            sent[place] = payment  # this very file, whatever became of the row
        elif _ROW_NAME.fullmatch(payment["key"] or "") and _may_have_paid(payment):
            free.setdefault(_content(payment), []).append(payment)
    for place, content in enumerate(contents):
        same = free.get(content)
        if sent[place] is None and same:
            sent[place] = same.pop(0)
            names[place] = str(sent[place]["key"])  # type: ignore[index]
    files = {name.partition(":")[0] for name, payment in zip(names, sent, strict=True) if payment is not None}
    gone = [item for same in free.values() for item in same if item["key"].partition(":")[0] in files]
    return Recalled(tuple(names), tuple(sent), tuple(gone))


def _content(payment: Mapping[str, Any]) -> Content:
    names = ("from", "to", "amount", "fee", "asset", "fee_asset")
    source, to, amount, fee, asset, fee_asset = (payment[name] for name in names)
    return (source, to, amount, fee, asset, fee_asset)


def _may_have_paid(payment: Mapping[str, Any]) -> bool:
    """Return whether money moved or still may: not so if it never left the phone, or is proved dead."""
    return payment["status"] not in ("expired", "cancelled") and (payment["status"] != "refused" or payment["released"])


def doubts(recalled: Recalled, contents: Sequence[Content], name_of: Mapping[str, str]) -> str:
    """Return why nothing is sent: which rows are gone, and which would be sent; `name_of` gives addresses names."""

    def shown(rows: Sequence[tuple[str, Content]]) -> str:
        texts = [
            f"{where}{name_of.get(source, source)},{name_of.get(to, to)},{amount},{fee}"
            + ("" if (asset, fee_asset) == (NATIVE_NAME, NATIVE_NAME) else f",{asset},{fee_asset}")
            for where, (source, to, amount, fee, asset, fee_asset) in rows[:_SHOWN_MAX]
        ]
        return "; ".join(texts) + (f"; and {len(rows) - _SHOWN_MAX} more" if len(rows) > _SHOWN_MAX else "")

    gone = shown([("", _content(payment)) for payment in recalled.gone])
    new = shown([(f"row {place + 1}: ", contents[place]) for place in recalled.new])
    return (
        f"nothing was sent: {len(recalled.gone)} rows that were sent before are gone from the payments file ({gone}), "
        f"and {len(recalled.new)} are new ({new}); if these correct those, both would be paid. Put back what was sent, "
        "or give --send-new to send the new rows as well"
    )
