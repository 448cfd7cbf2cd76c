"""What happens in the app from its start on: first run, locked, open, and what to do when something is in the way.

Theory of operation. The folder decides where it begins. A whole folder is opened through `link`: the node that runs in
it, or one that is opened here - locked, so that it follows its accounts and submits what is signed while nobody has
typed a passphrase. The screens of an open wallet stay until the node says that it is locked, the app was not touched
for long, or the node is gone; then it goes on from there. A node that cannot be opened is a sentence and a button.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from supervm.common.errors import CommonError
from supervm.common.services.lines import NoOwner, RequestRefused

from ...messages import Info, Unlock
from ..errors import explain
from ..face import Face
from ..folder import PhoneFolder
from ..link import NodeLink, open_link
from ..look_of import System, look_values
from ..models.lock import LockModel
from ..models.settings import SettingsModel
from ..session import Session, new_models
from ..settings_file import load_settings, save_settings
from ..values import Text
from .first_run.flow import first_run
from .idle import Idle
from .lock import locked
from .owner import OwnersApp
from .trouble import starting, trouble

WATCH_S = 1
"""Between two looks at whether it is time to lock."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the app is told of the machine that it runs on.

    Attributes:
        system: what the system likes.
        now_ms: tells the time, in ms of Unix time.
        uptime_ms: a clock that nobody sets, in ms.
        new_key: makes names of payments that no other has.
    """

    system: System
    now_ms: Callable[[], int]
    uptime_ms: Callable[[], int]
    new_key: Callable[[], str]


class Life:
    """The app's life in one folder.

    Args:
        folder: the phone's.
        outside: the machine.
    """

    def __init__(self, folder: PhoneFolder, outside: Outside) -> None:
        self._folder = folder
        self._outside = outside
        self._settings = SettingsModel()
        self._secret = ""

    async def story(self, face: Face) -> None:
        """Go on until cancelled (`face.Story`)."""
        self._settings.settings, problem = await trio.to_thread.run_sync(load_settings, self._folder.directory)
        theme, language, percent = look_values(self._settings.settings, self._outside.system)
        face.look.change(theme=theme, language=language, percent=percent)
        if problem is not None:
            face.tell(problem, True)
        while True:
            failure = await self._part(face)
            if failure is not None:
                await trouble(face, failure, self._outside.now_ms)

    async def _part(self, face: Face) -> Text | None:
        """Go from the folder as it is to the end of the link to its node; return what keeps it from going on."""
        try:
            if await trio.to_thread.run_sync(self._folder.lacks):
                await self._first_run(face)
            starting(face, self._outside.now_ms)
            config = await trio.to_thread.run_sync(self._folder.config)
            async with open_link(config) as link:
                await self._linked(face, link)
        except (CommonError, RequestRefused) as error:
            return explain(error)
        return None

    async def _first_run(self, face: Face) -> None:
        outside = self._outside
        self._secret = await first_run(face, self._folder, self._settings, now_ms=outside.now_ms, system=outside.system)
        try:
            await trio.to_thread.run_sync(save_settings, self._folder.directory, self._settings.settings)
        except OSError as error:
            face.tell(explain(error), True)

    async def _linked(self, face: Face, link: NodeLink) -> None:
        """Be locked and open by turns, until the node is gone."""
        outside = self._outside
        session = Session(link.call, new_models(self._settings, outside.new_key), outside.now_ms)
        secret, self._secret = self._secret, ""
        try:
            if secret:  # just chosen: nobody is to type it once more
                await link.call(Unlock(secret))
            while True:
                if (await link.call(Info()))["locked"]:
                    await self._locked(face, session)
                if await self._open(face, session):
                    return
        except NoOwner:
            return

    async def _locked(self, face: Face, session: Session) -> None:
        now_ms = self._outside.now_ms()
        guarded = await trio.to_thread.run_sync(self._folder.is_guarded)
        count, wait_us = await trio.to_thread.run_sync(self._folder.wait, now_ms * 1000)
        model = LockModel(is_guarded=guarded)
        model.take_wait(count, wait_us, now_ms)
        await locked(face, model, session.unlock, now_ms=self._outside.now_ms)

    async def _open(self, face: Face, session: Session) -> bool:
        """Show the screens while the wallet is open; return whether the node is gone."""
        outside = self._outside
        is_gone = False
        app = OwnersApp(face, session, outside.now_ms, directory=self._folder.directory, system=outside.system)
        idle = Idle(face, outside.uptime_ms)
        idle.begin()
        try:
            async with trio.open_nursery() as nursery:

                def told(problem: Text | None) -> None:
                    nonlocal is_gone
                    is_gone = is_gone or (problem is not None and problem.key == "error.gone")
                    if is_gone or session.models.home.is_locked:
                        nursery.cancel_scope.cancel()

                nursery.start_soon(app.run, told)
                while not idle.is_over(self._settings.settings.lock_after_s):
                    await trio.sleep(WATCH_S)
                told(await session.lock())
                nursery.cancel_scope.cancel()
        finally:
            idle.end()
        return is_gone
