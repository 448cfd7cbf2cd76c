"""Asking whether Android may show the line of the service, once there is a wallet for it to run.

The reason is on the screen while Android asks. It asks no more after two refusals, so nothing is kept of the answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from .permissions import NOTIFY, Permissions

if TYPE_CHECKING:  # the window's module needs Kivy
    from ..face import Face, Story
    from ..folder import PhoneFolder

LOOK_S: Final = 1
"""Between two looks at whether there is a wallet by now."""


def telling(story: Story, folder: PhoneFolder, permissions: Permissions) -> Story:
    """Return what `story` is, with the question beside it.

    Args:
        story: the app's life.
        folder: whose wallet the service runs.
        permissions: asks.
    """

    async def both(face: Face) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(_ask, face, folder, permissions))
            await story(face)

    return both


async def _ask(face: Face, folder: PhoneFolder, permissions: Permissions) -> None:
    if not permissions.must_ask(NOTIFY):
        return
    while await trio.to_thread.run_sync(folder.lacks):
        await trio.sleep(LOOK_S)
    if NOTIFY.why is not None:
        face.tell(NOTIFY.why)
    if not await permissions.ask(NOTIFY) and NOTIFY.without is not None:
        face.tell(NOTIFY.without)
