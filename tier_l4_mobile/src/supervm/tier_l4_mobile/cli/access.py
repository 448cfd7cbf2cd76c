"""How a command reaches the wallet in a directory: through its owner process, or by becoming the owner.

A directory has one owner (surface.md). If a node runs there, requests go over its control socket. If not, the command
runs the node itself for as long as it takes (`supervm.common.host.open`): with its edges, or without any where it only
changes or reads the queue. Only then is what a node needs imported, which takes a second on a small machine.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE, NodeConfig, load_config
from supervm.common.services.lines import SOCKET_FILE, NoOwner, RequestRefused
from supervm.common.services.once import call_sync
from supervm.common.wallet import read_passphrase
from supervm.common.wallet.strength import passphrase_problem

from ..messages import Info, MobileRequest
from ..options import OPTIONS

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")

Ask = Callable[[MobileRequest], Awaitable[Any]]
"""Gives a request to the node that this process runs."""

_POLL_S: Final = 0.05


def directory_option(function: _F) -> _F:
    """Give a command ``--dir`` as its argument `directory`."""
    return click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        required=True,
        help="The node's folder (made by `supervm init l4`).",
    )(function)


def passphrase_option(function: _F) -> _F:
    """Give a command ``--passphrase-file`` as its argument `passphrase_file`."""
    return click.option(
        "--passphrase-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File whose one line opens the wallet [default: SUPERVM_PASSPHRASE, else you are asked].",
    )(function)


def passphrase_of(file: Path | None, *, new: bool = False) -> str:
    """Return the wallet's passphrase from wherever it is given.

    A new one is asked for twice, and again until it is good enough; one from a file or a variable is taken as it is:
    whoever writes programs sees to that.
    """
    return read_passphrase(
        file=file,
        environ=os.environ,
        prompt=(lambda question: _prompt(question.rstrip(": "), new=new)) if sys.stdin.isatty() else None,
    )


def _prompt(question: str, *, new: bool) -> str:
    while True:
        text: str = click.prompt(question, hide_input=True, confirmation_prompt=new, err=True)
        problem = passphrase_problem(text) if new else ""
        if not problem:
            return text
        click.echo(problem, err=True)


def new_passphrase_of(file: Path | None) -> str:
    """Return the passphrase that is to take the place of another; the environment has the other one."""
    if file is None and not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for the new passphrase: give --new-passphrase-file FILE")
    if file is not None:
        return read_passphrase(file=file, environ={}, prompt=None)
    return _prompt("New passphrase", new=True)


def config_of(directory: Path) -> NodeConfig:
    """Return the configuration of the node in `directory`."""
    return load_config(directory / CONFIG_FILE, tier=4, options=OPTIONS)


def ask_owner(directory: Path, request: MobileRequest) -> Any:
    """Ask the process that owns `directory`.

    Raises:
        NoOwner: nobody answers there.
        RequestRefused: it says what was wrong.
    """
    return call_sync(directory / SOCKET_FILE, request)


def ask_offline(directory: Path, request: MobileRequest, passphrase_file: Path | None) -> Any:
    """Become the owner, let the core answer without any edge, and return the answer once it is durable.

    Raises:
        RequestRefused: the core says what was wrong.
    """
    import trio

    config = replace(config_of(directory), peers=())

    async def work(ask: Ask) -> Any:
        return await ask(request)

    return trio.run(_own, config, work, passphrase_of(passphrase_file), math.inf)


def run_owner(
    directory: Path, work: Callable[[Ask], Awaitable[_T]], passphrase_file: Path | None, *, timeout_s: float
) -> _T | None:
    """Become the owner, run the node with its edges, and return what `work` returns; None if it takes too long."""
    import trio

    return trio.run(_own, config_of(directory), work, passphrase_of(passphrase_file), timeout_s)


async def _own(
    config: NodeConfig, work: Callable[[Ask], Awaitable[_T]], passphrase: str, timeout_s: float
) -> _T | None:
    """Run the node for one command: nobody else is to reach it, and its log gets no line for each command."""
    import trio

    from supervm.common.host.log import LEVELS
    from supervm.common.host.open import open_node
    from supervm.common.storage.errors import DatabaseDamaged

    from ..profile import PROFILE

    log_level = max(config.log_level, "warning", key=lambda name: LEVELS[name])
    brief = replace(config, listen=None, verify_workers=0, log_level=log_level)
    try:
        async with open_node(brief, passphrase=passphrase, profile=PROFILE, services=()) as node:
            with trio.move_on_after(timeout_s):
                return await work(node.request)
    except DatabaseDamaged as error:
        raise InputError(str(error)) from error
    return None


async def connected(ask: Ask) -> None:
    """Wait until an edge has proved the wallet's first account."""
    while True:
        info = await ask(Info())
        if info["edge"] is not None and info["accounts"][0]["proved"]:
            return
        await pause()


async def pause() -> None:
    """Wait for as long as a person does not notice, before the node that this process runs is asked again."""
    import trio

    await trio.sleep(_POLL_S)


__all__ = [
    "InputError",
    "NoOwner",
    "RequestRefused",
    "ask_offline",
    "ask_owner",
    "config_of",
    "connected",
    "directory_option",
    "passphrase_of",
    "passphrase_option",
    "pause",
    "run_owner",
]
