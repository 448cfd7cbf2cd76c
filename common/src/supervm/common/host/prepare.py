"""From a configuration to a core that is ready to run: lock, log, genesis, key, database; no event loop is needed.

Everything here may block: reading genesis, opening a database, building a state, unlocking a wallet.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ..contract.core import Core
from ..driver.clock import SystemClock
from ..parts.policy.audit import Audit
from ..parts.policy.policy import Policy
from ..parts.policy.rules import read_rules
from ..parts.shell import Shell
from ..storage import DirectoryLock
from .config import NodeConfig
from .durable import open_store
from .ended import record_start
from .genesis_file import load_chain
from .keyfile import NODE_KEY_FILE, load_key_file
from .log import Log, libraries_logged
from .profile import NodeContext, Profile

LOG_FILE: Final = "node.log"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A node that only has to be run.

    Attributes:
        profile: its tier.
        context: what the core was built from.
        core: the core.
        clock: the clock that it will live by.
        log: its log, open.
    """

    profile: Profile[Any]
    context: NodeContext
    core: Core
    clock: SystemClock
    log: Log


@contextmanager
def prepared(
    config: NodeConfig, profile: Profile[Any], *, passphrase: str | None = None, alone: bool = False
) -> Iterator[Prepared]:
    """Own a node's folder, and make the core from what is in it.

    Args:
        config: the node's configuration.
        profile: its tier.
        passphrase: of the wallet, for tiers that have one.
        alone: whether the process is this node's alone: warnings then go to standard error, too, and those of any
            library into the node's log.

    Raises:
        InputError: the folder or a file in it cannot be used.
        StorageFailed: the database cannot be read; the text says what its owner can do.
    """
    with ExitStack() as stack:
        stack.enter_context(DirectoryLock(config.directory))
        clock = SystemClock()
        log = Log(
            config.directory / LOG_FILE,
            config.log_level,
            now_ms=lambda: clock.now_us() // 1000,
            stream=sys.stderr if alone else None,
        )
        stack.callback(log.close)
        stack.enter_context(libraries_logged(log, everything=alone))
        try:
            chain = load_chain(config.genesis)
            node_key = load_key_file(config.directory / NODE_KEY_FILE)
            store, log_lost = open_store(config, profile.tables, with_log=profile.with_log, log=log)
            stack.callback(store.close)
            rng = random.Random(os.urandom(32))  # noqa: S311 - jitter and tie-breaks
            context = NodeContext(config, chain, node_key, store, log_lost, rng, clock.now_us(), passphrase)
            core = profile.build(context)
            if config.policy and isinstance(core, Shell):
                core.govern(Policy(read_rules(config.policy), Audit(core.outbox, os.urandom(16))))
        except Exception as error:
            told = record_start(error, config, log)
            if told is error:
                raise
            raise told from told.__cause__
        yield Prepared(profile, context, core, clock, log)
