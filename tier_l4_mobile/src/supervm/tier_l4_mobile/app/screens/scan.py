"""Scanner: a camera where there is one, pictures and files, and what was copied; it leads to where that belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import trio
from kivy.core.window import Window

from ...errors import MobileError
from ...handover.qr import PICTURE_BYTES_MAX, PictureError, codes_in, needs
from ...scanned import look_at
from ..files import NoFile, read_given
from ..kit import clip
from ..kit.boxes import Card, Line
from ..kit.buttons import OUTLINED, PushButton
from ..kit.fields import Field
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.viewfinder import Viewfinder
from ..kit.words import Words
from ..models.scan import Found, ToPay, ToTake
from ..values import Text, say
from .screen import Scene, Screen

BYTES_MAX: Final = PICTURE_BYTES_MAX
"""Longest file that is opened."""


class ScanScreen(Screen):
    """Takes what is scanned."""

    title: ClassVar[Text] = say("scan.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.scan
        self._is_taken = False
        self._view = Viewfinder(look, scene.work, self._seen)
        self._note_icon = Icon(look, "scan", ink="waiting", icon_dp=20)
        self._note = Words(look)
        self._note_line = Line(self._note_icon, self._note)
        self._card = Card(look, self._view, spacing=space("pad"))
        paste = PushButton(look, say("scan.paste"), key="scan.paste", kind=OUTLINED, icon="paste")
        paste.when_tapped(self._paste)
        self._file = Field(look, say("scan.file"), key="scan.file", hint=say("scan.file-hint"))
        open_it = PushButton(look, say("scan.open"), key="scan.open", kind=OUTLINED, icon="file")
        open_it.when_tapped(lambda: self._open(self._file.text))
        self._file.when_entered(lambda: self._open(self._file.text))
        self.put(self._card)
        self.put(paste, Card(look, self._file, open_it), side=1)

    def entered(self) -> None:
        """Begin anew, with the camera on."""
        self._model.restart()
        Window.bind(on_drop_file=self._dropped)
        self._view.start()

    def left(self) -> None:
        """Switch the camera off."""
        Window.unbind(on_drop_file=self._dropped)
        self._view.stop()

    def refresh(self, now_ms: int) -> None:
        """Show what is to be said of what was scanned."""
        note = self._model.note
        have, _ = self._model.progress
        self._note.say(note or "")
        is_good = note is None or note.key == "scan.progress"
        if (note is not None) != (self._note_line.parent is not None):
            if note is None:
                self._card.remove_widget(self._note_line)
            else:
                self._card.add_widget(self._note_line)
        self._note_icon.show("scan" if have else "warning", "sure" if is_good else "bad")

    # --- what is scanned ----------------------------------------------------------------------------------------------

    def _seen(self, codes: list[bytes]) -> None:
        found = self._model.take_codes(codes)
        self.scene.work(lambda: self._go(found), is_quiet=True)

    def _paste(self) -> None:
        text = clip.paste()
        if not text:
            self._model.note = say("scan.nothing")
            self.refresh(self.scene.now_ms())
            return
        self.scene.work(lambda: self._go(self._model.take(text)))

    def _dropped(self, _window: object, name: bytes, *_: object) -> None:
        self._open(name.decode(errors="replace"))

    def _open(self, typed: str) -> None:
        if typed.strip():
            self.scene.work(lambda: self._read_file(Path(typed.strip()).expanduser()))

    async def _read_file(self, path: Path) -> Text | None:
        try:
            data, codes = await trio.to_thread.run_sync(read_file, path)
        except OSError as error:
            return say("scan.unreadable", sentence=error.strerror or type(error).__name__)
        except NoFile:
            return say("scan.no-file")
        except FileTooLong:
            return say("scan.too-long")
        except MobileError:
            self._model.note = say("scan.no-reader")
            return None
        return await self._go(self._model.take(data) if codes is None else self._model.take_codes(codes))

    async def _go(self, found: Found) -> Text | None:
        """Go where that belongs; only the first thing that leads anywhere does."""
        if found is None or self._is_taken:
            return None
        self._is_taken = True
        if isinstance(found, ToPay):
            self.scene.models.pay.take_scanned(found.request)
            self.scene.navigator.lead("pay")
            return None
        return await self._take(found)

    async def _take(self, found: ToTake) -> Text | None:
        problem = await self.scene.session.take_handover(found.container)
        if problem is None:
            self.scene.navigator.lead("handover")
        else:
            self._is_taken = False
            self._model.restart()
            self._model.note = problem
        return None


class FileTooLong(MobileError):
    """A file is longer than anything that is read here."""


def read_file(path: Path) -> tuple[bytes, list[bytes] | None]:
    """Return the bytes of a file, and what the codes in it say; None if it is no picture. Takes its time.

    Raises:
        OSError: it cannot be read.
        NoFile: it is none.
        FileTooLong: it is longer than `BYTES_MAX`.
        MobileError: pictures cannot be read here.
    """
    data = read_given(path, BYTES_MAX)
    if len(data) > BYTES_MAX:
        raise FileTooLong(f"the file is longer than {BYTES_MAX} bytes, which is more than anything that is read here")
    if look_at(data).kind != "other":
        return data, None
    needs()
    try:
        return data, codes_in(data)
    except PictureError:  # no picture either: the model says what it is
        return data, None
