"""What a node answers that neither punches nor carries for others (network.md 5 and 8).

Taking part is a node's own choice, and so is naming `reach1` for the sake of being found. Such a node refuses to be
brought together with anybody and wants none of the bundles that it is offered; pieces, fates and wishes of bundles that
it never offered or wanted are a fault.
"""

from __future__ import annotations

from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.reach import (
    BundleData,
    BundleOffer,
    BundleTaken,
    BundleWant,
    PunchAsk,
    PunchGo,
    RelayCount,
)
from supervm.protocol.wire.subjects import REACH

from ...contract.core import Outbox
from ..part import Part
from .costs import REACH_COSTS

REFUSAL: Final = "abstains"
"""Why a node that takes no part does not bring others together."""


class AbstainPunching(Part):
    """Taking no part in bringing others together.

    Args:
        outbox: where the answers go.
    """

    takes = frozenset({PunchAsk, PunchGo})
    sends = frozenset({PunchGo})
    subjects = (REACH,)
    costs = REACH_COSTS

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Decline what is asked; refuse what answers no question of ours."""
        if not isinstance(message, PunchAsk):
            raise _unasked(message)
        self._outbox.send(peer, PunchGo(message.number, message.peer, (), message.nat, 0, REFUSAL))


class AbstainBundles(Part):
    """Carrying nothing for others.

    Args:
        outbox: where the answers go.
    """

    takes = frozenset({BundleOffer, BundleWant, BundleData, BundleTaken})
    sends = frozenset({BundleWant})
    subjects = (REACH,)
    costs = REACH_COSTS

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Want nothing of what is offered; refuse what answers nothing of ours."""
        if not isinstance(message, BundleOffer):
            raise _unasked(message)
        self._outbox.send(peer, BundleWant(()))


class AbstainRelays(Part):
    """Settling nothing of what others have carried."""

    takes = frozenset({RelayCount})
    subjects = (REACH,)
    costs = REACH_COSTS

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Refuse it."""
        raise _unasked(message)


def _unasked(message: Message) -> RemoteProtocolError:
    return RemoteProtocolError(f"nobody here has asked for a {type(message).__name__}", code="unasked")
