"""Requests that the operator of an L1 node makes over its control socket."""

from __future__ import annotations

import msgspec

from supervm.common.parts.directory.messages import FindNodes, ListPeers


class Info(msgspec.Struct, frozen=True, tag="info", tag_field="request", forbid_unknown_fields=True):
    """Where the node stands.

    Answer: `InfoHead`, then ``"certified_height"``, ``"finalized_height"``, view, epoch and seat, roots, ``"supply"``
    of the native asset, and ``"fees"``: asset, ``"svm"`` or its id, -> ``"l1"`` to ``"l4"`` -> what it was given.
    """


class Approve(msgspec.Struct, frozen=True, tag="approve", tag_field="request", forbid_unknown_fields=True):
    """Approve a set of validators for the next epoch: agreed bytes of a `ValidatorList`; empty bytes withdraw.

    The order of the list is part of what is approved: whoever reads one from a person puts it into the one order first
    (`supervm.protocol.chain.validators.canonical_members`).
    """

    validators: bytes


class GetEpoch(msgspec.Struct, frozen=True, tag="epoch", tag_field="request", forbid_unknown_fields=True):
    """Ask for the record of an epoch (`supervm.protocol.chain.epoch.EpochRecord`); None: the present one."""

    number: int | None = None


Request = Info | Approve | GetEpoch | FindNodes | ListPeers
