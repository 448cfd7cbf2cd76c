"""From one set of validators to the next: who is ranked how, and what light clients are told (consensus.md 5)."""

from __future__ import annotations

from collections.abc import Callable

from supervm.common.contract.core import Outbox
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.validator_changes import CHANGE_TABLES
from supervm.protocol.wire.payments import GetValidatorChanges, ValidatorChanges

from ..events import Epoch
from .replica import Replica
from .serving import Serving


class Epochs(Part):
    """The changes of validators, for those who verify what comes from here.

    Args:
        replica: follows the epochs and keeps the changes.
        serving: knows whom to tell.
        manners: what is answered is charged to it.
        outbox: where effects go.
        rerank: looks anew at what each peer is to the node.
    """

    takes = frozenset({GetValidatorChanges})
    sends = frozenset({ValidatorChanges})
    tables = CHANGE_TABLES
    events = (Epoch,)

    def __init__(
        self, replica: Replica, serving: Serving, manners: Manners, outbox: Outbox, rerank: Callable[[int], None]
    ) -> None:
        self._replica, self._serving, self._manners, self._outbox = replica, serving, manners, outbox
        self._rerank = rerank
        self._rules = replica.voting_rules

    def receive(self, now_us: int, peer: bytes, message: GetValidatorChanges) -> None:
        """Give the oldest changes above a height."""
        changes = self._replica.changes.answer(message.after_height)
        self._outbox.send(peer, changes)
        self._manners.answered(now_us, peer, "history", sum(map(len, changes.changes)))

    def settle(self, now_us: int) -> None:
        """When an epoch has begun, tell of other validators before anybody sees what they have signed."""
        rules = self._replica.voting_rules
        if rules.epoch == self._rules.epoch:
            return
        former, self._rules = self._rules, rules
        self._rerank(now_us)
        news = self._replica.changes.answer(former.root_height)  # after a snapshot, of several epochs
        if news.changes:
            for peer in self._serving.listeners:
                self._outbox.send(peer, news)
        self._outbox.publish(Epoch(rules.epoch, len(rules.validators)))
