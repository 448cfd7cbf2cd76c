"""Messages of every link, numbers 1 to 9: Hello, signs of life, and good-bye."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Uint, Uint16
from .fields import Message, Text, Word

TAGS = range(1, 10)


class Hello(Message, tag=1, frozen=True):
    """First message in both directions, frozen for all versions at these six fields.

    Two versions must read each other's Hello to refuse each other by name. What comes later is a word in `features`;
    each side says its own, and neither sends what the other does not name.

    Attributes:
        version_min: lowest version of this protocol that the sender speaks.
        version_max: highest one.
        tier: the sender's, 1 to 4; 0 of a client that is no node.
        features: words for what the sender can do beyond its version; none is in use yet, and unknown ones do no harm.
        clock_ms: the sender's clock when it sent this, Unix time in ms.
        agent: name and version of its software, for logs.
    """

    version_min: Uint16
    version_max: Uint16
    tier: Annotated[int, msgspec.Meta(ge=0, le=4)]
    features: Annotated[tuple[Word, ...], msgspec.Meta(max_length=32)]
    clock_ms: Uint
    agent: Word


class Heartbeat(Message, tag=2, frozen=True):
    """Sign of life.

    Attributes:
        counter: number of this round of heartbeats since the sender started, from 1.
        load_percent: how full the sender's store of transactions is; always 0 at an L1 and an L4.
        clock_ms: the sender's clock, Unix time in ms.
        height: of the newest certified checkpoint that the sender has.
    """

    counter: Uint
    load_percent: Annotated[int, msgspec.Meta(ge=0, le=100)]
    clock_ms: Uint
    height: Uint


class Goodbye(Message, tag=3, frozen=True):
    """Why the sender closes the connection: `code` is a stable word for programs, `reason` a sentence for people."""

    code: Word
    reason: Text
