"""What a camera sees, with whatever codes are in it: shown, read beside the frames, and given on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import trio

from ...handover.qr import PictureError, codes_in_pixels
from ..android.permissions import CAMERA, Permissions, platform_permissions
from ..values import Text, say
from .boxes import Column
from .buttons import PushButton
from .camera import Camera, Finder, Picture, open_camera
from .look import Look
from .ticker import Ticker
from .words import Words


class Viewfinder(Column):
    """Looks through the camera between `start` and `stop`; says so where there is none.

    Where its owner has to allow that first, it says what for, and asks once he wants to scan with it.

    Args:
        look: what it is drawn with.
        work: does something beside the frames (`screens.screen.Scene.work`).
        found: told the codes of a picture that has any.

    Attributes:
        camera: switches the camera on; None if there is none.
        permissions: asks whether it may be used.
        looks_per_s: how often its picture is read at most; the next one is read when the last is done.
    """

    camera: ClassVar[Callable[[], Camera | None]] = open_camera
    permissions: ClassVar[Callable[[], Permissions]] = platform_permissions
    looks_per_s: ClassVar[int] = 12

    def __init__(self, look: Look, work: Callable[..., None], found: Callable[[list[bytes]], object]) -> None:
        self._hint = Words(look, ink="faint")
        super().__init__(self._hint)
        self._work = work
        self._found = found
        self._camera: Camera | None = None
        self._finder = Finder()
        self._ticker = Ticker(self._see)
        self._is_reading = False
        self._is_on = False
        self._allow = PushButton(look, say("scan.allow"), key="scan.allow", icon="camera")
        self._allow.when_tapped(self._ask)

    def start(self) -> None:
        """Switch the camera on, if that is allowed already."""
        self._is_on = True
        if type(self).permissions().must_ask(CAMERA):
            self._hint.say(CAMERA.why or "")
            self.add_widget(self._allow)
        else:
            self._open()

    def _ask(self) -> None:
        self.remove_widget(self._allow)
        self._work(self._asked, is_quiet=True)

    async def _asked(self) -> Text | None:
        is_allowed = await type(self).permissions().ask(CAMERA)
        if self._is_on and is_allowed:
            self._open()
        elif not is_allowed:
            self._hint.say(CAMERA.without or "")
        return None

    def _open(self) -> None:
        self._camera = type(self).camera()
        if self._camera is None:
            self._hint.say(say("scan.no-camera"))
            return
        self._hint.say(say("scan.hold"))
        if self._finder.parent is None:
            self.add_widget(self._finder, index=1)
        self._ticker.start(self.looks_per_s)

    def stop(self) -> None:
        """Switch it off."""
        self._is_on = False
        self._ticker.stop()
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _see(self) -> None:
        if self._camera is None:
            return
        self._finder.show(self._camera.texture)
        picture = None if self._is_reading else self._camera.picture()
        if picture is not None:
            self._is_reading = True
            self._work(lambda: self._read(picture), is_quiet=True)

    async def _read(self, picture: Picture) -> Text | None:
        try:
            codes = await trio.to_thread.run_sync(codes_in_pixels, picture.width, picture.height, picture.pixels)
        except PictureError:
            self._hint.say(say("scan.no-reader"))
            return None
        finally:
            self._is_reading = False
        if codes and self._camera is not None:
            self._found(codes)
        return None
