"""What Java says on a phone, in a test's hands: its owner's answers, its services, and what its owner likes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Owner:
    """A phone whose owner answers in another thread, as Java does."""

    def __init__(self, api: int = 36, *, agrees: bool = True) -> None:
        self.api = api
        self._agrees = agrees
        self.granted: set[str] = set()
        self.asked: list[str] = []

    def is_granted(self, name: str) -> bool:
        return name in self.granted

    def request(self, name: str, answered: Callable[[], None]) -> None:
        self.asked.append(name)
        if self._agrees:
            self.granted.add(name)
        threading.Thread(target=answered).start()


class Phone:
    """A phone's Java: a window, a service that it may start, and what its owner likes.

    Attributes:
        started: the services that were asked for.
        run: what Android does then.
    """

    class JavaException(Exception):
        """As pyjnius raises it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, language: str = "zh_CN_#Hans", mode: int = 0x21) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.run: Callable[[], None] = lambda: None
        configuration = SimpleNamespace(uiMode=mode)
        resources = SimpleNamespace(getConfiguration=lambda: configuration)
        self.window = SimpleNamespace(getResources=lambda: resources)
        classes = {
            "org.supervm.wallet.ServiceNode": SimpleNamespace(start=self._start),
            "org.kivy.android.PythonActivity": SimpleNamespace(mActivity=self.window),
            "java.util.Locale": SimpleNamespace(getDefault=lambda: SimpleNamespace(toString=lambda: language)),
        }
        jnius = ModuleType("jnius")
        jnius.__dict__.update(autoclass=classes.__getitem__, JavaException=self.JavaException)
        monkeypatch.setitem(sys.modules, "jnius", jnius)
        monkeypatch.setattr(sys, "platform", "android")

    def _start(self, *given: Any) -> None:
        self.started.append(given)
        self.run()
