"""A transport inside of one process, for tests: it needs no socket, so a stepped clock may jump over idle time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from ..failures import ListenFailed
from .contract import Admit, Traits

MEET = "meet/"
"""Begins the addresses at which two ends that both dial find each other."""


class MemoryPipe:
    """One end of a pipe.

    Args:
        remote: what it says of the other end.
        bytes_max: bytes that may be under way to this end; then its sender waits, as for a closed TCP window.
        simultaneous: both ends dialled.
    """

    prologue_extra = b""
    other: MemoryPipe
    """The other end."""

    def __init__(self, remote: str, bytes_max: int, *, simultaneous: bool = False) -> None:
        self.remote = remote
        self.admission_key: str | None = None
        self.simultaneous = simultaneous
        self._bytes_max = bytes_max
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        self._ended = self._closed = self._broken = False
        self._changed = trio.Event()
        self.on_send: Callable[[MemoryPipe], None] | None = None
        """Called before each send from this end."""
        self.silent = False
        """What is sent from here gets lost, and nobody is told."""

    def kill(self) -> None:
        """Lose the pipe and all that is under way in it, at both ends."""
        for end in (self, self.other):
            end._broken = True
            end._chunks.clear()
            end._notify()

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return what has come, empty at the end.

        Raises:
            trio.BrokenResourceError: it was killed.
            trio.ClosedResourceError: this end is closed.
        """
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            if self._chunks:
                chunk = self._chunks.popleft()
                if len(chunk) > bytes_max:
                    self._chunks.appendleft(chunk[bytes_max:])
                    chunk = chunk[:bytes_max]
                self._bytes -= len(chunk)
                self.other._notify()
                return chunk
            if self._ended:
                return b""
            await self._changed.wait()

    async def send_all(self, data: bytes) -> None:
        """Send, waiting while too much is under way.

        Raises:
            trio.BrokenResourceError: it was killed, or the other end is closed.
            trio.ClosedResourceError: this end is closed.
        """
        await trio.lowlevel.checkpoint()
        other = self.other
        if self.on_send is not None:
            self.on_send(self)
        self._check()
        while other._bytes >= other._bytes_max and not self.silent:
            await self._changed.wait()
            self._check()
        if other._closed:
            raise trio.BrokenResourceError("the other end is closed")
        if not self.silent:
            other._chunks.append(bytes(data))
            other._bytes += len(data)
            other._notify()

    async def aclose(self) -> None:
        """Close this end; the other one reads to the end of what was sent."""
        if not self._closed:
            self._closed = True
            if self._chunks:  # unread data at closing loses what is under way the other way, as TCP does
                self.other._broken = True
                self.other._chunks.clear()
            self.other._ended = self.other._ended or not self.silent
            self.other._notify()
            self._notify()
        await trio.lowlevel.checkpoint()

    awaits_word = False

    def lost(self, now_s: float) -> str:
        """Return nothing: memory gives nobody up."""
        return ""

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end is closed")
        if self._broken:
            raise trio.BrokenResourceError("the pipe was killed")

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class MemoryNet:
    """What the memory transports of one test share: who serves which address.

    Args:
        bytes_max: bytes that may be under way in one direction of a pipe.
    """

    def __init__(self, bytes_max: int = 64 << 10) -> None:
        self.bytes_max = bytes_max
        self.servers: dict[str, Admit] = {}
        self.waiting: dict[str, tuple[trio.Event, MemoryPipe]] = {}
        self.pipes: list[MemoryPipe] = []
        """The dialling end of every pipe so far, in the order they were made."""
        self.on_pair: Callable[[MemoryPipe], None] | None = None
        """Called with the dialling end of each new pipe."""

    def pair(self, remote: str, *, simultaneous: bool = False) -> tuple[MemoryPipe, MemoryPipe]:
        """Return the two ends of a new pipe."""
        one = MemoryPipe(remote, self.bytes_max, simultaneous=simultaneous)
        two = MemoryPipe(remote, self.bytes_max, simultaneous=simultaneous)
        one.other, two.other = two, one
        self.pipes.append(one)
        if self.on_pair is not None:
            self.on_pair(one)
        return one, two


class MemoryTransport:
    """Pipes within one process; addresses are any names.

    Args:
        net: shared by those who are to reach each other.
        traits: what to say of the medium.
        scheme: the word before the colon.
    """

    def __init__(self, net: MemoryNet, traits: Traits | None = None, scheme: str = "memory") -> None:
        self._net = net
        self.traits = traits or Traits()
        self.scheme = scheme

    def can_dial(self, address: str) -> bool:
        """Return whether somebody serves the address, or somebody may come to meet there."""
        return address in self._net.servers or address.startswith(MEET)

    async def dial(self, address: str) -> MemoryPipe:
        """Connect to a name, or wait at ``meet/name`` until somebody else dials it, too.

        Raises:
            OSError: nobody serves the name.
        """
        await trio.lowlevel.checkpoint()
        net = self._net
        if address.startswith(MEET):
            there = net.waiting.pop(address, None)
            if there is not None:
                there[0].set()
                return there[1].other
            one, _ = net.pair(address, simultaneous=True)
            event = trio.Event()
            net.waiting[address] = (event, one)
            await event.wait()
            return one
        admit = net.servers.get(address)
        if admit is None:
            raise OSError(f"nobody serves {address}")
        one, two = net.pair(address)
        admit(two)
        return one

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Be found at a name until it is cancelled.

        Raises:
            ListenFailed: somebody else is.
        """
        if self._net.servers.setdefault(address, admit) is not admit:
            raise ListenFailed(f"cannot listen on {self.scheme}:{address}: in use")
        try:
            task_status.started([f"{self.scheme}:{address}"])
            await trio.sleep_forever()
        finally:
            del self._net.servers[address]
