"""Rules of `Peering`: whom to dial when, with which back-off, and when a silent peer is given up."""

from __future__ import annotations

import random

from supervm.common.contract.core import (
    Dial,
    DialFailed,
    Effect,
    HangUp,
    Outbox,
    PeerDown,
    PeerMoved,
    PeerUp,
    Publish,
    Send,
)
from supervm.common.parts.events import NodeKeyInUse
from supervm.common.parts.peering import (
    BACKOFF_US_MAX,
    BACKOFF_US_MIN,
    DIAL_TIMEOUT_US,
    DUPLICATE_TEXT,
    HEARTBEAT_US,
    LASTED_US,
    SILENCE_US_MAX,
    Peering,
)
from supervm.protocol.wire.link import Heartbeat

A, B = b"a" * 32, b"b" * 32
SECOND = 1_000_000


def peering(*targets: tuple[bytes | None, str]) -> tuple[Peering, Outbox]:
    outbox = Outbox()
    return Peering(outbox, targets, random.Random(1)), outbox


def up(peer: bytes, address: str | None = None, tier: int = 2) -> PeerUp:
    return PeerUp(peer, tier, (), 0, address)


def run(part: Peering, outbox: Outbox, from_us: int, to_us: int) -> list[tuple[int, Effect]]:
    """Tick at every deadline of a span; return what came out and when."""
    found: list[tuple[int, Effect]] = []
    now_us = from_us
    while True:
        part.tick(now_us)
        found += [(now_us, effect) for effect in outbox.drain()]
        deadline = part.deadline_us
        if deadline is None or deadline > to_us:
            return found
        assert deadline > now_us, "a deadline that does not move would spin the driver"
        now_us = deadline


def test_targets_are_dialled_at_once_and_again_after_an_unanswered_dial() -> None:
    """Both targets at the start; one that gets no answer is dialled again after the time-out."""
    part, outbox = peering((A, "one:1"), (None, "two:2"))
    dials = run(part, outbox, 0, DIAL_TIMEOUT_US)
    assert dials == [(at, Dial(*target)) for at in (0, DIAL_TIMEOUT_US) for target in (("one:1", A), ("two:2", None))]


def test_back_off_doubles_to_its_bound_with_jitter_and_starts_anew_after_a_link_that_lasted() -> None:
    """Each wait is between half and all of the back-off; a link that ends at once is no success."""
    part, outbox = peering((A, "one:1"))
    run(part, outbox, 0, 0)
    now_us, expected = 0, BACKOFF_US_MIN
    for _ in range(10):
        part.dial_failed(now_us, DialFailed("one:1", "refused"))
        deadline = part.deadline_us
        assert deadline is not None
        assert expected // 2 <= deadline - now_us <= expected
        expected = min(2 * expected, BACKOFF_US_MAX)
        now_us = deadline
        part.tick(now_us)
    for lasted_us, least_us, most_us in (
        (LASTED_US - 1, BACKOFF_US_MAX // 2, BACKOFF_US_MAX),
        (LASTED_US, 0, BACKOFF_US_MIN),
    ):
        part.peer_up(now_us, up(A, "one:1"))
        now_us += lasted_us
        part.peer_down(now_us, PeerDown(A, "reset"))
        deadline = part.deadline_us
        assert deadline is not None
        assert least_us <= deadline - now_us <= most_us
        now_us = deadline
        part.tick(now_us)


def test_two_nodes_with_one_key_settle_and_both_say_so() -> None:
    """The peer keeps the newer link each time; few connections, and the reason for both owners (case 15)."""
    nodes = [peering((B, "edge:1")) for _ in range(2)]
    holder: int | None = None
    ups, named = [0, 0], [0, 0]
    for now_us in range(0, 60 * SECOND, SECOND // 20):
        for number, (part, outbox) in enumerate(nodes):
            part.tick(now_us)
            dialled = False
            for effect in outbox.drain():
                dialled = dialled or isinstance(effect, Dial)
                named[number] += isinstance(effect, Publish) and isinstance(effect.event, NodeKeyInUse)
            if dialled:
                if holder is not None:
                    nodes[holder][0].peer_down(now_us, PeerDown(B, "a newer connection is kept", "duplicate"))
                part.peer_up(now_us, up(B, "edge:1", tier=3))
                holder = number
                ups[number] += now_us < 20 * SECOND
    assert all(1 <= count < 8 for count in ups), ups
    assert all(named), named
    for part, _ in nodes:
        assert part.problems(60 * SECOND) == [DUPLICATE_TEXT]
        assert part.problems(3600 * SECOND) == []


def test_a_duplicate_by_chance_is_not_named() -> None:
    """Two dials at once, now and then, with links that last in between."""
    part, outbox = peering((A, "one:1"))
    now_us = 0
    for code in ("duplicate", "", "duplicate", "duplicate", ""):
        part.tick(now_us)
        part.peer_up(now_us, up(A, "one:1"))
        now_us += LASTED_US
        part.peer_down(now_us, PeerDown(A, "over", code))
        now_us = part.deadline_us or 0
    assert not [effect for effect in outbox.drain() if isinstance(effect, Publish)]
    assert part.problems(now_us) == []


def test_a_link_refused_for_the_clock_is_a_problem_until_it_stands() -> None:
    """Whichever of the two clocks is wrong, and whoever refused."""
    part, _ = peering((A, "one:1"))
    part.dial_failed(0, DialFailed("one:1", "the peer said clock: 40000 ms", None, "clock"))
    assert part.problems(1) == ["no link to one:1: the peer said clock: 40000 ms"]
    part.peer_up(2, up(A, "one:1"))
    assert part.problems(3) == []


def test_a_target_that_dialled_us_is_not_dialled() -> None:
    """By node id; and after it has gone it is dialled."""
    part, outbox = peering((A, "one:1"))
    part.peer_up(0, up(A))
    assert not [effect for _, effect in run(part, outbox, 0, 5 * SECOND) if isinstance(effect, Dial)]
    part.peer_down(5 * SECOND, PeerDown(A, "reset"))
    assert [effect for _, effect in run(part, outbox, 5 * SECOND, 6 * SECOND)] == [Dial("one:1", A)]


def test_an_address_whose_node_is_up_over_another_connection_is_not_dialled_over_it() -> None:
    """A second connection would replace the first, on both ends, again and again."""
    part, outbox = peering((None, "one:1"), (None, "alias:1"))
    run(part, outbox, 0, 0)
    part.peer_up(0, up(A))
    part.dial_failed(0, DialFailed("one:1", "duplicate", A))
    part.peer_up(0, up(A, "alias:1"))
    assert not [effect for _, effect in run(part, outbox, 0, 5 * SECOND) if isinstance(effect, Dial)]
    part.peer_down(5 * SECOND, PeerDown(A, "a newer connection is kept"))
    part.peer_up(5 * SECOND, up(A))
    assert not [effect for _, effect in run(part, outbox, 5 * SECOND, 9 * SECOND) if isinstance(effect, Dial)]
    part.peer_down(9 * SECOND, PeerDown(A, "reset"))
    dials = [effect for _, effect in run(part, outbox, 9 * SECOND, 10 * SECOND) if isinstance(effect, Dial)]
    assert sorted(dial.address for dial in dials) == ["alias:1", "one:1"]


def test_another_node_than_the_expected_one_does_not_count() -> None:
    """The driver refuses it; the target is tried again."""
    part, outbox = peering((B, "one:1"))
    run(part, outbox, 0, 0)
    part.peer_up(0, up(A))
    part.dial_failed(0, DialFailed("one:1", "wrong-peer", A))
    assert Dial("one:1", B) in [effect for _, effect in run(part, outbox, 0, SECOND)]


def test_heartbeats_go_to_everyone_and_count() -> None:
    """Every ten seconds, with load, time and height."""
    part, outbox = peering()
    for peer in (A, B):
        part.peer_up(0, up(peer))
    part.height, part.load_percent = 7, 30
    for at_us in range(0, 30 * SECOND, SECOND):
        part.heard(at_us, A)
        part.heard(at_us, B)
        part.tick(at_us)
    sent = [effect for effect in outbox.drain() if isinstance(effect, Send)]
    assert [(item.peer, item.message) for item in sent] == [
        (peer, Heartbeat(number, 30, number * HEARTBEAT_US // 1000, 7)) for number in (1, 2) for peer in (A, B)
    ]


def test_a_silent_peer_is_given_up_after_one_and_a_half_heartbeats() -> None:
    """Not a heartbeat later; one that speaks stays (network.md 3)."""
    part, outbox = peering()
    part.peer_up(0, up(A))
    part.peer_up(0, up(B))
    found: list[tuple[int, Effect]] = []
    for start in range(0, 20 * SECOND, SECOND):
        part.heard(start, B)
        found += run(part, outbox, start, start + SECOND - 1)
        if found and any(isinstance(effect, HangUp) for _, effect in found):
            break
    hang_ups = [(at, effect.peer) for at, effect in found if isinstance(effect, HangUp)]
    assert hang_ups == [(SILENCE_US_MAX, A)]


def test_what_is_known_of_peers_goes_with_them() -> None:
    """Loads are remembered of peers that are up, and forgotten with them."""
    part, _ = peering()
    part.peer_up(0, up(A, tier=3))
    part.heartbeat(A, Heartbeat(1, 55, 0, 0))
    part.heartbeat(B, Heartbeat(1, 55, 0, 0))
    assert (part.loads, part.of_tier(3), part.of_tier(2)) == ({A: 55}, [A], [])
    part.peer_down(1, PeerDown(A, "gone"))
    part.peer_down(1, PeerDown(B, "never up"))
    part.heard(2, A)
    assert (part.loads, dict(part.up), part.deadline_us) == ({}, {}, None)


COSTLY_US = 240 * SECOND


def test_each_peer_has_the_heartbeat_of_its_link() -> None:
    """A dear link is greeted each 240 s, and its silence counts after 360 s; the others go on as before."""
    part, outbox = peering()
    part.peer_up(0, up(A))
    part.peer_up(5 * SECOND, PeerUp(B, 4, (), 0, None, "", COSTLY_US))
    found: list[tuple[int, Effect]] = []
    for start in range(5 * SECOND, 400 * SECOND, SECOND):
        part.heard(start, A)
        found += run(part, outbox, start, start + SECOND - 1)
    to_a = [at for at, effect in found if isinstance(effect, Send) and effect.peer == A]
    to_b = [at for at, effect in found if isinstance(effect, Send) and effect.peer == B]
    assert to_a == [at * SECOND for at in range(10, 400, 10)]
    assert to_b == [5 * SECOND + COSTLY_US]
    assert [at for at, effect in found if isinstance(effect, HangUp)] == [5 * SECOND + COSTLY_US * 3 // 2]


def test_the_book_grows_and_shrinks_by_node_id() -> None:
    """Who is wanted is dialled and dialled again; who is not any more keeps its link and is dialled no more."""
    part, outbox = peering((A, "one:1"))
    part.peer_up(0, up(A, "one:1"))
    assert part.book.deadline_us is None
    part.want(B, "two:2")
    assert [effect for _, effect in run(part, outbox, 1, 1)] == [Dial("two:2", B)]
    part.want(B, "two:2")
    assert run(part, outbox, 2, SECOND) == []
    part.want(B, "two:3")
    assert [effect for _, effect in run(part, outbox, 3, 3)] == [Dial("two:3", B)]
    part.peer_up(4, up(B, "two:3"))
    part.want(B, "two:4")
    assert run(part, outbox, 5, SECOND) == []
    part.unwant(B)
    part.unwant(A)  # configured: it stays
    for peer in (A, B):
        part.peer_down(2 * SECOND, PeerDown(peer, "reset"))
    assert [effect for _, effect in run(part, outbox, 2 * SECOND, 3 * SECOND)] == [Dial("one:1", A)]


def test_a_peer_that_moves_keeps_its_place_and_takes_the_pace_of_its_new_link() -> None:
    """Whoever was dialled once stays so; a target that was being dialled is connected; nothing else changes."""
    part, outbox = peering((None, "one:1"))
    run(part, outbox, 0, 0)
    part.peer_up(0, up(A))
    part.heartbeat(A, Heartbeat(1, 55, 0, 0))
    moved = part.peer_moved(SECOND, PeerMoved(A, "one:1", "192.0.2.1", COSTLY_US))
    assert moved == PeerUp(A, 2, (), 0, "one:1", "192.0.2.1", COSTLY_US)
    assert part.loads == {A: 55}
    assert part.deadline_us == SECOND + COSTLY_US
    assert part.peer_moved(2 * SECOND, PeerMoved(A, None)) == up(A, "one:1")
    assert part.deadline_us == 2 * SECOND + HEARTBEAT_US
    assert part.peer_moved(3 * SECOND, PeerMoved(B, None)) is None
    part.peer_down(4 * SECOND, PeerDown(A, "reset"))
    assert [effect for _, effect in run(part, outbox, 4 * SECOND, 5 * SECOND)] == [Dial("one:1", None)]
