"""Requests that the owner of an L2 node makes over its control socket."""

from __future__ import annotations

import msgspec

from supervm.common.parts.directory.messages import FindNodes, ListPeers


class Info(msgspec.Struct, frozen=True, tag="info", tag_field="request", forbid_unknown_fields=True):
    """Where the node stands.

    Answer: `InfoHead`, then ``"certified_height"``, state, ``"peers_by_tier"``, fees, supply, mempool and batches.
    """


class NewestAnchor(msgspec.Struct, frozen=True, tag="newest_anchor", tag_field="request", forbid_unknown_fields=True):
    """The newest certified header with its validators, for light clients to start from.

    Answer: ``{"anchor_hex", "chain_id", "height", "ts_ms"}``; refused before anything was certified since the start.
    """


Request = Info | NewestAnchor | FindNodes | ListPeers
