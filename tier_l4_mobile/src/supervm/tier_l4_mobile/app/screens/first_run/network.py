"""Which network: its file, and edges to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import trio
from kivy.core.window import Window

from supervm.common.errors import CommonError

from ...errors import explain
from ...kit.boxes import Card
from ...kit.buttons import PLAIN, PushButton
from ...kit.fields import Field
from ...kit.look import space
from ...kit.words import Words
from ...values import Text, say
from ..screen import Page
from .scene import FirstScene


class NetworkPage(Page):
    """Asks for the network's file."""

    title: ClassVar[Text] = say("first.network-title")
    is_kept: ClassVar[bool] = True

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        self._scene = scene
        look = scene.look
        hint = say("first.network-file-hint")
        self._file = Field(look, say("first.network-file"), key="first.genesis", hint=hint)
        self._edges = Field(look, say("first.network-edges"), key="first.edges", hint=say("first.network-edges-hint"))
        self._anchor = Field(
            look, say("first.network-anchor"), key="first.anchor", hint=say("first.network-anchor-hint")
        )
        scan = PushButton(look, say("first.anchor-scan"), key="first.anchor-scan", kind=PLAIN, icon="scan")
        scan.when_tapped(lambda: scene.navigator.go("anchor"))
        go_on = PushButton(look, say("first.next"), key="first.next")
        go_on.when_tapped(self._take)
        self._edges.when_entered(self._take)
        self.put(
            Words(look, say("first.network-why"), ink="faint"),
            Card(look, self._file, self._edges, self._anchor, scan, spacing=space("pad")),
            go_on,
        )

    def entered(self) -> None:
        """Take files that are dropped on the window, and an anchor that was scanned."""
        if self._scene.anchor:
            self._anchor.text, self._scene.anchor = self._scene.anchor, ""
        Window.bind(on_drop_file=self._dropped)

    def left(self) -> None:
        """Take no more of them."""
        Window.unbind(on_drop_file=self._dropped)

    def _dropped(self, _window: object, name: bytes, *_: object) -> None:
        self._file.text = name.decode(errors="replace")

    def _take(self) -> None:
        path, edges, anchor = Path(self._file.text.strip()).expanduser(), self._edges.text, self._anchor.text

        async def work() -> Text | None:
            try:
                await trio.to_thread.run_sync(self._scene.folder.take_network, path, edges, anchor)
            except CommonError as error:
                return explain(error)
            return None

        self._scene.work(work, self._taken)

    def _taken(self, problem: Text | None) -> None:
        wrong = self._file
        if problem is not None:
            wrong = {"first.no-edge": self._edges, "first.no-anchor": self._anchor}.get(problem.key, self._file)
        for field in (self._file, self._edges, self._anchor):
            field.tell("" if problem is None or field is not wrong else problem, is_wrong=True)
        if problem is None:
            self._scene.after_network()
