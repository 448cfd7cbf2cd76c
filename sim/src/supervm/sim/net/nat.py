"""What a network address translator does, as a value (RFC 4787, RFC 5382), and which pairs of them can be joined.

Theory of operation. A node learns its *told* endpoint - the address and port that an edge sees (`Observed`) - over the
link to that edge, and dials from the same port ever after. Whether another node that dials the told endpoint gets
through is a matter of two behaviours at the answering side and one at the dialling side:

* *Mapping*: does the answerer's NAT use the told port towards everybody, or another one towards each destination?
* *Filtering*: whose packets does it let in at that port: anybody's, those from addresses that the node has sent to, or
  those from exactly such endpoints? In a simultaneous dial the node has sent, through a mapping that the told port
  belongs to only if it is independent of the destination, to the dialler's *told* endpoint.
* The dialler's mapping: does its packet really come from its told endpoint? Behind a NAT that maps by destination it
  comes from another port of the same address (RFC 4787's "paired" pooling), which only filtering by port notices.

TCP needs one direction: whoever's first packet gets in finds a listening port. So two ends can be joined by a
simultaneous dial if either's packet gets through to the other, and without one if either end lets in whoever comes.
Of NATs in a row each has to let the packet pass; the dialler comes from its told endpoint if all of its own keep their
ports. So what stands between a node and the internet is a `Row`, and a public node's is empty. A NAT may filter TCP
more strictly than UDP, as those do that follow each connection's state, so WebRTC, which needs UDP, joins some pairs
that TCP does not.

Port prediction, and NATs that answer an unexpected packet with a refusal (which ends the other's attempt early), are
left out. No module of the engine is imported here: a laboratory of real NATs can compare itself with `path_of`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from itertools import combinations_with_replacement
from typing import Final


class Behaviour(IntEnum):
    """What a mapping or a filter depends on, beside the inner endpoint; a greater one is more particular."""

    INDEPENDENT = 0
    """On nothing: one mapping towards everybody; everybody is let in."""
    ADDRESS = 1
    """On the other end's address."""
    ADDRESS_AND_PORT = 2
    """On its address and port."""


class Path(Enum):
    """The best way that joins two nodes, in the order in which they are tried (network.md 3)."""

    LAN = "lan"
    DIRECT = "direct"
    PUNCHED = "punched"
    WEBRTC = "webrtc"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True)
class Nat:
    """One translator's behaviour.

    Attributes:
        mapping: which destinations share a mapping.
        filtering: who is let in at a mapping.
        tcp_filtering: the same for TCP, where it is stricter; None: as `filtering`.
        hairpin: whether inner nodes reach each other by their outer endpoints.
        udp_expiry_us: how long a mapping for UDP outlives the last packet from inside (RFC 4787: not below 2 minutes).
        tcp_expiry_us: the same for an established TCP connection, packets either way (RFC 5382: not below 2 h 4 min).
        udp_blocked: nothing but TCP gets out.
    """

    mapping: Behaviour = Behaviour.INDEPENDENT
    filtering: Behaviour = Behaviour.INDEPENDENT
    tcp_filtering: Behaviour | None = None
    hairpin: bool = False
    udp_expiry_us: int = 120_000_000
    tcp_expiry_us: int = 7_440_000_000
    udp_blocked: bool = False

    def filter_of(self, *, udp: bool) -> Behaviour:
        """Return how it filters a protocol."""
        return self.filtering if udp or self.tcp_filtering is None else self.tcp_filtering

    @property
    def strict(self) -> Nat:
        """The same NAT if it follows the state of TCP connections, as most routers do: TCP is let in by endpoint."""
        return replace(self, tcp_filtering=Behaviour.ADDRESS_AND_PORT)


Row = tuple[Nat, ...]
"""The NATs between a node and the internet, the node's own first; empty: the node has an address of the internet."""

PUBLIC: Final[Row] = ()
FULL_CONE: Final = Nat()
ADDRESS_RESTRICTED: Final = Nat(filtering=Behaviour.ADDRESS)
PORT_RESTRICTED: Final = Nat(filtering=Behaviour.ADDRESS_AND_PORT)
SYMMETRIC: Final = Nat(Behaviour.ADDRESS_AND_PORT, Behaviour.ADDRESS_AND_PORT)
UDP_BLOCKED: Final = replace(PORT_RESTRICTED, udp_blocked=True)

KINDS: Final[dict[str, Row]] = {
    "public": PUBLIC,
    "full-cone": (FULL_CONE,),
    "address-restricted": (ADDRESS_RESTRICTED,),
    "port-restricted": (PORT_RESTRICTED,),
    "symmetric": (SYMMETRIC,),
    "udp-blocked": (UDP_BLOCKED,),
}
"""The names that people use (RFC 3489's) -> what they mean in RFC 4787's terms."""


def strict(row: Row) -> Row:
    """Return the same NATs, each of which follows the state of TCP connections (`Nat.strict`)."""
    return tuple(nat.strict for nat in row)


def carries_udp(row: Row) -> bool:
    """Return whether UDP gets out at all."""
    return not any(nat.udp_blocked for nat in row)


def keeps_port(row: Row) -> bool:
    """Return whether a node's packets come from its told endpoint, wherever they go."""
    return all(nat.mapping is Behaviour.INDEPENDENT for nat in row)


def lets_in_anybody(row: Row, *, udp: bool = False) -> bool:
    """Return whether a stranger's first packet to the told endpoint gets in, while the node is linked to its edge."""
    return all(nat.filter_of(udp=udp) is Behaviour.INDEPENDENT for nat in row)


def gets_in(dialler: Row, answerer: Row, *, udp: bool = False) -> bool:
    """Return whether the dialler's packet to the told endpoint gets in, if the answerer dials at the same moment."""
    from_told = keeps_port(dialler)
    through_told = True  # whether what the answerer sends to the dialler goes through the told port's mappings, so far
    for nat in answerer:
        through_told = through_told and nat.mapping is Behaviour.INDEPENDENT
        filtering = nat.filter_of(udp=udp)
        if filtering is Behaviour.INDEPENDENT:
            continue
        if not through_told or not (from_told or filtering is Behaviour.ADDRESS):
            return False
    return True


def direct_opens(a: Row, b: Row, *, udp: bool = False) -> bool:
    """Return whether one of two nodes can dial the other at any time, for instance by trying both ways."""
    if udp and not (carries_udp(a) and carries_udp(b)):
        return False
    return lets_in_anybody(a, udp=udp) or lets_in_anybody(b, udp=udp)


def punch_opens(a: Row, b: Row, *, udp: bool = False) -> bool:
    """Return whether a simultaneous dial joins two nodes behind different NATs.

    Over TCP either packet suffices, because it finds a listening port. Over UDP it does, too: whoever is reached learns
    from the packet where an answer has to go (a peer-reflexive candidate of ICE).
    """
    if udp and not (carries_udp(a) and carries_udp(b)):
        return False
    return gets_in(a, b, udp=udp) or gets_in(b, a, udp=udp)


def path_of(a: Row, b: Row, *, webrtc: bool = True) -> Path:
    """Return the best way that joins two nodes that are not on one LAN and are both linked to an edge.

    Args:
        a: what is between one node and the internet.
        b: the same for the other.
        webrtc: whether both nodes have that transport.
    """
    if direct_opens(a, b):
        return Path.DIRECT
    if punch_opens(a, b):
        return Path.PUNCHED
    if webrtc and punch_opens(a, b, udp=True):
        return Path.WEBRTC
    return Path.RELAYED


def pairs() -> list[tuple[str, str]]:
    """Return the 21 pairs of `KINDS`."""
    return list(combinations_with_replacement(KINDS, 2))
