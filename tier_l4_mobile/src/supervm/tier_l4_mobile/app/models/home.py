"""Home: what there is, how sure that is, what is on its way, and who is at the other end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from supervm.protocol.state.leaves import NATIVE_NAME

from ..errors import explain_text
from ..values import Amount, Span, Text, say
from .certainty import Certainty
from .steps import note_open

HIDDEN: Final = say("home.hidden")
"""Stands for every amount while they are hidden."""


@dataclass(frozen=True, slots=True)
class AssetLine:
    """One asset on the home screen.

    Attributes:
        asset: as the node writes it.
        amount: what there is, or `HIDDEN`, or that nothing is proved.
        certainty: how sure it is.
        is_sure: whether it may be drawn as certain.
    """

    asset: str
    amount: Text
    certainty: Text
    is_sure: bool


@dataclass(frozen=True, slots=True)
class HomeView:
    """All that the home screen shows.

    Attributes:
        lines: the native asset, then what else is held.
        going_out: asset -> what payments on their way take, fees included.
        coming_in: asset -> what was promised here and is not settled.
        connection: who is at the other end.
        is_online: whether there is an edge.
        problems: what the owner should know and do something about, each once.
    """

    lines: tuple[AssetLine, ...]
    going_out: tuple[Text, ...]
    coming_in: tuple[Text, ...]
    connection: Text
    is_online: bool
    problems: tuple[Text, ...]


@dataclass(slots=True)
class HomeModel:
    """State of the home screen.

    Attributes:
        is_hidden: whether amounts are hidden.
        promised: asset -> smallest units that others have handed over here and nobody has proved, and the height at
            which balances that cover them were proved (`HandoverModel.promised`).
    """

    is_hidden: bool = False
    promised: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    _native: Certainty = field(default_factory=Certainty)
    _held: dict[str, int] = field(default_factory=dict)
    _heights: dict[str, int] = field(default_factory=dict)
    _open: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _info: Mapping[str, Any] | None = None

    def tap(self) -> None:
        """Hide the amounts, or show them again."""
        self.is_hidden = not self.is_hidden

    def take_balance(self, answer: Mapping[str, Any], now_ms: int) -> None:
        """Take the answer to a `messages.Balance` of all assets."""
        self._native = Certainty.of(answer, now_ms)
        holdings = answer["holdings"]
        self._held = {item["asset"]: item["balance"] for item in holdings}
        self._heights = {item["asset"]: item["height"] for item in holdings}

    def restart(self) -> None:
        """Forget what is on its way: all of it is read anew."""
        self._open = {}

    def take_payments(self, payments: Iterable[Mapping[str, Any]]) -> None:
        """Take payments as the node shows them; those that are over leave what is on its way."""
        note_open(self._open, payments)

    def take_info(self, info: Mapping[str, Any] | None) -> None:
        """Take the answer to `messages.Info`; None: the node does not answer."""
        self._info = info

    @property
    def is_locked(self) -> bool:
        """Whether the node says that the wallet is locked."""
        return self._info is not None and bool(self._info["locked"])

    def view(self, now_ms: int) -> HomeView:
        """Return what is to be shown now."""
        link = None if self._info is None else self._info["link"]
        return HomeView(
            tuple(self._lines(now_ms)),
            self._sums(self._going_out(), "home.out"),
            tuple(self._coming_in()),
            connection_text(self._info),
            link is not None,
            tuple(self._problems()),
        )

    def _problems(self) -> Iterable[Text]:
        """Yield what the node says, in the owner's words; of two accounts it may say the same."""
        said: list[Text] = []
        for sentence in () if self._info is None else self._info["problems"]:
            text = explain_text(sentence)
            if text not in said:
                said.append(text)
                yield text

    def _lines(self, now_ms: int) -> Iterable[AssetLine]:
        native, is_sure = self._native, self._native.is_fresh(now_ms)
        amount = say("home.nothing-proved") if native.balance is None else self._amount(native.balance, NATIVE_NAME)
        yield AssetLine(NATIVE_NAME, amount, native.text(now_ms), is_sure)
        for asset, units in self._held.items():
            # each holding was proved with its own header; its age is at most known to be that of the account's
            certainty = say("home.held", height=self._heights[asset])
            yield AssetLine(asset, self._amount(units, asset), certainty, is_sure)

    def _going_out(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for payment in self._open.values():
            if payment["kind"] == "transfer":
                sums[payment["asset"]] = sums.get(payment["asset"], 0) + payment["amount"]
            sums[payment["fee_asset"]] = sums.get(payment["fee_asset"], 0) + payment["fee"]
        return sums

    def _amount(self, units: int, asset: str) -> Text:
        return HIDDEN if self.is_hidden else say("home.amount", amount=Amount.of(units, asset))

    def _coming_in(self) -> Iterable[Text]:
        for asset, (units, height) in self.promised.items():
            amount = self._amount(units, asset)
            if height is None:
                yield say("home.in", amount=amount)
            else:
                yield say("home.in-covered", amount=amount, height=height)

    def _sums(self, sums: Mapping[str, int], key: str) -> tuple[Text, ...]:
        return tuple(Text(key, {"amount": self._amount(units, asset)}) for asset, units in sums.items() if units)


def connection_text(info: Mapping[str, Any] | None) -> Text:
    """Say who is at the other end, from the answer to `messages.Info`; None: the node does not answer."""
    if info is None:
        return say("link.no-node")
    link = info["link"]
    if link is None:
        return say("link.offline")
    edge, medium = link["node_id"][-8:], _medium(link["address"])
    if link["answer_ms"] is None:
        return say("link.edge", edge=edge, medium=medium)
    return say("link.edge-latency", edge=edge, medium=medium, ms=link["answer_ms"])


_MEDIA: Final[Mapping[str, str]] = {
    "tcp": "medium.tcp",
    "lan": "medium.lan",
    "serial": "medium.serial",
    "memory": "medium.memory",
}


def _medium(address: str | None) -> Text:
    """Return what carries the link: the scheme of the address; a bare ``host:port`` is TCP (network.md 4)."""
    scheme, colon, rest = (address or "").partition(":")
    if not address:
        return say("medium.unknown")
    known = _MEDIA.get(scheme) if colon and not rest.isdigit() else "medium.tcp"
    return Text(known or "medium.tcp")


def ago(ms: int, now_ms: int) -> Text:
    """Return how long ago something was."""
    return say("time.ago", age=Span.between(ms, now_ms))
