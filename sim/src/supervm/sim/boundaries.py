"""The places in a step at which power may fail; a module of its own, since reading a scenario loads no engine."""

from __future__ import annotations

from typing import Final

BOUNDARIES: Final = ("before-persist", "after-persist", "after-durable", "after-told", "before-send", "after-send")
"""Before a write is asked for, after; after it is durable and before anybody knows, after the core was told and what
waited has left; before and after a message leaves."""
