"""The code of an anchor, looked at with the camera: whom to trust, given by somebody whom the owner trusts."""

from __future__ import annotations

from typing import ClassVar

from ....scanned import look_at
from ...kit.boxes import Card
from ...kit.look import space
from ...kit.viewfinder import Viewfinder
from ...kit.words import Words
from ...values import Text, say
from ..screen import Page
from .scene import FirstScene


class AnchorPage(Page):
    """Looks for the code, and goes back to the network with it."""

    title: ClassVar[Text] = say("first.anchor-title")

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        self._scene = scene
        look = scene.look
        self._view = Viewfinder(look, scene.work, self._seen)
        self._note = Words(look, ink="bad")
        self.put(
            Words(look, say("first.anchor-why"), ink="faint"), Card(look, self._view, self._note, spacing=space("pad"))
        )

    def entered(self) -> None:
        """Switch the camera on."""
        self._view.start()

    def left(self) -> None:
        """Switch it off."""
        self._view.stop()

    def _seen(self, codes: list[bytes]) -> None:
        anchors = [found.text for code in codes if (found := look_at(code)).kind == "anchor"]
        if anchors:
            self._scene.anchor = anchors[0]
            self._scene.navigator.back()
        else:
            self._note.say(say("first.anchor-other"))
