"""The file that keeps the app's settings: read before there is a node, so they cannot be kept by one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from .models.settings import Settings
from .values import Text, say

SETTINGS_FILE: Final = "app.json"
"""Its name in the app's folder."""
_BYTES_MAX: Final = 1 << 16


def load_settings(directory: Path) -> tuple[Settings, Text | None]:
    """Return the settings of a folder, and what is wrong with their file; the usual ones if there is none."""
    try:
        with directory.joinpath(SETTINGS_FILE).open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            return Settings(), say("settings.unreadable", sentence=f"> {_BYTES_MAX} B")
        return msgspec.json.decode(data, type=Settings), None
    except FileNotFoundError:
        return Settings(), None
    except OSError as error:
        return Settings(), say("settings.unreadable", sentence=error.strerror or type(error).__name__)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Settings(), say("settings.unreadable", sentence=str(error)[:200])


def save_settings(directory: Path, settings: Settings) -> None:
    """Write the settings; the file has either all of the old ones or all of the new ones, whatever happens.

    Raises:
        OSError: it cannot be written.
    """
    path, new = directory.joinpath(SETTINGS_FILE), directory.joinpath(f"{SETTINGS_FILE}.new")
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(settings)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
