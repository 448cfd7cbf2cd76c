"""Writing a file for the owner, and saying where it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import trio
from kivy.core.clipboard import Clipboard

from supervm.common.services.lines import NoOwner, RequestRefused

from ..errors import explain
from ..kit.boxes import Column
from ..kit.look import space
from ..kit.told import Dialog
from ..kit.words import Words
from ..values import Text, say
from .screen import Scene


def keep_file(
    scene: Scene, title: Text, name: str, ending: str, read: Callable[[], Awaitable[Sequence[bytes] | None]]
) -> None:
    """Write a new file beside the frames, then show where it is.

    Args:
        scene: of the screen that asks.
        title: what the message is called.
        name: of the file, without its ending.
        ending: with its point.
        read: returns what is written; None: there is nothing, and whoever reads has said why.
    """

    async def work() -> Text | None:
        try:
            parts = await read()
            if parts is None:
                return None
            path = await trio.to_thread.run_sync(partial(scene.files.keep, name, ending, parts))
        except (RequestRefused, NoOwner) as error:
            return explain(error)
        except OSError as error:
            return say("saved.not", sentence=error.strerror or type(error).__name__)
        _show(scene, title, path)
        return None

    scene.work(work)


def copy(scene: Scene, text: str) -> None:
    """Put a text where it can be pasted from."""
    if text:
        Clipboard.copy(text)
        scene.tell(say("receive.copied"))


def _show(scene: Scene, title: Text, path: Path) -> None:
    look = scene.look
    body = Column(
        Words(look, say("saved.where"), ink="faint"), Words(look, str(path), letters="small"), spacing=space("gap")
    )
    Dialog(
        look,
        title,
        body,
        yes=say("saved.copy"),
        no=say("saved.done"),
        act=lambda: copy(scene, str(path)),
    ).open()
