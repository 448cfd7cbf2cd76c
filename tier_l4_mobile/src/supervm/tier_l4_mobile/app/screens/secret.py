"""Another passphrase or PIN in place of the one that opens the wallet."""

from __future__ import annotations

from typing import Any, ClassVar

import trio

from supervm.common.errors import InputError
from supervm.common.wallet.first_run import check_secret

from ..errors import explain
from ..kit.boxes import Card
from ..kit.buttons import PushButton
from ..kit.fields import Field
from ..kit.look import space
from ..kit.words import Words
from ..values import Text, say
from .screen import Scene, Screen


class SecretScreen(Screen):
    """The form."""

    title: ClassVar[Text] = say("change.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._is_guarded = False
        self._old = Field(look, say("change.present"), key="secret.old", is_secret=True)
        self._new = Field(look, say("change.new"), key="secret.new", is_secret=True)
        self._again = Field(look, say("change.again"), key="secret.again", is_secret=True)
        self._new.tell(say("change.hint"))
        self._button = PushButton(look, say("change.change"), key="secret.change", icon="lock")
        self._button.when_tapped(self._change)
        self._again.when_entered(self._change)
        self.put(
            Words(look, say("change.why"), ink="faint"),
            Card(look, self._old, self._new, self._again, self._button, spacing=space("pad")),
        )

    def entered(self) -> None:
        """Find out whether a PIN will do."""

        async def work() -> Text | None:
            try:
                self._is_guarded = await trio.to_thread.run_sync(self.scene.files.is_guarded)
            except InputError as error:
                return explain(error)
            return None

        self.scene.work(work)

    def _weakness(self, secret: str) -> Text | None:
        """Return why a new passphrase or PIN will not do."""
        try:
            check_secret(secret, guarded=self._is_guarded)
        except InputError as error:
            return explain(error)
        return None

    def _change(self) -> None:
        """Change it, once all three are right."""
        if self._button.disabled:
            return
        new = self._new.text
        weak = self._weakness(new)
        self._old.tell("" if self._old.text else say("change.old-empty"), is_wrong=True)
        self._new.tell(weak or "", is_wrong=True)
        self._again.tell("" if self._again.text == new else say("change.differ"), is_wrong=True)
        if weak is not None or not self._old.text or self._again.text != new:
            return
        self._button.disabled = True
        old = self._old.text
        self.scene.work(lambda: self.scene.session.change_secret(old, new), self._done)

    def _done(self, problem: Text | None) -> None:
        self._button.disabled = False
        self._old.tell(problem or "", is_wrong=True)
        if problem is None:
            self.left()
            self.scene.tell(say("change.changed"))
            self.scene.navigator.back()

    def left(self) -> None:
        """Forget what was typed."""
        for field in (self._old, self._new, self._again):
            field.text = ""
