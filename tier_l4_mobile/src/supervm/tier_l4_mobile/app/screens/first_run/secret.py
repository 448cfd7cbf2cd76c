"""The passphrase of a new wallet, or its PIN where the platform's keystore guards it; then the wallet is made."""

from __future__ import annotations

from typing import ClassVar

import trio

from supervm.common.errors import CommonError

from ...errors import explain
from ...kit.boxes import Card
from ...kit.buttons import PushButton
from ...kit.fields import Field
from ...kit.look import space
from ...kit.words import Words
from ...models.first_run import secret_problem
from ...values import Text, say
from ..screen import Page
from .scene import FirstScene


class SecretPage(Page):
    """Asks for it twice."""

    title: ClassVar[Text] = say("secret.title")

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        self._scene = scene
        look, has_keystore = scene.look, scene.folder.has_keystore
        name = say("secret.name-pin") if has_keystore else say("secret.name")
        self._once = Field(look, name, key="secret.once", is_secret=True)
        self._again = Field(look, say("secret.again"), key="secret.again", is_secret=True)
        self._once.when_entered(self._again.take_keyboard)
        self._again.when_entered(self._make)
        self._button = PushButton(look, say("secret.make"), key="secret.make")
        self._button.when_tapped(self._make)
        why = say("secret.why-pin") if has_keystore else say("secret.why")
        self.put(
            Words(look, why, ink="faint"),
            Card(look, self._once, self._again, spacing=space("pad")),
            self._button,
        )

    def _make(self) -> None:
        scene, secret = self._scene, self._once.text
        problem = secret_problem(secret, self._again.text, has_keystore=scene.folder.has_keystore)
        self._tell(problem)
        if problem is not None or self._button.disabled:
            return
        self._button.disabled = True  # once: a wallet is being made

        async def work() -> Text | None:
            try:
                if scene.new is not None:
                    await trio.to_thread.run_sync(scene.folder.write_new, scene.new, secret)
                else:
                    await trio.to_thread.run_sync(scene.folder.write_imported, scene.imported, secret)
            except CommonError as error:
                return explain(error)
            return None

        def made(problem: Text | None) -> None:
            self._button.disabled = False
            self._tell(problem)
            if problem is None:
                scene.done(secret)

        scene.work(work, made)

    def _tell(self, problem: Text | None) -> None:
        is_again = problem is not None and problem.key == "secret.different"
        self._once.tell("" if problem is None or is_again else problem, is_wrong=True)
        self._again.tell(problem if problem is not None and is_again else "", is_wrong=True)
