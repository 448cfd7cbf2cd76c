"""What carries the bytes of a link: `Transport` and `Pipe`, the smallest useful contract (network.md 4).

Theory of operation. A *transport* knows one medium: it dials addresses of its own scheme and serves others that dial.
Either gives a *pipe*, a stream of bytes both ways, in order, without gaps, and with an end. Everything above it - who
is there, what is secret, which of two links is kept - is the link's business and the same for every medium.

An address is ``scheme:rest``; what `rest` means only its transport knows. A bare ``host:port`` is TCP's.

A transport is announced under the entry-point group ``supervm.transports``: the name is the scheme, the value a
function that takes the driver's `Limits` and returns the `Transport`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol, runtime_checkable

import trio

from ...contract.core import HEARTBEAT_US
from ...link.records import RECORD_PLAINTEXT_BYTES_MAX
from ..limits import Limits

HEARTBEAT_US_DEAR: Final = 240_000_000
"""Time between heartbeats where each one costs (network.md 3)."""
HANDSHAKE_BYTES: Final = 1_500
"""What Noise and both Hellos take together, with some room."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a medium is like; timers and the sizes of sends follow from it.

    Attributes:
        mtu_bytes: the longest piece that the medium carries whole; None: it is a stream and cuts by itself.
        bitrate_bps: bits per second of one link; None: so many that nobody has to count.
        cost: price of sending, 0 for none, in any unit in which the transports of one node can be compared.
        metered: what is sent counts against an allowance.
        duty_cycle: share of the time in which sending is allowed, above 0 and at most 1.
    """

    mtu_bytes: int | None = None
    bitrate_bps: int | None = None
    cost: int = 0
    metered: bool = False
    duty_cycle: float = 1.0

    @property
    def bytes_per_s(self) -> float:
        """Bytes that one link carries per second over a long time."""
        return inf if self.bitrate_bps is None else self.bitrate_bps * self.duty_cycle / 8

    @property
    def heartbeat_us(self) -> int:
        """Time between two heartbeats: 10 s, and 240 s where sending costs or an allowance shrinks (network.md 3)."""
        return HEARTBEAT_US_DEAR if self.metered or self.cost else HEARTBEAT_US

    @property
    def record_bytes_max(self) -> int:
        """Most plaintext bytes of one record."""
        return RECORD_PLAINTEXT_BYTES_MAX if self.mtu_bytes is None else min(RECORD_PLAINTEXT_BYTES_MAX, self.mtu_bytes)

    def send_bytes(self, limits: Limits) -> int:
        """Return about how many bytes go into one send: a second of the line at most, and one frame at least."""
        return max(1, int(min(limits.send_bytes, self.bytes_per_s)))

    def unauthenticated_s(self, limits: Limits) -> float:
        """Return how long a link may take to be up: three times what its line needs for the handshake, at least."""
        return max(limits.unauthenticated_s, 3 * HANDSHAKE_BYTES / self.bytes_per_s)

    def goodbye_s(self, limits: Limits) -> float:
        """Return how long a link that ends may take to write what is left: two sends, at least."""
        return max(limits.goodbye_s, 2 * self.send_bytes(limits) / self.bytes_per_s)


class Pipe(Protocol):
    """A stream of bytes to one peer and back."""

    @property
    def remote(self) -> str:
        """Where the other end is, for logs and bans: an IP address without its port, or empty if it has none."""

    @property
    def admission_key(self) -> str | None:
        """For whom an inbound pipe counts where pipes are bounded by origin, such as an IP address; None: nobody."""

    @property
    def prologue_extra(self) -> bytes:
        """What the handshake's prologue is extended by, the same at both ends, such as two DTLS fingerprints."""

    @property
    def simultaneous(self) -> bool:
        """Both ends dialled: the one with the lower node id begins the handshake."""

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return what has come, at most that much; empty at the end, when the other end was closed in good order.

        Raises:
            OSError, trio.BrokenResourceError, trio.ClosedResourceError: the pipe is lost, or closed at this end.
        """

    async def send_all(self, data: bytes) -> None:
        """Send everything; returns when the medium has taken it.

        Raises:
            OSError, trio.BrokenResourceError, trio.ClosedResourceError: the pipe is lost, or closed at this end.
        """

    async def aclose(self) -> None:
        """Close it; what was sent still arrives if all that came has been read. Closes also if it is cancelled."""

    def lost(self, now_s: float) -> str:
        """Return why the medium has given the other end up, empty if it has not.

        Asked now and then after something was sent, as long as some pipe `awaits_word`.

        Args:
            now_s: time of the running loop.
        """

    @property
    def awaits_word(self) -> bool:
        """Whether something that was sent is not known to have come to the other end, as the last `lost` found."""


Admit = Callable[[Pipe], None]
"""Takes a pipe that somebody has dialled; returns at once."""


class Transport(Protocol):
    """One medium."""

    @property
    def scheme(self) -> str:
        """The word before the colon in its addresses: a-z, 0-9 and ``-``."""

    @property
    def traits(self) -> Traits:
        """What its links are like; both ends of a link have to come to the same."""

    def can_dial(self, address: str) -> bool:
        """Return whether an address, without its scheme, is one that it can try."""

    async def dial(self, address: str) -> Pipe:
        """Connect.

        Args:
            address: without its scheme.

        Raises:
            OSError: nobody is there, or the medium is not.
            ValueError: it is no address; `NoAddress` is one.
        """

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take those who dial, until it is cancelled; `task_status` gets the addresses that it is found at.

        Raises:
            ListenFailed: the address cannot be served.
        """


@runtime_checkable
class VariedTransport(Transport, Protocol):
    """A medium whose links are not all alike: what one is like, its address says, such as a serial line's rate."""

    def traits_of(self, address: str) -> Traits:
        """Return what links at an address, without its scheme, are like.

        Raises:
            ValueError: it is no address; `NoAddress` is one.
        """


def traits_of(transport: Transport, address: str) -> Traits:
    """Return what links at an address of a transport are like.

    Raises:
        ValueError: it is no address.
    """
    return transport.traits_of(address) if isinstance(transport, VariedTransport) else transport.traits
