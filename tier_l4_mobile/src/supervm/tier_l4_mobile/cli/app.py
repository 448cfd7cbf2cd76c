"""``supervm app``: the wallet's app on a desktop."""

from __future__ import annotations

import importlib.util
import locale
import os
import secrets
import sys
import time
from ctypes import CDLL
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from supervm.common.errors import InputError
from supervm.common.host.home import home_directory
from supervm.common.wallet.keystore import platform_keystore

_LIBRARIES: Final = {"libGL.so.1": "libgl1", "libEGL.so.1": "libegl1"}
"""What Kivy's window loads on Linux -> Debian's package of it."""
_PACKAGES: Final = "apt-get install libgl1 libegl1 libgl1-mesa-dri"


@click.command(epilog="Example: supervm app --dir phone")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The wallet's folder; it is made if it does not exist [default: phone in SUPERVM_HOME].",
)
def app(directory: Path | None) -> None:
    """Open the wallet's app: first run, pay, receive, and what is certain.

    If a node runs in the folder the app talks to it; else it runs one for as long as the window is open.
    """
    check_display()
    directory = directory or home_directory() / "phone"
    run_app(directory)


def check_display() -> None:
    """Find out whether a window can be opened, before anything tries.

    Raises:
        InputError: Kivy, a library of the system or a screen is missing, and what brings it.
    """
    if importlib.util.find_spec("kivy") is None:
        raise InputError(
            "the app needs Kivy, which is not installed here: pip install 'supervm-tier-l4-mobile[app]' (Kivy has no "
            "wheels for Python 3.14 yet)"
        )
    if not sys.platform.startswith("linux"):
        return
    missing = [package for library, package in _LIBRARIES.items() if not _loads(library)]
    if missing:
        raise InputError(f"the app's window needs {' and '.join(missing)}: on Debian, {_PACKAGES}")
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")):
        raise InputError("there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set): start it on a desktop")


def _loads(library: str) -> bool:
    try:
        CDLL(library)
    except OSError:
        return False
    return True


def run_app(directory: Path) -> None:
    """Show the app until its window is closed.

    Args:
        directory: the wallet's folder.

    Raises:
        InputError: the window cannot be opened.
    """
    from ..app.window import set_up_kivy

    set_up_kivy()
    import trio

    try:
        from ..app.face import Face
    except SystemExit as ended:  # that is how Kivy says that there is no window
        raise InputError(f"the app's window cannot be opened: on Debian, {_PACKAGES}") from ended
    from ..app.folder import PhoneFolder
    from ..app.kit.look import Look
    from ..app.look_of import System, look_values
    from ..app.models.settings import Settings
    from ..app.screens.life import Life, Outside

    system = System(locale.getlocale()[0] or "", zone=datetime.now().astimezone().tzinfo or System().zone)
    outside = Outside(
        system,
        lambda: time.time_ns() // 1_000_000,
        lambda: time.monotonic_ns() // 1_000_000,
        lambda: f"app:{secrets.token_hex(8)}",
    )
    face = Face(Look(*look_values(Settings(), system)))
    trio.run(face.live, Life(PhoneFolder(directory, secrets.token_bytes, keystore=platform_keystore()), outside).story)
