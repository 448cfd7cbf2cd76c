"""Settings: what the owner chooses, and the watched addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec

from supervm.common.parts.participation import ACTIVE, PASSIVE, STANDARD

from ...messages import Balance, TakePart
from ..values import Amount, Span, Text, say
from .certainty import Certainty

TEXT_PERCENTS: Final = (85, 100, 115, 130, 150, 200)
"""Sizes of letters that may be chosen, in percent."""
LOCK_AFTER_S: Final = (60, 120, 300, 900, 3_600)
"""Times without a touch after which the app may lock itself."""
BATTERY_PERCENTS: Final = (20, 50, 80)
"""Charges below which nothing is done for others."""
DATA_MIB: Final = (10, 50, 200, 1_000)
"""Most data for others in a day, in MiB."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the owner has chosen; it is the app's, and says nothing of money.

    Attributes:
        language: of the texts; empty: the system's.
        theme: light, dark, or as the system has it.
        text_percent: size of letters.
        lock_after_s: seconds without a touch after which the app locks; 0: only when it is left.
        is_hidden: whether amounts are hidden when the app opens.
        redacts: whether what support gets of the log has addresses, ids and names taken out.
        takes_part: what this phone may do for others; nothing but own traffic while it is off.
        battery_percent_min: below this charge it does nothing for others.
        data_mib_per_day_max: at most so much data for others.
    """

    language: Literal["", "en", "zh"] = ""
    theme: Literal["system", "light", "dark"] = "system"
    text_percent: Literal[85, 100, 115, 130, 150, 200] = 100
    lock_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 120
    is_hidden: bool = False
    redacts: bool = True
    takes_part: Literal["off", "standard", "active"] = "off"
    battery_percent_min: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50
    data_mib_per_day_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a setting, and whether it is the present one."""

    value: str | int | bool
    name: Text
    is_chosen: bool


_MODES: Final[Mapping[str, Literal["passive", "standard", "active"]]] = {
    "off": PASSIVE,
    "standard": STANDARD,
    "active": ACTIVE,
}
"""What `takes_part` says -> the mode of the node."""
_CHOICES: Final[Mapping[str, Mapping[str | int | bool, Text]]] = {
    "language": {"": say("settings.language-system"), "en": say("settings.english"), "zh": say("settings.chinese")},
    "theme": {
        "system": say("settings.theme-system"),
        "light": say("settings.theme-light"),
        "dark": say("settings.theme-dark"),
    },
    "text_percent": {percent: say("settings.percent", percent=percent) for percent in TEXT_PERCENTS},
    "lock_after_s": {
        0: say("settings.lock-left"),
        **{after_s: say("settings.after", span=Span(after_s)) for after_s in LOCK_AFTER_S},
    },
    "battery_percent_min": {percent: say("settings.percent", percent=percent) for percent in BATTERY_PERCENTS},
    "data_mib_per_day_max": {mib: say("settings.mib", mib=mib) for mib in DATA_MIB},
    "redacts": {True: say("settings.redacts"), False: say("settings.redacts-not")},
    "takes_part": {
        "off": say("settings.part-off"),
        "standard": say("settings.part-standard"),
        "active": say("settings.part-active"),
    },
}


@dataclass(frozen=True, slots=True)
class WatchedLine:
    """One watched address."""

    address: str
    name: str
    amount: Text
    certainty: Text


@dataclass(slots=True)
class SettingsModel:
    """State of the settings screen.

    Attributes:
        settings: what is chosen.
    """

    settings: Settings = field(default_factory=Settings)
    _watched: dict[str, str] = field(default_factory=dict)
    _balances: dict[str, Certainty] = field(default_factory=dict)

    def change(self, name: str, value: str | int | bool) -> Text | None:
        """Choose something; return what is wrong with it, and then nothing changes."""
        try:
            changed = msgspec.structs.asdict(self.settings) | {name: value}
            self.settings = msgspec.convert(changed, Settings)
        except msgspec.ValidationError:
            return say("settings.not-allowed")
        return None

    def choices(self, name: str) -> list[Choice]:
        """Return the values of a setting that has only few."""
        chosen = getattr(self.settings, name)
        return [Choice(value, text, value == chosen) for value, text in _CHOICES[name].items()]

    def wish(self) -> TakePart:
        """Return what the node is to be told of all that: the owner's word on what is done for others."""
        chosen = self.settings
        return TakePart(
            _MODES[chosen.takes_part],
            battery_percent_min=chosen.battery_percent_min,
            on_battery=False,
            data_mib_per_day_max=chosen.data_mib_per_day_max,
        )

    @property
    def serves(self) -> bool:
        """Whether this phone may do anything for others, so that limits of that have a meaning."""
        return self.settings.takes_part != "off"

    # --- watched addresses --------------------------------------------------------------------------------------------

    def take_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Take the contacts of `messages.ContactList`."""
        self._watched = {contact["address"]: contact["name"] for contact in contacts if contact["watched"]}
        self._balances = {address: known for address, known in self._balances.items() if address in self._watched}

    def requests(self) -> list[Balance]:
        """Return what the node is to be asked about the watched addresses, one after another."""
        return [Balance(address) for address in self._watched]

    def take_balance(self, answer: Mapping[str, Any], now_ms: int) -> None:
        """Take an answer about a watched address; where nothing could be proved what was known before stays."""
        if answer["address"] in self._watched and answer["balance"] is not None:
            self._balances[answer["address"]] = Certainty.of(answer, now_ms)

    def watched(self, now_ms: int) -> list[WatchedLine]:
        """Return the watched addresses with what they have and how sure that is."""
        return [self._line(address, name, now_ms) for address, name in self._watched.items()]

    def _line(self, address: str, name: str, now_ms: int) -> WatchedLine:
        known = self._balances.get(address, Certainty())
        amount = (
            say("home.nothing-proved") if known.balance is None else say("home.amount", amount=Amount(known.balance))
        )
        return WatchedLine(address, name, amount, known.text(now_ms))
