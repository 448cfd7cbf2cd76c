"""Bounds of one driver (network.md 7, N2): memory and connections stay within these under any peer behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..parts.buckets import Rate

HANDSHAKES: Final = Rate(200, 1_024)
"""Pieces of handshakes from one address: a tenth of a core at most, and a thousand nodes of a machine at once."""

_FILES_OWN: Final = 96
"""Descriptors that a node may need besides its connections: databases, logs, locks, workers, control, a backup."""
_CONNECTIONS_MIN: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; the defaults are those of a node.

    Attributes:
        unauthenticated_max: connections that are not up yet; one more closes the oldest of them.
        unauthenticated_s: how long a connection may take to be up.
        per_address_max: inbound connections from one IP address, loopback excepted; 0: no bound.
        connections_max: all inbound connections.
        queue_bytes_max_core: outgoing bytes that wait for one L1 or L2 peer (of an L1 or L2).
        queue_bytes_max: the same for any other peer.
        queued_bytes_all_max: outgoing bytes of all connections together; beyond it the fullest one is closed.
        partial_bytes_all_max: bytes of frames that have not come whole, of all connections together; likewise.
        handshakes: pieces of handshakes from one IP address, two for each, per second and at once; further ones wait.
        deliver_max: messages of one peer given to the core before others have their turn.
        send_bytes: about as many bytes go into one send.
        read_bytes: most bytes taken by one read.
        read_bytes_core: the same on links between L1 and L2.
        signatures_max: signatures under way above which reading from peers pauses.
        waiting_records_max: records waiting for the disk above which reading from peers pauses.
        dial_s: how long connecting may take.
        goodbye_s: how long a closing connection may take to write what is left.
        unacknowledged_s: how long data may stay unacknowledged by the peer's machine before the connection counts as
            broken (network.md 3); silence without data is the core's to judge.
        drain_s: how long a clean stop waits for writes under way.
    """

    unauthenticated_max: int = 256
    unauthenticated_s: float = 10.0
    per_address_max: int = 64
    connections_max: int = 4096
    queue_bytes_max_core: int = 16 << 20
    queue_bytes_max: int = 4 << 20
    queued_bytes_all_max: int = 64 << 20
    partial_bytes_all_max: int = 32 << 20
    handshakes: Rate = HANDSHAKES
    deliver_max: int = 16
    send_bytes: int = 256 << 10
    read_bytes: int = 64 << 10
    read_bytes_core: int = 256 << 10
    signatures_max: int = 16_384
    waiting_records_max: int = 65_536
    dial_s: float = 5.0
    goodbye_s: float = 1.0
    unacknowledged_s: float = 2.0
    drain_s: float = 5.0


def limits_for(files: int | None, *, peers: int) -> Limits:
    """Return bounds for connections that leave the node its own descriptors, where the system allows it few.

    Strangers who could use up the last one would keep the database from opening its files, and that ends the node.

    Args:
        files: descriptors that this process may have open; None: any number.
        peers: configured peers, whom the node dials.
    """
    standard = Limits()
    if files is None:
        return standard
    room = max(_CONNECTIONS_MIN, files - _FILES_OWN - peers)
    return Limits(
        connections_max=min(standard.connections_max, room),
        unauthenticated_max=min(standard.unauthenticated_max, max(_CONNECTIONS_MIN // 2, room // 2)),
    )
