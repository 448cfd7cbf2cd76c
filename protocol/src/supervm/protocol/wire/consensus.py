"""Messages between validators, numbers 50 to 59: proposals, votes, certificates and where they stand."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Hash, Uint
from ..chain.validators import VALIDATORS_MAX
from ..chain.votes import Certificate, Vote
from .fields import BigBlob, Message

TAGS = range(50, 60)


class ProposalMessage(Message, tag=50, frozen=True):
    """A proposed `block` (`Block`); it counts as its leader's Notarize vote."""

    block: BigBlob


class VoteMessage(Message, tag=51, frozen=True):
    """Consensus and checkpoint `votes`, and those on the end of the epoch."""

    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=4 * VALIDATORS_MAX)]


class CertificateMessage(Message, tag=52, frozen=True):
    """`certificates`: notarizations, nullifications and finalizations."""

    certificates: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=VALIDATORS_MAX)]


class GetBlock(Message, tag=53, frozen=True):
    """Ask for one proposed block by its `view` and header hash `digest`; it comes back as a `ProposalMessage`."""

    view: Uint
    digest: Hash


class ConsensusStatus(Message, tag=54, frozen=True):
    """Where the sender stands; never trusted as proof.

    Attributes:
        epoch: the one that it votes in or follows.
        view: the view of that epoch that it is in.
        finalized_view: view of its last finalized block; 0 at the epoch's root.
        finalized_height: height of its last finalized block.
        sealed: whether it has executed the sealing block of that epoch.
    """

    epoch: Uint
    view: Uint
    finalized_view: Uint
    finalized_height: Uint
    sealed: bool
