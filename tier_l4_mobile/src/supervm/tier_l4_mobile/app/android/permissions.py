"""What the app asks its owner for on a phone: only when it is needed, and with the reason first.

Theory of operation. `PERMISSIONS` is all that the package declares; a test holds buildozer.spec against it. Most are
granted by installing the app. The others are asked for where their use begins: a screen shows `Permission.why`, calls
`Permissions.ask`, and goes on without if the answer is no, with `Permission.without` as what it then says. On a desktop
nothing is ever asked. What a platform does is behind `Platform`; `AndroidPlatform` is the one of Android, whose
callbacks come in a thread of Java's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from ..values import Text, say


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission of Android.

    Attributes:
        name: as the package declares it.
        since_api: the first API level that knows it; below, what it allows needs no permission.
        why: what is shown before it is asked for; None: it is granted with the installation.
        without: what is shown when it was refused.
    """

    name: str
    since_api: int = 1
    why: Text | None = None
    without: Text | None = None


INTERNET: Final = Permission("android.permission.INTERNET")
"""Links to edges."""
SERVICE: Final = Permission("android.permission.FOREGROUND_SERVICE", since_api=28)
"""Payments go on while another app is looked at."""
SERVICE_TYPE: Final = Permission("android.permission.FOREGROUND_SERVICE_DATA_SYNC", since_api=34)
"""Likewise: what kind of work that is."""
NOTIFY: Final = Permission(
    "android.permission.POST_NOTIFICATIONS",
    since_api=33,
    why=say("permission.notify"),
    without=say("permission.notify-without"),
)
"""The line that Android shows while payments go on; without it they go on unseen."""
CAMERA: Final = Permission(
    "android.permission.CAMERA", why=say("permission.camera"), without=say("permission.camera-without")
)
"""Scanning; without it there are pictures from files, and pasting."""
PERMISSIONS: Final = (INTERNET, SERVICE, SERVICE_TYPE, NOTIFY, CAMERA)
"""All that the package declares."""


class Platform(Protocol):
    """What a phone's system says about permissions."""

    @property
    def api(self) -> int:
        """Its API level."""

    def is_granted(self, name: str) -> bool:
        """Return whether the app has a permission now; its owner may take it away at any time."""

    def request(self, name: str, answered: Callable[[], None]) -> None:
        """Let the system ask the owner; `answered` is called once, in whatever thread, when that is over."""


class AndroidPlatform:
    """Android, through python-for-android's module `android`; to be made on Android alone."""

    def __init__(self) -> None:
        from android import permissions
        from jnius import autoclass

        self._permissions = permissions
        self.api = int(autoclass("android.os.Build$VERSION").SDK_INT)

    def is_granted(self, name: str) -> bool:
        """Return whether the app has a permission now."""
        return bool(self._permissions.check_permission(name))

    def request(self, name: str, answered: Callable[[], None]) -> None:
        """Let Android ask the owner; `answered` is called in a thread of Java's."""
        self._permissions.request_permissions([name], lambda _names, _verdicts: answered())


class Permissions:
    """Asks for permissions, one at a time.

    Args:
        platform: a phone's; None where nothing is asked.
    """

    def __init__(self, platform: Platform | None) -> None:
        self._platform = platform
        self._turn = trio.Lock()

    def must_ask(self, wanted: Permission) -> bool:
        """Return whether its owner has to be asked before it can be used; if so, `Permission.why` is shown first."""
        platform = self._platform
        if platform is None or wanted.why is None or platform.api < wanted.since_api:
            return False
        return not platform.is_granted(wanted.name)

    async def ask(self, wanted: Permission) -> bool:
        """Ask, if that is needed, and wait for the answer; return whether it may be used.

        Android shows nothing when the owner has refused twice: the answer is then no, at once.
        """
        async with self._turn:
            platform = self._platform
            if platform is None or not self.must_ask(wanted):
                return True
            over = trio.Event()
            token = trio.lowlevel.current_trio_token()
            platform.request(wanted.name, lambda: token.run_sync_soon(over.set))
            await over.wait()
            return platform.is_granted(wanted.name)


def platform_permissions() -> Permissions:
    """Return what asks for permissions on this machine."""
    return Permissions(AndroidPlatform() if sys.platform == "android" else None)
