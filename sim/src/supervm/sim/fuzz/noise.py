"""What no program of ours would say: well-typed messages with wrong contents, old ones from another, odd questions.

Theory of operation. What was really sent is kept, some messages of each kind. One outburst of a host goes over its own
connections, in its own name: replays of what others sent, messages with one leaf changed - inside the canonical bytes
of agreed objects, too, so that the checks behind the first one are reached -, wild ones, and requests for everything
that there is. Nothing in it is signed, so no honest node may be harmed by it, whoever seems to say it.
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from supervm.protocol.base.codec import INT_MAX, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.chain import GetBatches
from supervm.protocol.wire.consensus import GetBlock
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import FeeTerms, Status

from ..exact import Deployment, Event, Host, Sent
from ..invariants import Monitor
from .wild import AGREED, MESSAGES, Wild

KEPT_PER_KIND: Final = 40
"""Messages of each kind that are kept for replays."""
REPLACED_EVERY: Final = 7
"""Of those that come later, every seventh takes the place of an older one."""
MESSAGES_MAX: Final = 12
"""Longest outburst."""
ASKED_MAX: Final = 16
"""Of so many of the newest blocks and batches one is asked for."""


class Noise:
    """Outbursts of hosts.

    Args:
        deployment: the network.
        monitor: knows the blocks and batches that there are.

    Attributes:
        said: messages delivered so far.
    """

    def __init__(self, deployment: Deployment, monitor: Monitor) -> None:
        self._world, self._facts = deployment.world, monitor.facts
        self._kept: dict[type[Message], list[Message]] = {kind: [] for kind in MESSAGES}
        self._seen = 0
        self._last: Message | None = None
        self._names = [*deployment.chain.validators.node_ids, *deployment.chain.first_state().accounts]
        self.said = 0
        self._world.observe(self._on)

    def _on(self, event: Event) -> None:
        if not isinstance(event, Sent) or event.message is self._last:
            return  # a broadcast counts once
        self._last = event.message
        kept = self._kept[type(event.message)]
        self._seen += 1
        if len(kept) < KEPT_PER_KIND:
            kept.append(event.message)
        elif self._seen % REPLACED_EVERY == 0:
            kept[self._seen % KEPT_PER_KIND] = event.message

    def outburst(self, host: Host, value: int) -> None:
        """Let a host say some things to its peers; `value` decides which."""
        rng = random.Random(value)  # noqa: S311 - a choice's value stands for all of it
        for _ in range(rng.randint(1, MESSAGES_MAX)):
            lanes = [lane for lane in host.links.values() if lane.back.open and lane.held is None]
            if not lanes:
                return
            lane = rng.choice(lanes)
            kind = rng.choice([kind for kind in MESSAGES if kind in lane.kinds])
            message = self._message(rng, kind)
            if message is None or _is_believed(message, lane.dst.tier):
                continue
            self.said += 1
            self._world.inject(host.node_id, lane.dst.node_id, message)

    def _message(self, rng: random.Random, kind: type[Message]) -> AnyMessage | None:
        """Return a message that the codec lets through, of this kind or a question; None if chance finds none."""
        kept = self._kept[kind]
        if kind in (GetBlock, GetBatches) and rng.random() < 0.7:
            made = self._question(rng, kind)
        elif not kept or rng.random() < 0.2:
            made = Wild(rng, self._names).message(kind)
        else:
            made = rng.choice(kept)
            if rng.random() < 0.6:
                made = _bend(rng, made)
        try:
            return decode_message(encode_message(made))
        except (RemoteProtocolError, msgspec.ValidationError, OverflowError):
            return None

    def _question(self, rng: random.Random, kind: type[Message]) -> Message:
        blocks = list(self._facts.blocks.items())[-ASKED_MAX:]
        if kind is GetBlock and blocks:
            digest, block = rng.choice(blocks)
            return GetBlock(block.header.view, digest)
        return GetBatches(tuple(self._facts.batches)[-ASKED_MAX:])


def _bend(rng: random.Random, value: Any) -> Any:
    """Return the value with one leaf changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((0, 1, min(INT_MAX, value + 1), max(0, value - 1), INT_MAX, rng.randrange(1 << 20)))
    if isinstance(value, bytes):
        return _bend_bytes(rng, value)
    if isinstance(value, tuple) and value:
        place = rng.randrange(len(value))
        how = rng.randrange(4)
        if how == 0:
            return value + value[:1]
        if how == 1:
            return value[:place] + value[place + 1 :]
        return (*value[:place], _bend(rng, value[place]), *value[place + 1 :])
    if isinstance(value, msgspec.Struct) and value.__struct_fields__:
        name = rng.choice(value.__struct_fields__)
        return msgspec.structs.replace(value, **{name: _bend(rng, getattr(value, name))})
    return value


def _bend_bytes(rng: random.Random, value: bytes) -> bytes:
    how = rng.randrange(6)
    if how == 0 or not value:
        return rng.randbytes(len(value))
    place = rng.randrange(len(value))
    if how == 1:
        return value[:place]
    if how == 2:
        return value[:place] + bytes([value[place] ^ 1 << rng.randrange(8)]) + value[place + 1 :]
    if how == 3:
        return value + b"\x00"
    for kind in AGREED:
        try:
            inside = decode(kind, value, bytes_max=len(value))
        except RemoteProtocolError:
            continue
        return encode(_bend(rng, inside))
    return rng.randbytes(len(value))


def _is_believed(message: AnyMessage, tier: int) -> bool:
    """Return whether a node of that tier takes the other's word for it, by design.

    An edge's word on its own phones' payments is, and anybody's on the fees that he takes: they are his to choose, and
    a payment with a lower one is refused from then on.
    """
    return isinstance(message, FeeTerms) or (tier == 4 and isinstance(message, Status))
