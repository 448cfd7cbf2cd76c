"""The first run from its first page to a wallet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from ...face import Face
from ...folder import PhoneFolder
from ...look_of import System
from ...models.settings import SettingsModel
from ..chosen import Chooser
from ..navigator import Place
from ..screen import Page
from ..stage import Stage
from .anchor import AnchorPage
from .import_words import ImportPage
from .network import NetworkPage
from .scene import FirstScene
from .secret import SecretPage
from .welcome import WelcomePage
from .words import AskedPage, WordsPage

PAGES: Final[dict[str, Callable[[FirstScene], Page]]] = {
    "welcome": WelcomePage,
    "network": NetworkPage,
    "anchor": AnchorPage,
    "words": WordsPage,
    "asked": AskedPage,
    "import": ImportPage,
    "secret": SecretPage,
}
"""Name -> page."""


async def first_run(
    face: Face, folder: PhoneFolder, settings: SettingsModel, *, now_ms: Callable[[], int], system: System
) -> str:
    """Show the first run until the folder holds a wallet; return the passphrase or PIN that opens it."""
    done = trio.Event()
    secrets: list[str] = []

    def made(secret: str) -> None:
        secrets.append(secret)
        done.set()

    def make(place: Place) -> Page:
        return PAGES[place.name](scene)

    stage = Stage(face, make, tabs=("welcome",), places={}, now_ms=now_ms)
    # the folder may not be there yet: what is chosen now is kept with the next change of settings
    chooser = Chooser(settings, face.look, system, None, stage.work)
    scene = FirstScene(folder, face.look, stage.navigator, stage.work, chooser.choose, made)
    stage.begin()
    try:
        await done.wait()
    finally:
        stage.end()
    return secrets[0]
