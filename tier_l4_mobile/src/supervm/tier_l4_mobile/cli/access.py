"""How a command reaches the wallet in a directory: through its owner process, or by becoming the owner.

A directory has one owner (surface.md). If a node runs there, requests go over its control socket. If not, the command
takes the lock and runs the same core itself: on the trio driver when edges are wanted, or just stepped with the store
at hand when it only changes or reads the queue.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import trio

from supervm.common.contract.core import Command, Durable, Effect, Persist, Reply, Started
from supervm.common.contract.records import Reader
from supervm.common.driver import Driver, Identity, SystemClock
from supervm.common.errors import InputError
from supervm.common.host.anchor_file import load_anchor
from supervm.common.host.config import CONFIG_FILE, NodeConfig, load_config
from supervm.common.host.durable import load_chain, open_store
from supervm.common.host.keyfile import NODE_KEY_FILE, load_key_file
from supervm.common.host.mend import with_mend
from supervm.common.link.connection import LocalNode
from supervm.common.services.client import call_sync
from supervm.common.services.control import SOCKET_FILE
from supervm.common.services.lines import NoOwner, RequestRefused
from supervm.common.storage import DirectoryLock
from supervm.common.storage.errors import DatabaseDamaged
from supervm.common.storage.sql import SqlStore
from supervm.common.wallet import WALLET_FILE, read_passphrase, unlock_wallet
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.genesis import Chain

from ..config import OPTIONS, mobile_options, open_accounts
from ..messages import Info, MobileRequest
from ..node import MobileNode, Settings
from ..tables import TABLES

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")

Ask = Callable[[MobileRequest], Awaitable[Any]]
"""Gives a request to the core that this process runs."""

POLL_S = 0.05


def directory_option(function: _F) -> _F:
    """Give a command ``--dir`` as its argument `directory`."""
    return click.option(
        "--dir", "directory", type=click.Path(file_okay=False, exists=True, path_type=Path), required=True,
        help="The node's folder (made by `supervm init l4`).",
    )(function)


def passphrase_option(function: _F) -> _F:
    """Give a command ``--passphrase-file`` as its argument `passphrase_file`."""
    return click.option(
        "--passphrase-file", type=click.Path(dir_okay=False, path_type=Path),
        help="File whose one line opens the wallet [default: SUPERVM_PASSPHRASE, else you are asked].",
    )(function)


def passphrase_of(file: Path | None, *, new: bool = False) -> str:
    """Return the wallet's passphrase from wherever it is given; a new one is asked for twice."""

    def prompt(question: str) -> str:
        text: str = click.prompt(question.rstrip(": "), hide_input=True, confirmation_prompt=new, err=True)
        return text

    return read_passphrase(file=file, environ=os.environ, prompt=prompt if sys.stdin.isatty() else None)


def config_of(directory: Path) -> NodeConfig:
    """Return the configuration of the node in `directory`."""
    return load_config(directory / CONFIG_FILE, tier=4, options=OPTIONS)


def build_node(
    config: NodeConfig, chain: Chain, reader: Reader, rng: random.Random, passphrase: str, *, offline: bool = False
) -> MobileNode:
    """Unlock the wallet and make the core; `offline` gives it no peers.

    Raises:
        InputError: there is no wallet, the passphrase does not open it, or the anchor is none of this network.
    """
    options = mobile_options(config)
    keys, names = open_accounts(unlock_wallet(config.directory / WALLET_FILE, passphrase), options)
    peers = [] if offline else [(peer.node_id, peer.address) for peer in config.peers]
    return MobileNode(
        chain, keys, peers=peers, reader=reader, verify=verify, rng=rng,
        settings=Settings(
            names, options.validity_ms, None if options.anchor is None else load_anchor(options.anchor, chain)),
    )


def ask_owner(directory: Path, request: MobileRequest) -> Any:
    """Ask the process that owns `directory`.

    Raises:
        NoOwner: nobody answers there.
        RequestRefused: it says what was wrong.
    """
    return call_sync(directory / SOCKET_FILE, request)


@contextmanager
def _owned(directory: Path) -> Iterator[tuple[NodeConfig, Chain, SqlStore]]:
    config = config_of(directory)
    with DirectoryLock(config.directory):
        chain = load_chain(config.genesis)
        try:
            store, _ = open_store(config, TABLES, with_log=False)
            try:
                yield config, chain, store
            finally:
                store.close()
        except DatabaseDamaged as error:
            raise InputError(with_mend(error, config)) from error


def ask_offline(directory: Path, request: MobileRequest, passphrase_file: Path | None) -> Any:
    """Become the owner, let the core answer without any edge, and return the answer once it is durable.

    Raises:
        RequestRefused: the core says what was wrong.
    """
    with _owned(directory) as (config, chain, store):
        rng = random.Random(0)  # noqa: S311 - it only spreads dialling, and nothing is dialled
        node = build_node(config, chain, store, rng, passphrase_of(passphrase_file), offline=True)
        now_us = SystemClock().now_us()
        replies: list[Reply] = []

        def carry_out(effects: list[Effect]) -> None:
            for effect in effects:
                if isinstance(effect, Persist):
                    store.commit(effect.records)
                    carry_out(node.step(now_us, Durable(effect.token)))
                elif isinstance(effect, Reply):
                    replies.append(effect)

        carry_out(node.step(now_us, Started()))
        carry_out(node.step(now_us, Command(1, request)))
        return _value(replies[0])


def run_owner(
    directory: Path, work: Callable[[Ask], Awaitable[_T]], passphrase_file: Path | None, *, timeout_s: float
) -> _T | None:
    """Become the owner, run the core with its edges, and return what `work` returns; None if it takes too long."""
    with _owned(directory) as (config, chain, store):
        rng = random.Random(os.urandom(32))  # noqa: S311 - jitter of the dialling
        node = build_node(config, chain, store, rng, passphrase_of(passphrase_file))
        driver = Driver(
            node, store=store,
            identity=Identity(load_key_file(config.directory / NODE_KEY_FILE), os.urandom(32), chain.chain_id),
            local=LocalNode(4, (), "supervm", {}),
        )
        return trio.run(_run, driver, work, timeout_s)


async def _run(driver: Driver, work: Callable[[Ask], Awaitable[_T]], timeout_s: float) -> _T | None:
    async def ask(request: MobileRequest) -> Any:
        done = trio.Event()
        found: list[Reply] = []

        def take(reply: Reply) -> None:
            found.append(reply)
            done.set()

        driver.command(request, take)
        await done.wait()
        return _value(found[0])

    result: _T | None = None
    refused: RequestRefused | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        try:
            with trio.move_on_after(timeout_s):
                result = await work(ask)
        except RequestRefused as error:
            refused = error  # raised outside, where it is not one of a group
        finally:
            with trio.CancelScope(shield=True):
                await driver.stop()
    if refused is not None:
        raise refused
    return result


async def connected(ask: Ask) -> None:
    """Wait until an edge has proved the wallet's first account."""
    while True:
        info = await ask(Info())
        if info["edge"] is not None and info["accounts"][0]["proved"]:
            return
        await trio.sleep(POLL_S)


def _value(reply: Reply) -> Any:
    if reply.error is not None:
        raise RequestRefused(reply.error)
    return reply.value


__all__ = [
    "InputError", "NoOwner", "RequestRefused", "ask_offline", "ask_owner", "build_node", "config_of", "connected",
    "directory_option", "passphrase_of", "passphrase_option", "run_owner",
]
