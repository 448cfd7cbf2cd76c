"""Give payments to another phone: pictures one after another, or a file.

The pictures of a hand-over never end (`handover.frames`): each says something about all of it, so it does not matter
which of them the other phone misses. They are made beside the frames, a few ahead of what is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final

import trio
from kivy.metrics import dp

from ..kit.boxes import Card, Column
from ..kit.buttons import OUTLINED, PushButton
from ..kit.choices import Choices, Value
from ..kit.fields import Field
from ..kit.look import space
from ..kit.qr import Modules, QrPicture, modules_of
from ..kit.ticker import Ticker
from ..kit.words import Words
from ..values import Text, say
from .screen import Scene, Screen

CODE_DP_MAX: Final = 440
"""Height of the pictures at most; on a phone they are as high as it is wide."""
AHEAD: Final = 12
"""Pictures that are made ahead of what is shown."""
SPEEDS: Final = (("slow", say("give.slow")), ("normal", say("give.normal")), ("fast", say("give.fast")))
"""How fast pictures may follow one another, with their names."""
ENDING: Final = ".svmh"
"""How the names of files with hand-overs end."""


class GiveScreen(Screen):
    """What goes to another phone; `arguments` name the payments by their ``ids``.

    Attributes:
        rates: pictures a second of each speed; a camera of ten and more frames a second reads the normal one.
        folder: where files are put unless their owner says otherwise.
    """

    title: ClassVar[Text] = say("give.title")
    rates: ClassVar[Mapping[str, int]] = {"slow": 3, "normal": 6, "fast": 12}
    folder: ClassVar[Callable[[], Path]] = Path.home

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._ids: tuple[str, ...] = tuple(arguments["ids"])
        self._model = scene.models.handover
        self._model.given = None
        self._frames: Iterator[bytes] | None = None
        self._ready: deque[tuple[bytes, Modules]] = deque()
        self._is_making = False
        self._number = 0
        self._ticker = Ticker(self._next)
        self._code = QrPicture(size_hint_y=None)
        self._code.bind(width=self._fit)
        self._progress = Words(look, letters="small", ink="faint", halign="center")
        self._speed = Choices(
            look,
            say("give.speed"),
            SPEEDS,
            key="give.speed",
            act=self._choose_speed,
        )
        self._speed.choose("normal")
        self._start = PushButton(look, say("give.start"), key="give.start", icon="qr")
        self._start.when_tapped(self._begin)
        self._file = Field(look, say("give.file"), key="give.file")
        self._file.text = str(type(self).folder().joinpath(f"payment-{self._ids[0][:8]}{ENDING}"))
        save = PushButton(look, say("give.save"), key="give.save", kind=OUTLINED, icon="file")
        save.when_tapped(self._save)
        done = PushButton(look, say("paying.done"), key="give.done", kind=OUTLINED)
        done.when_tapped(lambda: scene.navigator.lead("handover"))
        self._problem = Words(look, ink="bad")
        self._show = Column(self._start)
        self._hint = Words(look, self._why(), ink="faint")
        self.put(Card(look, self._hint, self._problem, self._show, spacing=space("pad")))
        self.put(Card(look, self._file, save), done)  # in one column: the pictures have all the width there is

    def _why(self) -> Text:
        """Return what it means to hand over what is named."""
        known = [self._model.promise(identity) for identity in self._ids]
        if None in known:
            return say("give.why-own")
        return (
            say("give.why-carry") if any(line is not None and line.is_open for line in known) else say("give.why-back")
        )

    # --- pictures -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._export(self._play)

    def _export(self, then: Callable[[], None]) -> None:
        """Let the node release what goes, once, and go on."""
        if self._model.given is not None:
            then()
            return

        def done(problem: Text | None) -> None:
            self._problem.say(problem or "")
            if problem is None:
                then()

        self.scene.work(lambda: self.scene.session.hand_over(self._ids), done)

    def _play(self) -> None:
        given = self._model.given
        assert given is not None
        self._frames = given.frames()
        self._hint.say(say("give.hold"))
        self._show.clear_widgets()
        for thing in (self._code, self._progress, self._speed):
            self._show.add_widget(thing)
        self._ticker.start(self.rates["normal"])
        self._next()

    def _next(self) -> None:
        """Show the next picture, if it is made already, and see to it that there are more."""
        given = self._model.given
        if self._ready and given is not None:
            _, modules = self._ready.popleft()
            self._number += 1
            self._code.show(modules)
            self._progress.say(say("give.progress", number=self._number, need=given.frames_min))
        if len(self._ready) < AHEAD // 2 and not self._is_making and self._frames is not None:
            self._is_making = True
            frames = tuple(islice(self._frames, AHEAD))
            self.scene.work(lambda: self._make(frames), is_quiet=True)

    async def _make(self, frames: tuple[bytes, ...]) -> None:
        try:
            for frame in frames:
                self._ready.append((frame, await trio.to_thread.run_sync(modules_of, frame)))
        finally:
            self._is_making = False

    def _fit(self, *_: object) -> None:
        self._code.height = min(self._code.width, dp(CODE_DP_MAX))

    def _choose_speed(self, value: Value) -> None:
        self._speed.choose(value)
        self._ticker.start(self.rates[str(value)])

    def left(self) -> None:
        """Show no more of them; what was released stays so."""
        self._ticker.stop()
        self._model.given = None

    # --- a file -------------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        path = Path(self._file.text.strip()).expanduser()
        self._export(lambda: self.scene.work(lambda: self._write(path), self._saved))

    async def _write(self, path: Path) -> Text | None:
        given = self._model.given
        assert given is not None
        try:
            await trio.to_thread.run_sync(write_new, path, given.container)
        except FileExistsError:
            return say("give.exists")
        except OSError as error:
            return say("give.not-saved", sentence=error.strerror or type(error).__name__)
        return None

    def _saved(self, problem: Text | None) -> None:
        self._file.tell(problem or say("give.saved"), is_wrong=problem is not None)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        OSError: it is there, or cannot be written.
    """
    with path.open("xb") as file:
        file.write(data)
