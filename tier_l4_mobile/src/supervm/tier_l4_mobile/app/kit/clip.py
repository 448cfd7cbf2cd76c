"""What is copied and pasted. Kivy looks for the system's way to do it when it is first needed: that takes its time."""

from __future__ import annotations


def copy(text: str) -> None:
    """Put a text where other programs can paste it."""
    from kivy.core.clipboard import Clipboard

    Clipboard.copy(text)


def paste() -> str:
    """Return what was copied last, here or in another program; empty if that is no text."""
    from kivy.core.clipboard import Clipboard

    return str(Clipboard.paste() or "")
