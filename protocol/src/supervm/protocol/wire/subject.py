"""Subjects of the wire: what belongs together among the kinds of messages, and who may send which to whom.

Theory of operation. A *subject* names its kinds, their numbers' range and the directions in which each travels. The
subjects of this release are in `directions`; a node that has a part with a subject of its own makes a `Wire` of both.
A `Wire` reads frames and knows directions; the numbers of its subjects must not overlap, since a number is all that a
frame says of its kind. The subjects' names are words of Hello: what the other node does not name is not sent to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec

from ..base.errors import LocalProtocolError
from . import chain, consensus, link, payments, reach
from .directions import ACCEPTS, ANY_LINK, Kinds
from .fields import Message
from .frames import UNREADABLE, unreadable
from .messages import DROPPABLE, AnyMessage

Direction = tuple[int, int]
"""(sender's tier, receiver's tier), each 0 to 4."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Kinds of messages that came later than those of `messages`.

    Attributes:
        name: a word, for Hello: it stands for the kinds as they are, so what changes one of them takes another word.
        numbers: the range that the kinds' tags are in.
        directions: each kind and where it may travel.
        droppable: kinds that a full queue may drop, because the next one says more.
    """

    name: str
    numbers: range
    directions: Mapping[type[Message], frozenset[Direction]]
    droppable: frozenset[type[Message]] = frozenset()


class Wire:
    """What one node can read, and who may send it what.

    Args:
        subjects: beside those that every node knows.

    Attributes:
        features: the subjects' names.
        droppable: kinds that a full queue may drop.

    Raises:
        LocalProtocolError: a number stands for two kinds, or is outside its subject's range; or the ranges of two
            subjects meet, those of this release included.
    """

    def __init__(self, *subjects: Subject) -> None:
        known: dict[int | str | None, str] = {
            kind.__struct_config__.tag: kind.__name__ for kind in get_args(AnyMessage)
        }
        accepts: dict[Direction, Kinds] = dict(ACCEPTS)
        union: Any = AnyMessage
        for subject in subjects:
            for kind, directions in subject.directions.items():
                tag = kind.__struct_config__.tag
                if tag in known or tag not in subject.numbers:
                    raise LocalProtocolError(
                        f"{subject.name}: {kind.__name__} has the number {tag}; free numbers of {subject.numbers} are "
                        "allowed"
                    )
                known[tag] = kind.__name__
                for direction in sorted(directions):
                    accepts[direction] = accepts.get(direction, ANY_LINK) | {kind}
            union = reduce(or_, subject.directions, union)
        _check_ranges(subjects)
        self._accepts = accepts
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(union)
        self._subjects = subjects
        self.features = tuple(subject.name for subject in subjects)
        self.droppable: Kinds = frozenset((*DROPPABLE, *(kind for subject in subjects for kind in subject.droppable)))

    def accepted_kinds(self, sender_tier: int, receiver_tier: int) -> Kinds:
        """Return what a node of `sender_tier` may send to a node of `receiver_tier` after Hello; tiers are 0..4."""
        return self._accepts.get((sender_tier, receiver_tier), ANY_LINK)

    def unknown_to(self, features: Collection[str]) -> Kinds:
        """Return the kinds that a node which says these words in its Hello does not know."""
        return frozenset(
            kind for subject in self._subjects if subject.name not in features for kind in subject.directions
        )

    def decode(self, frame: bytes) -> Any:
        """Read exactly one message.

        Raises:
            RemoteProtocolError: not msgpack, not a known message, a field out of bounds, or bytes left over.
        """
        try:
            return self._decoder.decode(frame)
        except UNREADABLE as error:  # no call in between: this is on the path of every frame
            raise unreadable(frame, error) from error


def _check_ranges(subjects: Collection[Subject]) -> None:
    """Check that no number belongs to two subjects, whether it is in use or kept for a kind to come."""
    ranges = [(module.__name__.rpartition(".")[2], module.TAGS) for module in (link, payments, chain, consensus)]
    kept = ("reach1", reach.TAGS)
    """Also at a node without that subject: a peer with both could not tell which is meant."""
    if all((subject.name, subject.numbers) != kept for subject in subjects):
        ranges.append(kept)
    for subject in subjects:
        for name, numbers in ranges:
            if subject.numbers.start < numbers.stop and numbers.start < subject.numbers.stop:
                raise LocalProtocolError(
                    f"{subject.name}: its numbers, {subject.numbers}, meet those of {name}, {numbers}; each subject "
                    "has a range of its own"
                )
        ranges.append((subject.name, subject.numbers))


STANDARD = Wire()
"""What every node knows."""
