"""What a screen is, and what it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..files import OwnersFiles
from ..kit.look import Look
from ..kit.scroll import Columns
from ..session import Models, Session
from ..values import Text
from .navigator import Navigator

Work = Callable[[], Awaitable[Text | None]]
"""Something that takes longer than a frame; returns what went wrong, for people."""
Finished = Callable[[Text | None], object]
"""Told what `Work` returned."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What every screen is given.

    Attributes:
        models: what there is to show.
        session: asks the node, and does at it what the owner wants.
        look: what it is drawn with: theme, language, size of letters.
        navigator: goes to other screens and back.
        now_ms: tells the time, in ms of Unix time.
        work: does something beside the frames, while a line moves at the top; what went wrong is told in a notice,
            unless a second argument wants to be told instead; ``is_quiet`` leaves the line alone. Models are shown
            anew afterwards.
        tell: shows a notice; a second argument says whether it is bad news.
        choose: changes a setting, applies it and keeps it; returns what is wrong with it.
        files: writes files for the owner, and reads the node's; in a thread.
    """

    models: Models
    session: Session
    look: Look
    navigator: Navigator
    now_ms: Callable[[], int]
    work: Callable[..., None]
    tell: Callable[..., None]
    choose: Callable[[str, str | int | bool], Text | None]
    files: OwnersFiles


class Page(Columns):
    """What stands in a frame; its constructor makes its widgets once, `refresh` changes what changed.

    Widgets are put with `put`, into one column or two. Nothing here may take longer than a frame: what does goes
    through the scene's `work`.

    Args:
        look: what it is drawn with.

    Attributes:
        title: what stands in its head.
        is_kept: whether it stays as it is while the owner is elsewhere; else it is made anew each time.
        has_tabs: whether the bar of tabs stays below it on a phone.
    """

    title: ClassVar[Text]
    is_kept: ClassVar[bool] = False
    has_tabs: ClassVar[bool] = False

    def __init__(self, look: Look) -> None:
        super().__init__(look)

    def head(self) -> Text:
        """Return what stands in its head."""
        return self.title

    def actions(self) -> list[Widget]:
        """Return icons that stand at the end of its head."""
        return []

    def refresh(self, now_ms: int) -> None:
        """Show the models as they are now; called when it is entered, whenever they may have changed, and each second.

        Args:
            now_ms: the time, in ms of Unix time.
        """

    def entered(self) -> None:
        """The owner has come here."""

    def left(self) -> None:
        """The owner has gone elsewhere."""


class Screen(Page):
    """One screen of a wallet that is open.

    Args:
        scene: what it is given.
        arguments: what it was opened with (`Navigator.go`).
    """

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene.look)
        self.scene = scene
        self.arguments = arguments
