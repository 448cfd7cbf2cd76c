"""A `Wire` reads the standard kinds and those of its subjects, and its subjects never share a number."""

from __future__ import annotations

import pytest
from protocol_samples import message_samples

from supervm.protocol.base.codec import Uint
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.wire.directions import ACCEPTS, ANY_LINK
from supervm.protocol.wire.fields import Message, Text
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.messages import DROPPABLE
from supervm.protocol.wire.subject import STANDARD, Subject, Wire
from supervm.protocol.wire.subjects import REACH

UP = frozenset({(4, 3)})


class Ask(Message, frozen=True, tag=220):
    """A question."""

    number: Uint


class Tell(Message, frozen=True, tag=221):
    """An answer."""

    text: Text


class Twin(Message, frozen=True, tag=220):
    """Of the number of `Ask`."""


class Beat(Message, frozen=True, tag=2):
    """Of the number of `Heartbeat`."""


TALK = Subject("talk1", range(220, 230), {Ask: UP, Tell: frozenset({(3, 4), (4, 4)})}, droppable=frozenset({Ask}))
WIRE = Wire(TALK)


@pytest.mark.parametrize("message", message_samples().values(), ids=message_samples())
def test_every_wire_reads_the_standard_messages(message: Message) -> None:
    frame = encode_message(message)
    assert STANDARD.decode(frame) == WIRE.decode(frame) == decode_message(frame) == message


def test_only_a_wire_with_the_subject_reads_its_kinds() -> None:
    for message in (Ask(7), Tell("x")):
        frame = encode_message(message)
        assert WIRE.decode(frame) == message
        with pytest.raises(RemoteProtocolError) as caught:
            STANDARD.decode(frame)
        assert caught.value.penalty == 100
        with pytest.raises(RemoteProtocolError):
            WIRE.decode(frame + b"x")
    with pytest.raises(RemoteProtocolError):
        WIRE.decode(encode_message(Tell("x" * 257)))


def test_kinds_travel_where_their_subject_says() -> None:
    assert WIRE.accepted_kinds(4, 3) == ACCEPTS[4, 3] | {Ask}
    assert WIRE.accepted_kinds(3, 4) == ACCEPTS[3, 4] | {Tell}
    assert WIRE.accepted_kinds(4, 4) == ANY_LINK | {Tell}
    assert all(STANDARD.accepted_kinds(*way) == kinds for way, kinds in ACCEPTS.items())
    assert STANDARD.accepted_kinds(4, 4) == ANY_LINK


def test_what_may_be_dropped_and_what_the_other_end_does_not_know() -> None:
    assert STANDARD.droppable == frozenset(DROPPABLE)
    assert WIRE.droppable == {*DROPPABLE, Ask}
    assert (STANDARD.features, WIRE.features) == ((), ("talk1",))
    assert WIRE.unknown_to(()) == {Ask, Tell}
    assert WIRE.unknown_to(("talk2",)) == {Ask, Tell}
    assert WIRE.unknown_to(("cache", "talk1")) == STANDARD.unknown_to(()) == frozenset()


@pytest.mark.parametrize(
    "subject",
    [
        Subject("outside", range(230, 240), {Ask: UP}),
        Subject("twice", range(220, 230), {Twin: UP}),
        Subject("standard", range(10), {Beat: UP}),
    ],
    ids=lambda subject: subject.name,
)
def test_a_number_stands_for_one_kind_within_its_subjects_range(subject: Subject) -> None:
    with pytest.raises(LocalProtocolError, match=f"^{subject.name}: .* has the number"):
        Wire(TALK, subject)


class Later(Message, frozen=True, tag=231):
    """Of a number that nobody else has."""


@pytest.mark.parametrize(
    ("numbers", "other"),
    [
        (range(225, 240), "talk1"),
        (range(29, 232), "payments"),
        (range(49, 232), "chain"),
        (range(9, 232), "link"),
        (range(59, 232), "consensus"),
        (range(79, 232), "reach1"),
    ],
)
def test_the_ranges_of_two_subjects_never_meet(numbers: range, other: str) -> None:
    """Also where the numbers are not in use: they are kept for kinds of that subject to come."""
    with pytest.raises(LocalProtocolError, match=f"^later: its numbers, range.* meet those of {other}, "):
        Wire(TALK, Subject("later", numbers, {Later: UP}))
    assert Wire(TALK, Subject("later", range(230, 240), {Later: UP})).features == ("talk1", "later")


def test_the_subject_of_this_release_is_in_its_own_range_and_in_no_other() -> None:
    assert Wire(REACH, TALK).features == ("reach1", "talk1")
    assert STANDARD.unknown_to(()) == frozenset()
    assert Wire(REACH).unknown_to(("talk1",)) == frozenset(REACH.directions)
    with pytest.raises(LocalProtocolError, match="meet those of reach1"):
        Wire(Subject("other", REACH.numbers, {}))
