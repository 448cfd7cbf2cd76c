"""Requests that the owner of an L1 node makes over its control socket."""

from __future__ import annotations

import msgspec


class Info(msgspec.Struct, frozen=True, tag="info", tag_field="request", forbid_unknown_fields=True):
    """Where the node stands: heights, view, peers, fees and supply."""


Request = Info
