"""Changes of validators: learned of miners, followed step by step, and shown to clients (consensus.md 5)."""

from __future__ import annotations

from supervm.common.contract.core import Outbox
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.validator_following import read_changes
from supervm.protocol.base.codec import encode
from supervm.protocol.light.client import ValidatorChange
from supervm.protocol.wire.payments import GetValidatorChanges, ValidatorChanges

from ..proofs.proofs import Proofs
from ..relay.routes import Routes
from .trust import Trust


class Changes(Part):
    """Who validates: what miners tell of it, and what clients ask.

    Args:
        outbox: where messages go.
        manners: what an answer costs its asker.
        routes: the miners.
        trust: follows and remembers.
        proofs: told of each change, as it holds for what is subscribed.
    """

    takes = frozenset({GetValidatorChanges, ValidatorChanges})
    sends = frozenset({GetValidatorChanges, ValidatorChanges})

    def __init__(self, outbox: Outbox, manners: Manners, routes: Routes, trust: Trust, proofs: Proofs) -> None:
        self._outbox = outbox
        self._manners = manners
        self._routes = routes
        self._trust = trust
        self._proofs = proofs

    def receive(self, now_us: int, peer: bytes, message: GetValidatorChanges | ValidatorChanges) -> None:
        """Follow a miner's changes, or answer a client."""
        match message:
            case ValidatorChanges():
                self._routes.check_miner(peer, message)
                follower = self._trust.memory.follower
                if follower.follow_all(now_us, read_changes(message), self._followed):
                    follower.ask_on(peer, len(message.changes))
            case GetValidatorChanges(after_height):
                self._routes.check_client(peer, message)
                answer = self._trust.memory.answer(after_height)
                self._outbox.send(peer, answer)
                self._manners.answered(now_us, peer, "history", sum(map(len, answer.changes)))

    def _followed(self, change: ValidatorChange) -> None:
        self._proofs.validators_changed(ValidatorChanges((encode(change),)))
