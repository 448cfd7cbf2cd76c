"""All screens by name. Adding one is a module and a line here; it is imported when somebody goes there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from ..values import Text, say
from .screen import Screen

SCREENS: Final[dict[str, str]] = {
    "about": "about:AboutScreen",
    "activity": "activity:ActivityScreen",
    "backup": "backup:BackupScreen",
    "contact": "contact:ContactScreen",
    "contacts": "contacts:ContactsScreen",
    "give": "give:GiveScreen",
    "handover": "handover:HandoverScreen",
    "home": "home:HomeScreen",
    "logs": "logs:LogsScreen",
    "network": "network:NetworkScreen",
    "passphrase": "secret:SecretScreen",
    "pay": "pay:PayScreen",
    "pay-check": "pay_check:PayCheckScreen",
    "paying": "paying:PayingScreen",
    "payment": "payment:PaymentScreen",
    "promise": "promise:PromiseScreen",
    "receive": "receive:ReceiveScreen",
    "scan": "scan:ScanScreen",
    "settings": "settings:SettingsScreen",
    "waiting": "waiting:WaitingScreen",
    "watched": "watched:WatchedScreen",
}
"""Name -> module of this folder and class in it."""
TABS: Final[Mapping[str, tuple[Text, str]]] = {
    "home": (say("tab.home"), "home"),
    "activity": (say("tab.activity"), "activity"),
    "network": (say("tab.network"), "network"),
    "settings": (say("tab.settings"), "settings"),
}
"""Screens that stand in the bar, in its order -> name and icon."""


def screen_class(name: str) -> type[Screen]:
    """Return the class of a screen.

    Raises:
        KeyError: there is none of that name.
    """
    module, _, kind = SCREENS[name].partition(":")
    found: type[Screen] = getattr(import_module(f"{__package__}.{module}"), kind)
    return found
