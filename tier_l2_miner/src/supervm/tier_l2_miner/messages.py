"""Requests that the owner of an L2 node makes over its control socket."""

from __future__ import annotations

import msgspec


class Info(msgspec.Struct, frozen=True, tag="info", tag_field="request", forbid_unknown_fields=True):
    """Where the node stands: heights, mempool, batches, peers and fees."""


Request = Info
