"""Settings: how the app looks, what guards the wallet, whom the owner knows, and help."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

from ..kit.boxes import Card, Row
from ..kit.buttons import OUTLINED, PushButton
from ..kit.choices import Choices, Value
from ..kit.fields import SwitchRow
from ..kit.look import Look, space
from ..kit.words import Words
from ..values import Amount, Text, say
from .screen import Scene, Screen

CHOSEN: Final[Mapping[str, Text]] = {
    "language": say("settings.language"),
    "theme": say("settings.theme"),
    "text_percent": say("settings.text-percent"),
    "lock_after_s": say("settings.lock-after"),
}
"""Settings of which one of a few values is chosen here, with their names."""
SAMPLE: Final = Amount(12_500_000_000)
"""What the size of letters is shown with."""


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
        lock = PushButton(look, say("settings.lock-now"), key="settings.lock", kind=OUTLINED, icon="lock")
        lock.when_tapped(lambda: scene.work(scene.session.lock))
        self._contacts = self._row("contacts", say("contacts.title"), "person")
        self._watched = self._row("watched", say("watched.title"), "eye")
        choices = self._choices
        self.put(
            Card(
                look,
                choices["language"],
                choices["theme"],
                choices["text_percent"],
                Preview(look),
                spacing=space("wide"),
            ),
        )
        self.put(
            Card(look, self._contacts, self._watched, padding=0, spacing=0),
            Card(
                look,
                self._row("backup", say("backup.title"), "key"),
                self._row("passphrase", say("change.title"), "lock"),
                self._hidden,
                padding=0,
                spacing=0,
            ),
            Card(look, choices["lock_after_s"], lock, spacing=space("pad")),
            Card(
                look,
                self._row("logs", say("logs.title"), "file"),
                self._row("about", say("about.title"), "info"),
                padding=0,
                spacing=0,
            ),
            side=1,
        )

    def _row(self, name: str, text: Text, icon: str) -> Row:
        row = Row(self.scene.look, text, key=f"settings.{name}", icon=icon, end_icon="forward")
        row.when_tapped(lambda: self.scene.navigator.go(name))
        return row

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
        self._contacts.below.say(say("contacts.count", n=self.scene.models.contacts.count))
        self._watched.below.say(say("watched.count", n=len(model.watched(now_ms))))


class Preview(Card):
    """A few words as they are read everywhere in the app."""

    def __init__(self, look: Look) -> None:
        super().__init__(
            look,
            Words(look, say("settings.preview"), letters="small", ink="faint"),
            Words(look, say("home.amount", amount=SAMPLE), letters="title"),
            Words(look, say("settings.preview-text")),
        )

    def dress(self) -> None:
        """Lie in its card as a field does."""
        self.ground.paint(self.look, "field", "line")
