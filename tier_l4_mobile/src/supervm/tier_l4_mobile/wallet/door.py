"""The wallet's door: open, so that payments can be signed, or locked.

Theory of operation. A node whose wallet is locked knows its accounts (their ids are on disk since the wallet was first
opened here), follows them, proves them, submits what is signed and takes every fate; it has no key. Payments that would
have to be signed again wait unsigned until the wallet is open. What the owner asks for that needs a key is refused in a
sentence.

Opening takes a while and asks the machine - a file, a keystore - so it is a job beside the loop, on a `Vault`. The
vault counts the try before it makes it and refuses one that comes too soon, so nothing of that is decided here. One try
is under way at a time. Passphrases are in a request and in its job, and shown by neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from supervm.common.contract.core import Outbox
from supervm.common.contract.jobs import Job
from supervm.common.errors import CommonError
from supervm.common.parts.part import Part
from supervm.protocol.base.keys import SigningKey

from ..events import UnlockRefused, WalletLocked, WalletUnlocked
from ..messages import Lock, Passwd, Unlock
from ..options import LOCK_OPTIONS
from .accounts import Accounts
from .books import Books
from .queue import PaymentQueue

NEVER_OPENED: Final = (
    "the wallet is locked and was never opened by this node, so its accounts are not known here: unlock it once"
)
"""What the owner of such a node should know."""

_LANE = b"vault"


@dataclass(frozen=True, slots=True)
class Opened:
    """What an opened wallet gives: the keys of the node's accounts, the default account first, and some names."""

    keys: Mapping[bytes, SigningKey] = field(repr=False)
    names: Mapping[str, bytes]


class Vault(Protocol):
    """Where the wallet is; both calls may take long, and ask the machine."""

    def open(self, passphrase: str, now_us: int) -> Opened:
        """Open the wallet.

        Raises:
            CommonError: it is not opened, and why.
        """

    def change(self, old: str, new: str, now_us: int) -> None:
        """Put another passphrase in place of `old`, durably and whole.

        Raises:
            CommonError: the old one stays, and why.
        """


class OpenVault(Job, frozen=True):
    """Open a vault: ``(vault, passphrase, time)``. Its result is an `Opened`, or why it is none."""

    ITEM_COST_US: ClassVar[int] = 65_000
    IS_LOCAL: ClassVar[bool] = True

    items: Sequence[tuple[Vault, str, int]]

    @staticmethod
    def run(items: Sequence[tuple[Vault, str, int]]) -> list[Opened | str]:
        """Open each vault."""
        return [_told(lambda vault=vault, word=word, at=at: vault.open(word, at)) for vault, word, at in items]

    @staticmethod
    def item_bytes(item: tuple[Vault, str, int]) -> int:
        """Return a number that counts for nothing: it goes nowhere."""
        return 1

    def __repr__(self) -> str:
        return "OpenVault(...)"


class ChangeVault(Job, frozen=True):
    """Change what opens a vault: ``(vault, old, new, time)``. Its result is None, or why it stays as it is."""

    ITEM_COST_US: ClassVar[int] = 130_000
    IS_LOCAL: ClassVar[bool] = True

    items: Sequence[tuple[Vault, str, str, int]]

    @staticmethod
    def run(items: Sequence[tuple[Vault, str, str, int]]) -> list[str | None]:
        """Change each."""
        return [
            _told(lambda vault=vault, old=old, new=new, at=at: vault.change(old, new, at))
            for vault, old, new, at in items
        ]

    @staticmethod
    def item_bytes(item: tuple[Vault, str, str, int]) -> int:
        """Return a number that counts for nothing: it goes nowhere."""
        return 1

    def __repr__(self) -> str:
        return "ChangeVault(...)"


class Door(Part):
    """Opens and locks the wallet.

    Args:
        outbox: where jobs, refusals and events go.
        queue: has the keys while the wallet is open.
        accounts: told the names of accounts.
        followers: told the time and the accounts that were not known before.
        books: makes answers wait for what is signed and written at the opening.
        vault: where the wallet is; None: the node was given its keys, and keeps them.
        lock_after_us: it locks this long after its owner last used it; 0: never by itself.
    """

    answers = (Unlock, Lock, Passwd)
    options = LOCK_OPTIONS
    events = (WalletUnlocked, WalletLocked, UnlockRefused)

    def __init__(
        self,
        outbox: Outbox,
        queue: PaymentQueue,
        accounts: Accounts,
        followers: Sequence[Callable[[int, Sequence[bytes]], None]],
        books: Books,
        vault: Vault | None,
        lock_after_us: int,
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._accounts = accounts
        self._followers = followers
        self._books = books
        self._vault = vault
        self._lock_after_us = lock_after_us
        self._used_us = 0
        self._asked: tuple[int, int] | None = None  # the job that is under way, and the command that asked for it

    def started(self, now_us: int) -> None:
        """Begin to count the time that the wallet is not used, and keep which accounts an open one has."""
        self._used_us = now_us
        if self._vault is not None and not self._queue.is_locked:
            self._queue.keep_accounts()

    @property
    def deadline_us(self) -> int | None:
        """When the wallet locks by itself."""
        if self._vault is None or not self._lock_after_us or self._queue.is_locked:
            return None
        return self._used_us + self._lock_after_us

    def tick(self, now_us: int) -> None:
        """Lock a wallet that was not used for long."""
        deadline_us = self.deadline_us
        if deadline_us is not None and deadline_us <= now_us:
            self._lock("it was not used")

    def used(self, now_us: int) -> None:
        """The owner has asked for something that needs the wallet open."""
        self._used_us = now_us

    def command(self, now_us: int, token: int, request: Unlock | Lock | Passwd) -> None:
        """Begin to open the wallet, or lock it."""
        if self._vault is None:
            self._outbox.refuse(token, "this node was given its keys and has no wallet to open or lock")
        elif type(request) is Lock:
            self._lock("its owner locked it")
            self._books.answer(token, self._state(now_us))
        elif self._asked is not None:
            self._outbox.refuse(token, "another passphrase is being tried: wait for its answer")
        else:
            job: Job
            if type(request) is Unlock:
                job = OpenVault(((self._vault, request.passphrase, now_us),))
            else:
                assert type(request) is Passwd
                job = ChangeVault(((self._vault, request.old, request.new, now_us),))
            self._asked = self._outbox.work(_LANE, job), token

    def work_done(self, now_us: int, token: int, result: Any) -> bool:
        """Take the keys, or say why there are none."""
        if self._asked is None or token != self._asked[0]:
            return False
        [told], (_, command) = result, self._asked
        self._asked = None
        problem = told if isinstance(told, str) else self._open(now_us, told) if told is not None else ""
        if problem:
            self._outbox.publish(UnlockRefused(problem))
            self._outbox.refuse(command, problem)
        else:
            self._books.answer(command, self._state(now_us))
        return True

    def _open(self, now_us: int, opened: Opened) -> str:
        """Give the queue its keys; say why not if they are another wallet's."""
        if any(known != account for known, account in zip(self._queue.lanes, opened.keys, strict=False)):
            return "this is another wallet than the one whose accounts this node has: look which wallet.cbor is here"
        fresh = self._queue.open(opened.keys)
        self._accounts.named(opened.names)
        for follow in self._followers:
            follow(now_us, fresh)
        self._used_us = now_us
        self._outbox.publish(WalletUnlocked())
        return ""

    def _lock(self, reason: str) -> None:
        if not self._queue.is_locked:
            self._queue.lock()
            self._outbox.publish(WalletLocked(reason))

    def _state(self, now_us: int) -> dict[str, Any]:
        deadline_us = self.deadline_us
        left_s = None if deadline_us is None else max(0, deadline_us - now_us) // 1_000_000
        return {"locked": self._vault is not None and self._queue.is_locked, "locks_in_s": left_s}

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return whether the wallet is locked, and in how many seconds it will be; None if not by itself."""
        return self._state(now_us)

    def problems(self, now_us: int) -> Sequence[str]:
        """Say what a locked wallet holds up."""
        if self._vault is None or not self._queue.is_locked:
            return ()
        if not self._queue.lanes:
            return (NEVER_OPENED,)
        waiting = sum(len(lane.unsigned) for lane in self._queue.lanes.values())
        return (f"the wallet is locked, and {waiting} payments wait to be signed: unlock it",) if waiting else ()


def _told(call: Any) -> Any:
    """Return what a call returns, or the text of what was wrong."""
    try:
        return call()
    except CommonError as error:
        return str(error)
