"""Which colours, language and letters the settings ask for, on a system that has likings of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo

from .language import Language, language_of
from .models.settings import Settings
from .theme import THEMES, Theme


@dataclass(frozen=True, slots=True)
class System:
    """What the system likes.

    Attributes:
        language: what it calls its own (`language.language_of`).
        is_dark: whether it is dark.
        zone: in which times are shown.
    """

    language: str = ""
    is_dark: bool = False
    zone: tzinfo = UTC


def look_values(settings: Settings, system: System) -> tuple[Theme, Language, int]:
    """Return the colours, the language and the size of letters in percent."""
    theme = settings.theme if settings.theme != "system" else "dark" if system.is_dark else "light"
    code = settings.language or language_of(system.language)
    return THEMES[theme], Language(code, system.zone), settings.text_percent
