"""One contact: whose address it is, and whether its balance is watched."""

from __future__ import annotations

from typing import Any, ClassVar

from kivy.core.clipboard import Clipboard

from ..kit.boxes import Card
from ..kit.buttons import DANGER, OUTLINED, PLAIN, PushButton
from ..kit.fields import Field, SwitchRow
from ..kit.groups import Groups
from ..kit.look import space
from ..kit.told import Dialog
from ..models.groups import groups_of
from ..values import Text, say
from .saved import copy
from .screen import Scene, Screen


class ContactScreen(Screen):
    """The form; `arguments` may name an ``address``, and whether ``is_watched`` is on for a new one."""

    title: ClassVar[Text] = say("contact.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.contacts
        self._form = form = self._model.form(str(arguments.get("address", "")))
        if form.is_new:
            form.is_watched = bool(arguments.get("is_watched", False))
        self._is_shown_wrong = False
        self._address = Field(look, say("contact.address"), key="contact.address", lines=3)
        self._address.text = form.address
        self._address.when_typed(self._typed_address)
        self._name = Field(look, say("contact.name"), key="contact.name", hint=say("contact.name-hint"))
        self._name.text = form.name
        self._name.when_typed(self._typed_name)
        self._note = Field(look, say("contact.note"), key="contact.note")
        self._note.text = form.note
        self._note.when_typed(self._typed_note)
        self._watched = SwitchRow(look, say("contact.watch"), key="contact.watch", below=say("contact.watch-below"))
        self._watched.put(is_on=form.is_watched)
        self._watched.when_switched(self._watch)
        paste = PushButton(look, say("scan.paste"), key="contact.paste", kind=PLAIN, icon="paste")
        paste.when_tapped(self._paste)
        save = PushButton(look, say("contact.save"), key="contact.save")
        save.when_tapped(self._save)
        self._name.when_entered(self._save)
        groups = Groups(look)
        groups.show(groups_of(form.address) if not form.is_new else ())
        whose = [self._address, paste] if form.is_new else [groups, self._copy_button()]
        self.put(
            Card(look, self._name, *whose, spacing=space("pad")),
        )
        self.put(
            Card(look, self._note),
            Card(look, self._watched, padding=0),
            save,
            *([] if form.is_new else self._more()),
            side=1,
        )

    def head(self) -> Text:
        """Return what stands in its head."""
        return say("contact.new") if self._form.is_new else self.title

    def _copy_button(self) -> PushButton:
        button = PushButton(self.scene.look, say("receive.copy"), key="contact.copy", kind=PLAIN, icon="copy")
        button.when_tapped(lambda: copy(self.scene, self._form.address))
        return button

    def _more(self) -> list[PushButton]:
        look = self.scene.look
        pay = PushButton(look, say("contact.pay"), key="contact.pay", kind=OUTLINED, icon="pay")
        pay.when_tapped(self._pay)
        remove = PushButton(look, say("contact.remove"), key="contact.remove", kind=DANGER)
        remove.when_tapped(self._ask_to_remove)
        return [pay, remove]

    # --- what is typed ------------------------------------------------------------------------------------------------

    def _typed_address(self, text: str) -> None:
        self._form.address = text
        self._check()

    def _typed_name(self, text: str) -> None:
        self._form.name = text
        self._check()

    def _typed_note(self, text: str) -> None:
        self._form.note = text

    def _watch(self, is_on: bool) -> None:
        self._form.is_watched = is_on

    def _paste(self) -> None:
        text = str(Clipboard.paste() or "")
        if text.strip():
            self._address.text = text.strip()[:200]
        else:
            self.scene.tell(say("scan.nothing"), True)

    def _check(self) -> bool:
        """Return whether it can be kept; what is wrong is told once somebody has tried to."""
        address, name = self._model.address_problem(self._form), self._model.name_problem(self._form)
        if self._is_shown_wrong:
            self._address.tell(address or "", is_wrong=True)
            self._name.tell(name or "", is_wrong=True)
        return address is None and name is None

    # --- what is done -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        self._is_shown_wrong = True
        if not self._check():
            return
        form, session = self._form, self.scene.session
        self.scene.work(
            lambda: session.put_contact(form.plain_address, form.name, form.note, watched=form.is_watched), self._done
        )

    def _pay(self) -> None:
        self.scene.models.pay.clear()
        self.scene.models.pay.to = self._form.name
        self.scene.navigator.go("pay")

    def _ask_to_remove(self) -> None:
        session, address = self.scene.session, self._form.address
        Dialog(
            self.scene.look,
            say("contact.remove-title"),
            say("contact.remove-why"),
            yes=say("contact.remove"),
            no=say("waiting.cancel-no"),
            kind=DANGER,
            act=lambda: self.scene.work(lambda: session.remove_contact(address), self._done),
        ).open()

    def _done(self, problem: Text | None) -> None:
        if problem is not None:
            self.scene.tell(problem, True)
        else:
            self.scene.navigator.back()
