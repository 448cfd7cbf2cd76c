"""Everything that ``supervm lN run`` does the same for every tier: from a configuration to a running node and back.

A tier gives three things: its tables, its requests, and `build`, which makes its core from a `NodeContext`. The rest is
here: the folder's lock, genesis, the node's key, the database and the write-ahead log, the log, the control socket,
housekeeping, signals and exit statuses. What only some nodes need (verification processes, APScheduler) is imported by
those that need it.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.errors import LocalProtocolError, ProtocolError
from supervm.protocol.base.keys import SigningKey, check_accept_set, verify
from supervm.protocol.chain.genesis import GENESIS_BYTES_MAX, Chain, load_genesis

from ..contract.core import Core
from ..contract.records import TableSpec
from ..driver import Driver, Halted, Identity, StorageFailed, SystemClock
from ..driver.failures import single
from ..driver.limits import Limits, limits_for
from ..errors import CommonError, InputError
from ..link.connection import LocalNode
from ..parts.shell import wire_of
from ..services.control import SOCKET_FILE, Control, Events
from ..storage import DirectoryLock, LogDamaged
from ..storage.errors import DatabaseDamaged
from ..storage.files import sync_directory
from ..storage.sql import SqlStore
from ..storage.wal import WriteAheadLog
from ..text.options import hex_bytes
from .config import HOUSEKEEPING_OPTIONS, NodeConfig
from .keyfile import NODE_KEY_FILE, create_private_file, load_key_file
from .log import LibraryHandler, Log
from .mend import DATABASE_FILE, with_mend
from .parent import parent_gone, parent_to_follow
from .streams import point_to_null

EXIT_HALTED: Final = 3
"""Exit status after `Halt`: starting again would not help, a person has to look."""
EXIT_STORAGE: Final = 4
"""Exit status after a failed write."""
PROMISES_FILE: Final = "promises.log"
"""The write-ahead log, of tiers that have one."""
INCARNATION_FILE: Final = "incarnation"
"""16 random bytes, in hexadecimal, that bind the write-ahead log to this installation."""
LOG_FILE: Final = "node.log"
_INCARNATION_BYTES: Final = 16
_FILES_WANTED: Final = 16_384

C = TypeVar("C", bound=Core)


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What a tier's core is built from.

    Attributes:
        config: as read.
        chain: the network.
        node_key: this node's key.
        store: what is durable, to be read only.
        log_lost: this installation had a write-ahead log and it is gone or damaged: it must not vote on what it may
            have voted on before (consensus.md 2.2).
        rng: jitter and tie-breaks; never keys.
        now_us: the clock's time now, Unix microseconds.
    """

    config: NodeConfig
    chain: Chain
    node_key: SigningKey
    store: SqlStore
    log_lost: bool
    rng: random.Random
    now_us: int


def run_node(
    config: NodeConfig, build: Callable[[NodeContext], C], *, requests: Any = None, tables: Iterable[TableSpec] = (),
    with_log: bool = False, features: tuple[str, ...] = (), about: Callable[[C], Mapping[str, Any]] | None = None,
) -> int:
    """Run a node until SIGINT or SIGTERM; return its exit status.

    Prints one line of JSON when it is ready: ``{"event": "ready", "tier", "node_id", "listen", "pid"}``. What ends it
    is in ``node.log`` in any case, since a node may have been started without anybody who reads standard error.

    Args:
        config: the node's configuration.
        build: makes the core; may raise `InputError`.
        requests: the struct or union of structs that the control socket takes.
        tables: the tables of the core.
        with_log: whether it needs a write-ahead log.
        features: words for Hello.
        about: further fields of that line, told by the core.

    Returns:
        0 after a clean stop, `EXIT_HALTED` or `EXIT_STORAGE`.

    Raises:
        InputError: the folder, a file in it, or an address cannot be used.
        RuntimeError: the core or the driver broke off, which is a bug; the log names it.
    """
    directory = config.directory
    with DirectoryLock(directory):
        clock = SystemClock()
        log = Log(directory / LOG_FILE, config.log_level, now_ms=lambda: clock.now_us() // 1000)
        handler = LibraryHandler(log)
        logging.getLogger().addHandler(handler)
        try:
            chain = load_chain(config.genesis)
            node_key = load_key_file(directory / NODE_KEY_FILE)
            store, log_lost = open_store(config, tables, with_log=with_log, log=log)
            try:
                context = NodeContext(
                    config, chain, node_key, store, log_lost, random.Random(os.urandom(32)), clock.now_us())  # noqa: S311
                core = _built(build, context, log)
                limits = limits_for(_raise_file_limit(), peers=len(config.peers))
                node = _Node(
                    context, core, clock, log, requests, features, {} if about is None else about(core), limits
                )
                gc.collect()
                gc.freeze()  # what was loaded at start stays; the collector need not look at it again
                return _run_to_the_end(node, log)
            finally:
                store.close()
        except Halted as error:
            log("halted", {"reason": str(error)}, "error")
            return EXIT_HALTED
        except StorageFailed as error:
            log("storage-failed", {"reason": with_mend(error, config)}, "error")
            return EXIT_STORAGE
        except CommonError as error:
            log.to_file("failed", {"reason": str(error)}, "error")
            raise
        except ProtocolError as error:
            # only what was read back from the disk can be wrong so early; what breaks off a running node is our bug
            damage = DatabaseDamaged(f"the database is damaged, or another network's: {error}")
            log("storage-failed", {"reason": with_mend(damage, config)}, "error")
            return EXIT_STORAGE
        except KeyboardInterrupt:
            return 0  # before the signal handler stood: nothing was promised yet
        finally:
            logging.getLogger().removeHandler(handler)
            log.close()


def _built(build: Callable[[NodeContext], C], context: NodeContext, log: Log) -> C:
    """Make the core; what nobody expected is in the log, too, before the program shows it."""
    try:
        return build(context)
    except (CommonError, ProtocolError):
        raise
    except Exception as error:
        log.to_file("crashed", {"reason": f"{type(error).__name__}: {error}"}, "error")
        raise


def _run_to_the_end(node: _Node, log: Log) -> int:
    """Run the event loop; what nobody expected is logged, and shown with its traceback whatever its type.

    A `ProtocolError` that gets here is no wrong input of the user's, as it is elsewhere in the program.
    """
    try:
        return trio.run(node.run)
    except CommonError:
        raise
    except Exception as error:
        log("crashed", {"reason": f"{type(error).__name__}: {error}"}, "error")
        raise RuntimeError("the node broke off; this is a bug, and what led to it stands above") from error


def load_chain(path: Path) -> Chain:
    """Read a genesis file, after checking that libsodium judges signatures as the network does.

    Raises:
        InputError: it is missing or not a genesis file, or libsodium is another one.
    """
    try:
        check_accept_set()
        with path.open("rb") as file:
            return Chain(load_genesis(file.read(GENESIS_BYTES_MAX + 1)), verify)
    except LocalProtocolError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: the genesis file cannot be read: {error.strerror}") from error


def open_store(
    config: NodeConfig, tables: Iterable[TableSpec], *, with_log: bool, log: Log | None = None
) -> tuple[SqlStore, bool]:
    """Open the node's database and, if asked, its write-ahead log; also say whether an earlier log is lost or damaged.

    The incarnation is written before the log and gets its name after it, so its name says that there was a log. A lost
    log is replaced when the node asks for it (`Prune.begin`): under a new incarnation, so that the old log, should it
    turn up again, is a stranger's.
    """
    database = config.database_url or config.directory / DATABASE_FILE
    if not with_log:
        return SqlStore(database, tables), False
    path = config.directory / INCARNATION_FILE
    new = path.with_suffix(".new")
    had_log = path.exists()
    if not had_log and not new.exists():
        create_private_file(new, os.urandom(_INCARNATION_BYTES).hex().encode() + b"\n")
    source = path if had_log else new
    incarnation = hex_bytes(source.read_text(encoding="ascii", errors="replace").strip(), _INCARNATION_BYTES)
    if incarnation is None:
        raise InputError(f"{source}: one line of {2 * _INCARNATION_BYTES} hexadecimal digits is expected")
    promises = config.directory / PROMISES_FILE

    def begin_log() -> WriteAheadLog:
        if promises.exists():
            promises.replace(promises.with_suffix(".lost"))
        new.unlink(missing_ok=True)
        fresh = os.urandom(_INCARNATION_BYTES)
        create_private_file(new, fresh.hex().encode() + b"\n")
        begun = WriteAheadLog(promises, fresh)
        new.replace(path)
        sync_directory(config.directory)
        return begun

    if had_log and not promises.exists():
        # No new log is begun: the next start must find it missing, too, or it would vote as if it had never voted.
        if log is not None:
            log("log-lost", {"path": str(promises)}, "error")
        return SqlStore(database, tables, begin_log=begin_log), True
    try:
        store = SqlStore(database, tables, log_path=promises, incarnation=incarnation)
    except LogDamaged as error:
        # what is left of the promises cannot be relied on: read the tables, promise nothing any more
        if log is not None:
            log("log-damaged", {"reason": str(error)}, "error")
        return SqlStore(database, tables, begin_log=begin_log), True
    if not had_log:
        new.rename(path)
    return store, False


class _Node:
    """A node's event loop: driver, control socket, housekeeping, signals."""

    def __init__(
        self, context: NodeContext, core: Core, clock: SystemClock, log: Log, requests: Any, features: tuple[str, ...],
        about: Mapping[str, Any], limits: Limits,
    ) -> None:
        self._context = context
        self._clock = clock
        self._log = log
        self._about = about
        self._events = Events()
        self._started_us = clock.now_us()
        config, chain = context.config, context.chain
        known = {member.node_id: 1 for member in chain.validators.members}
        known |= {miner.node_id: 2 for miner in chain.genesis.miners}
        self._driver = Driver(
            core, store=context.store,
            identity=Identity(context.node_key, os.urandom(32), chain.chain_id),
            local=LocalNode(config.tier, features, _agent(), known, wire_of(core)),
            listen=config.listen, workers=config.verify_workers, clock=clock, limits=limits, sink=self._publish,
        )
        self._control = Control(
            config.directory / SOCKET_FILE, requests=requests, command=self._driver.command, metrics=self.metrics,
            events=self._events,
        )

    async def run(self) -> int:
        """Run until a signal; return 0."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._watch_signals)
                listens = await nursery.start(self._run_driver, nursery.cancel_scope)
                await nursery.start(self._control.run)
                if (parent := parent_to_follow()) is not None:
                    nursery.start_soon(self._end_with, parent)
                self._tell_ready(listens)
                if self._housekeeping_wanted():
                    nursery.start_soon(self._keep_house)
        except BaseExceptionGroup as group:
            error = single(group)
            if error is group:
                raise
            raise error from error.__cause__
        self._publish("stopped", {}, "info")
        return 0

    def metrics(self) -> Mapping[str, Any]:
        """Return the driver's counters, and how long and how large this process is."""
        return {
            **self._driver.metrics(),
            "uptime_s": (self._clock.now_us() - self._started_us) // 1_000_000,
            "rss_bytes": _resident_bytes(),
        }

    def _publish(self, name: str, fields: Mapping[str, Any], level: str, /) -> None:
        self._log(name, fields, level)
        self._events(name, fields, level)

    def _tell_ready(self, listens: list[str]) -> None:
        ready = {
            "tier": self._context.config.tier, "node_id": encode_node_id(self._context.node_key.public),
            "listen": listens[0] if listens else None, "pid": os.getpid(), **self._about,
        }
        self._publish("ready", ready, "info")
        try:
            sys.stdout.write(msgspec.json.encode({"event": "ready", **ready}).decode() + "\n")
            sys.stdout.flush()
        except OSError as error:  # whoever wanted to read it has gone, or its disk is full: no reason to end
            self._publish("ready-not-printed", {"reason": str(error.strerror or error)}, "warning")
            point_to_null(sys.stdout)

    async def _run_driver(
        self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await self._driver.run(task_status=task_status)
        scope.cancel()

    async def _watch_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The first signal stops in good order; a second one does not wait for it."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async with trio.open_nursery() as nursery:
                asked = False
                async for number in signals:
                    self._publish("stopping", {"signal": signal.Signals(number).name}, "info")
                    if asked:
                        self._driver.stop_now()
                    else:
                        nursery.start_soon(self._driver.stop)
                    asked = True

    async def _end_with(self, parent: int) -> None:
        await parent_gone(parent)
        self._publish("stopping", {"parent": parent}, "warning")
        await self._driver.stop()

    def _option(self, name: str) -> int:
        return int(self._context.config.housekeeping.get(name, HOUSEKEEPING_OPTIONS[name].default))

    def _housekeeping_wanted(self) -> bool:
        return bool(self._option("enabled"))

    async def _keep_house(self) -> None:
        from ..services.housekeeping import HousekeepingConfig, run_housekeeping  # here: it brings APScheduler

        config = HousekeepingConfig(
            maintenance_interval_s=self._option("optimize_s"), backup_interval_s=self._option("backup_s"),
            keep=self._option("backups_kept"), metrics_interval_s=self._option("metrics_s"),
            log_bytes_max=self._option("log_bytes_max"), logs_kept=max(1, self._option("logs_kept")),
        )
        await run_housekeeping(
            config, self._context.config.directory, store=self._context.store, metrics=self.metrics,
            reopen_log=self._log.reopen)


def _agent() -> str:
    try:
        return f"supervm/{version('supervm-common')}"[:32]
    except PackageNotFoundError:
        return "supervm"


def _resident_bytes() -> int:
    """Memory of this process now, or at its largest where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _raise_file_limit() -> int | None:
    """Ask for as many descriptors as connections may be open; return how many there may be, None without a bound."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted
    return None if soft == resource.RLIM_INFINITY else soft
