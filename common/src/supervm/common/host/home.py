"""Where nodes and wallets live when nobody says otherwise: ``SUPERVM_HOME``, else the platform's data folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def nearest_folder(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists and can be looked at."""
    place = path.absolute()
    while place != place.parent:
        try:
            place.stat()
        except OSError:  # not there, or behind a folder that is not ours
            place = place.parent
        else:
            break
    return place


def home_directory(environment: Mapping[str, str] | None = None, platform: str | None = None) -> Path:
    """Return the folder that holds nodes and wallets; it is not created.

    Args:
        environment: the process's variables by default.
        platform: ``sys.platform`` by default.
    """
    variables = os.environ if environment is None else environment
    system = sys.platform if platform is None else platform
    if chosen := variables.get("SUPERVM_HOME"):
        return Path(chosen).expanduser()
    if system == "android" and (private := variables.get("ANDROID_PRIVATE")):
        return Path(private) / "supervm"  # the app's own folder; no other app can look into it
    if system == "win32":
        base = variables.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "supervm"
    if system == "darwin":
        return Path.home() / "Library" / "Application Support" / "supervm"
    base = variables.get("XDG_DATA_HOME")
    # the XDG specification says that a relative value is to be ignored
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "share") / "supervm"
