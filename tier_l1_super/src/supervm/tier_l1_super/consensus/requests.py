"""What the operator of an L1 may ask about validators and epochs, and what the node tells of its seat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.genesis import check_roles
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet

from ..ground import Ground
from ..messages import Approve, GetEpoch
from ..ranks import Ranks
from .epoch_end import EpochEnd


class EpochRequests(Part):
    """The operator's wish for the next validators, and records of epochs.

    Args:
        ground: what every part stands on.
        epoch_end: takes the wish.
        ranks: follows it.
        info: returns all that the node tells of itself.
    """

    answers = (Approve, GetEpoch)

    def __init__(
        self, ground: Ground, epoch_end: EpochEnd, ranks: Ranks, info: Callable[[int], dict[str, Any]]
    ) -> None:
        self._ground, self._seat, self._ledger, self._outbox = ground, ground.seat, ground.ledger, ground.outbox
        self._epoch_end, self._ranks, self._info = epoch_end, ranks, info

    def command(self, now_us: int, token: int, request: Approve | GetEpoch) -> None:
        """Take a wish, or tell of an epoch."""
        match request:
            case Approve(raw):
                self._approve(now_us, token, raw)
            case GetEpoch(number):
                self._epoch(token, number)

    def _approve(self, now_us: int, token: int, raw: bytes) -> None:
        """Take the operator's wish for the validators of the next epoch; no bytes withdraw it."""
        try:
            wish = None
            if raw:
                wish = ValidatorSet(decode(ValidatorList, raw).members)
                check_roles(wish.members, self._ground.chain.genesis.miners)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._outbox.refuse(token, f"these are no validators: {error}")
            return
        self._epoch_end.want(wish, now_us)
        self._ranks.look_again(now_us)
        self._outbox.reply(token, self._info(now_us), after=self._outbox.persist())

    def _epoch(self, token: int, number: int | None) -> None:
        record = self._ledger.epoch_record(self._seat.rules.epoch if number is None else number)
        if record is None:
            present = self._ledger.epoch.number
            self._outbox.refuse(
                token,
                f"epoch {number} has not begun, or this node began with a snapshot above it; the present one is "
                f"{present}",
            )
            return
        answer: dict[str, object] = {"number": record.number, "record": encode(record).hex()}
        if record.number == self._seat.rules.epoch:
            answer |= self._wishes()
        self._outbox.reply(token, answer)

    def about_seat(self) -> dict[str, object]:
        """Return what the line ``ready`` says of the seat: the index in the epoch's set, or why there is none."""
        return {"validator": self._seat.index, "no_seat": self._seat.why_none}

    def _wishes(self) -> dict[str, object]:
        """Return what is known of the validators of the next epoch."""
        wish, proposed = self._epoch_end.wish, self._ledger.proposed
        return {
            "wish": None if wish is None else wish.hash.hex(),
            "approvals": self._epoch_end.approvals(),
            "quorum": self._seat.rules.validators.quorum,
            "proposed": None if proposed is None else proposed.hash.hex(),
        }

    def problems(self, now_us: int) -> Iterable[str]:
        """Return why the node has no vote."""
        why = self._seat.why_none
        return () if why is None else (f"this node has no seat and only follows: {why}",)

    def info(self, now_us: int) -> dict[str, Any]:
        """Return the epoch, its validators, this node's place, and who is to come next."""
        validators = self._seat.rules.validators
        return {
            **self.about_seat(),
            "epoch": self._seat.rules.epoch,
            "validators": len(validators),
            "validators_hash": validators.hash.hex(),
            **self._wishes(),
        }
