"""Settings: language, light and dark, size of letters, and what is hidden."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from ..kit.boxes import Card
from ..kit.choices import Choices, Value
from ..kit.fields import SwitchRow
from ..kit.look import space
from ..values import Text, say
from .screen import Scene, Screen

CHOSEN: Final = {
    "language": say("settings.language"),
    "theme": say("settings.theme"),
    "text_percent": say("settings.text-percent"),
}
"""Settings of which one of a few values is chosen here, with their names."""


class SettingsScreen(Screen):
    """What the owner chooses."""

    title: ClassVar[Text] = say("settings.title")
    is_kept: ClassVar[bool] = True
    has_tabs: ClassVar[bool] = True

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look, model = scene.look, scene.models.settings
        self._choices: dict[str, Choices] = {}
        for name, text in CHOSEN.items():
            values = [(choice.value, choice.name) for choice in model.choices(name)]
            self._choices[name] = Choices(
                look,
                text,
                values,
                key=f"settings.{name}",
                act=partial(self._choose, name),
            )
        self._hidden = SwitchRow(
            look, say("settings.hidden"), key="settings.hidden", below=say("settings.hidden-below")
        )
        self._hidden.when_switched(lambda is_on: self._choose("is_hidden", is_on))
        self._redacts = SwitchRow(look, say("settings.redacts"), key="settings.redacts")
        self._redacts.when_switched(lambda is_on: self._choose("redacts", is_on))
        self.put(Card(look, *self._choices.values(), spacing=space("wide")))
        self.put(Card(look, self._hidden, self._redacts, padding=(0, space("gap"))), side=1)

    def _choose(self, name: str, value: Value) -> None:
        problem = self.scene.choose(name, value)
        if problem is not None:
            self.scene.tell(problem, True)
        self.refresh(self.scene.now_ms())

    def refresh(self, now_ms: int) -> None:
        """Show what is chosen."""
        model = self.scene.models.settings
        for name, choices in self._choices.items():
            choices.choose(getattr(model.settings, name))
        self._hidden.put(is_on=model.settings.is_hidden)
        self._redacts.put(is_on=model.settings.redacts)
