"""How the app starts the service that runs its node (`service`), and waits until it can be talked to."""

from __future__ import annotations

from typing import Final

import trio

from supervm.common.host.config import NodeConfig
from supervm.common.services.client import answers_within
from supervm.common.services.lines import SOCKET_FILE

from ..language import Language, language_of
from ..settings_file import load_settings
from ..values import say
from .likes import activity, system_language

SERVICE_CLASS: Final = "org.supervm.wallet.ServiceNode"
"""Made by python-for-android from buildozer.spec: its package and the name of the service."""
READY_S: Final = 20
"""Longest that the app waits for the service; then it opens the node itself."""


def start_service(code: str) -> bool:
    """Ask Android to run the service; if it runs already nothing happens.

    Args:
        code: the language of the line that Android shows as long as it runs; empty: the phone's.

    Returns:
        Whether Android was asked: it refuses while the app is not looked at.

    Raises:
        ImportError: this is no app's process on Android.
    """
    from jnius import JavaException, autoclass

    language = Language(code or language_of(system_language()))
    title, text = language.write(say("service.title")), language.write(say("service.text"))
    try:
        autoclass(SERVICE_CLASS).start(activity(), "", title, text, "")
    except JavaException:
        return False
    return True


async def start_node(config: NodeConfig) -> bool:
    """Start the service, and wait until the node of the folder answers.

    Returns:
        Whether it did in time; False, at once, where Android runs no service: in a terminal on a phone, or while the
        app is not looked at.
    """
    settings, _ = await trio.to_thread.run_sync(load_settings, config.directory)
    try:
        is_asked = start_service(settings.language)
    except ImportError:
        return False
    return is_asked and await answers_within(config.directory.joinpath(SOCKET_FILE), READY_S)
