"""About: which version this is, under which licence, and on which network."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from supervm.common.installed import version_of

from ..kit.boxes import Card, Column
from ..kit.buttons import OUTLINED, PushButton
from ..kit.look import space
from ..kit.words import Words
from ..values import Text, say
from .saved import copy
from .screen import Scene, Screen

DISTRIBUTION: Final = "supervm-tier-l4-mobile"
"""What the app comes in."""


class AboutScreen(Screen):
    """What somebody who helps asks first."""

    title: ClassVar[Text] = say("about.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        version = version_of(DISTRIBUTION)
        which = say("about.version-elsewhere") if version is None else say("about.version", version=version)
        self._network, self._node = Words(look, letters="small"), Words(look, letters="small")
        copy_network = PushButton(look, say("about.copy"), key="about.copy", kind=OUTLINED, icon="copy")
        copy_network.when_tapped(lambda: copy(scene, scene.models.network.identity()[0]))
        self.put(
            Card(
                look,
                Words(look, say("app.name"), letters="title"),
                Words(look, which, ink="faint"),
                Words(look, say("about.licence")),
                Words(look, say("about.licence-why"), letters="small", ink="faint"),
            ),
        )
        self.put(
            Card(
                look,
                self._named(say("about.network"), self._network),
                copy_network,
                self._named(say("about.node"), self._node),
                spacing=space("pad"),
            ),
            side=1,
        )

    def _named(self, name: Text, words: Words) -> Column:
        return Column(Words(self.scene.look, name, letters="small", ink="faint"), words, spacing=space("small"))

    def refresh(self, now_ms: int) -> None:
        """Show which network it is."""
        network, node = self.scene.models.network.identity()
        self._network.say(network or say("about.unknown"))
        self._node.say(node or say("about.unknown"))
