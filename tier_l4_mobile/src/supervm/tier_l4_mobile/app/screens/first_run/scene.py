"""What the pages of a first run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from supervm.common.wallet.first_run import NewWords

from ...folder import PhoneFolder
from ...kit.look import Look
from ...values import Text
from ..navigator import Navigator


@dataclass(slots=True)
class FirstScene:
    """What every page of a first run is given, and what it has found out for those after it.

    Attributes:
        folder: becomes a wallet.
        look: what it is drawn with.
        navigator: goes to other pages and back.
        work: does something beside the frames (`screen.Scene.work`).
        choose: changes a setting (`screen.Scene.choose`).
        done: told the passphrase or PIN once the wallet is made.
        new: new words, on their way to a wallet; None: words are imported.
        imported: words that their owner has; empty: there are none.
        anchor: text of an anchor whose code was scanned; empty: there is none.
        is_import: what the owner wants.
    """

    folder: PhoneFolder
    look: Look
    navigator: Navigator
    work: Callable[..., None]
    choose: Callable[[str, str | int | bool], Text | None]
    done: Callable[[str], None]
    new: NewWords | None = None
    imported: str = ""
    anchor: str = ""
    is_import: bool = False

    def after_welcome(self) -> None:
        """Go on to what the folder lacks, then to the words."""
        if self.folder.lacks() == "network":
            self.navigator.go("network")
        else:
            self.after_network()

    def after_network(self) -> None:
        """Go on to the words."""
        if self.is_import:
            self.new = None
            self.navigator.go("import")
        else:
            self.new = self.folder.new_words()
            self.navigator.go("words")
