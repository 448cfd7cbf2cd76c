"""The app as Android starts it: the same life as on a desktop, in the phone's folder, with the phone's own keystore.

Theory of operation. What the distributions announce is said first, since a package has no metadata. Kivy is set up
before anything imports it. Then the app lives as on a desktop; its link to the node goes through the service
(`background`), and its owner is asked whether that may be seen (`notify`).
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime

import trio

from supervm.common.wallet.keystore import platform_keystore

from ..window import set_up_kivy
from .announced import announce_all
from .likes import is_dark, system_language
from .permissions import platform_permissions
from .service import phone_directory


def main() -> None:
    """Show the app until Android ends it."""
    announce_all()
    set_up_kivy()
    from ..face import Face
    from ..folder import PhoneFolder
    from ..kit.look import Look
    from ..look_of import System, look_values
    from ..models.settings import Settings
    from ..screens.life import Life, Outside
    from .notify import telling

    zone = datetime.now().astimezone().tzinfo or System().zone
    system = System(system_language(), is_dark=is_dark(), zone=zone)
    outside = Outside(
        system,
        lambda: time.time_ns() // 1_000_000,
        lambda: time.monotonic_ns() // 1_000_000,
        lambda: f"app:{secrets.token_hex(8)}",
    )
    folder = PhoneFolder(phone_directory(), secrets.token_bytes, keystore=platform_keystore())
    story = telling(Life(folder, outside).story, folder, platform_permissions())
    trio.run(Face(Look(*look_values(Settings(), system))).live, story)
