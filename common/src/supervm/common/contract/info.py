"""What every node's answer to the owner's request ``info`` begins with; what its tier adds follows."""

from __future__ import annotations

import msgspec


class InfoHead(msgspec.Struct, frozen=True):
    """Who a node is and how it stands, the same in all tiers.

    Attributes:
        tier: 1 to 4.
        node_id: who it is, ``svmnode1...``.
        chain_id: its network, hexadecimal.
        height: how far it has the chain: the newest block that an L1 or L2 has executed, the newest header that an L3
            or L4 trusts.
        peers: how many are up.
        problems: what the owner should know and do something about, in sentences.
    """

    tier: int
    node_id: str
    chain_id: str
    height: int
    peers: int
    problems: list[str]
