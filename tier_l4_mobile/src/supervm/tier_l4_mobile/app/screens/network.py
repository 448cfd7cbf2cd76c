"""Network: the four tiers with this phone in them, its edge and path, and what it may do for others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

from ..kit.boxes import Card, Column, Line, Row
from ..kit.choices import Choices, Value
from ..kit.icons import Icon
from ..kit.ladder import Ladder
from ..kit.look import space
from ..kit.words import Words
from ..values import Text, say
from .screen import Scene, Screen

ICONS: Final = ("checked", "box", "network", "phone")
"""What stands for the tiers, the highest first."""
LIMITS: Final[Mapping[str, Text]] = {
    "battery_percent_min": say("network.battery"),
    "data_mib_per_day_max": say("network.data"),
}
"""Settings that limit what is done for others, with their names."""


class NetworkScreen(Screen):
    """What is around this phone."""

    title: ClassVar[Text] = say("network.title")
    is_kept: ClassVar[bool] = True
    has_tabs: ClassVar[bool] = True

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.network
        self._ladder = Ladder(look, ICONS)
        self._link_icon = Icon(look, "network", ink="waiting")
        self._link = Words(look)
        self._facts = [Words(look, ink="faint", letters="small") for _ in range(4)]
        self._does = Words(look)
        self._served = Words(look)
        self._takes_part = self._choices("takes_part", say("network.takes-part"))
        self._limits = {name: self._choices(name, text) for name, text in LIMITS.items()}
        self._limited = Column(spacing=space("pad"))
        about = Row(look, say("about.title"), key="network.about", icon="info", end_icon="forward")
        about.when_tapped(lambda: scene.navigator.go("about"))
        self.put(
            Card(look, self._ladder),
            Card(
                look,
                Line(self._link_icon, self._link, spacing=space("pad")),
                *self._facts,
                spacing=space("small"),
            ),
        )
        self.put(
            Card(
                look,
                Words(look, say("network.for-others"), letters="small", ink="faint"),
                self._does,
                self._served,
                Words(look, say("network.earned-nothing"), letters="small", ink="faint"),
            ),
            Card(
                look,
                self._takes_part,
                self._limited,
                Words(look, say("network.part-why"), letters="small", ink="faint"),
                spacing=space("pad"),
            ),
            Card(look, about, padding=0),
            side=1,
        )

    def _choices(self, name: str, text: Text) -> Choices:
        values = [(choice.value, choice.name) for choice in self.scene.models.settings.choices(name)]
        return Choices(self.scene.look, text, values, key=f"network.{name}", act=partial(self._choose, name))

    def _choose(self, name: str, value: Value) -> None:
        problem = self.scene.choose(name, value)
        if problem is not None:
            self.scene.tell(problem, True)
        self.refresh(self.scene.now_ms())

    def refresh(self, now_ms: int) -> None:
        """Show how things stand."""
        model, settings = self._model, self.scene.models.settings
        is_online = model.edge is not None
        more: tuple[Text | str, ...] = (model.height, "", model.edge or "", say("network.here"))
        for rung, tier, told in zip(self._ladder.rungs, model.tiers(), more, strict=True):
            rung.show(tier.name, tier.does, told, is_here=tier.is_here, is_linked=tier.is_linked)
        self._link_icon.show(ink="sure" if is_online else "waiting")
        self._link.say(model.connection, "text" if is_online else "waiting")
        told_facts = (model.trust, model.peers, model.clock, say("network.passive") if model.is_passive else None)
        for words, fact in zip(self._facts, told_facts, strict=True):
            words.say(fact or "")
        self._does.say(model.taking_part or "")
        self._served.say(model.served)
        self._takes_part.choose(settings.settings.takes_part)
        wanted = []
        if settings.serves:
            for name, choices in self._limits.items():
                choices.choose(getattr(settings.settings, name))
                wanted.append(choices)
        if self._limited.children[::-1] != wanted:
            self._limited.clear_widgets()
            for choices in wanted:
                self._limited.add_widget(choices)
