"""What two ends of a data channel say besides the stream, and which descriptions are taken: no network, no library."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.driver.transports.webrtc.description import CANDIDATES_MAX, cut_down, fingerprint_of
from supervm.common.driver.transports.webrtc.flow import MESSAGE_BYTES_MAX, WINDOW_BYTES, Flow, Patience
from supervm.protocol.base.errors import RemoteProtocolError


@given(st.lists(st.tuples(st.sampled_from(["send", "take", "probe"]), st.integers(1, 4 * WINDOW_BYTES)), max_size=60))
def test_what_is_under_way_or_unread_stays_within_the_window(acts: list[tuple[str, int]]) -> None:
    one, two = Flow(), Flow()
    unread = sent = taken = 0
    for act, count in acts:
        if act == "send":
            while count and one.room:
                size = min(count, one.room, MESSAGE_BYTES_MAX)
                one.send(size)
                data, answer = two.receive(bytes(size))
                assert (len(data), answer) == (size, "")
                count, sent, unread = count - size, sent + size, unread + size
        elif act == "take" and unread:
            size = min(count, unread)
            unread, taken = unread - size, taken + size
            assert one.receive(two.take(size)) == (b"", "")
        else:
            _, answer = two.receive("?")
            one.receive(answer)
            assert one.acknowledged == sent
        assert unread <= WINDOW_BYTES
        assert one.room == WINDOW_BYTES - (sent - taken)


def test_an_end_is_said_and_confirmed_and_nothing_comes_after_it() -> None:
    one, two = Flow(), Flow()
    assert two.receive(".") == (b"", ",")
    one.receive(",")
    assert two.ended
    assert one.end_arrived
    with pytest.raises(RemoteProtocolError, match="something after its end"):
        two.receive(b"x")


@pytest.mark.parametrize(
    "message",
    ["", "x", "+", "!x", "+-1", "+ 1", "+1", "!1", "+" + "9" * 30, "?" * 9, "+\u0661", bytes(MESSAGE_BYTES_MAX + 1)],
)
def test_what_means_nothing_or_too_much_is_the_peers_fault(message: bytes | str) -> None:
    with pytest.raises(RemoteProtocolError):
        Flow().receive(message)


def test_a_peer_that_overruns_the_window_is_refused() -> None:
    flow = Flow()
    for _ in range(WINDOW_BYTES // MESSAGE_BYTES_MAX):
        flow.receive(bytes(MESSAGE_BYTES_MAX))
    with pytest.raises(RemoteProtocolError, match="more than the window"):
        flow.receive(b"x")


def test_silence_counts_only_while_word_is_owed_and_longer_for_much() -> None:
    flow, patience = Flow(), Patience(4.0)
    assert not patience.is_lost(0.0, flow)
    flow.send(100)
    assert [patience.is_lost(now, flow) for now in (100.0, 103.9, 104.1)] == [False, False, True]
    flow.receive("!100")
    assert not patience.is_lost(200.0, flow)
    flow.send(Patience.SLOWEST_BYTES_PER_S)  # a second of a slow line
    assert [patience.is_lost(now, flow) for now in (300.0, 304.9, 305.1)] == [False, False, True]
    flow.receive(b"anything")
    assert [patience.is_lost(now, flow) for now in (306.0, 310.9)] == [False, False]


def test_a_window_that_stays_shut_is_no_silence() -> None:
    """The other end reads nothing, but answers: it waits for its disk, and nobody ends it for that."""
    one, two, patience = Flow(), Flow(), Patience(4.0)
    one.send(MESSAGE_BYTES_MAX)
    two.receive(bytes(MESSAGE_BYTES_MAX))
    for now in range(60):
        assert not patience.is_lost(float(now), one)
        one.receive(two.receive("?")[1])
    assert one.acknowledged == one.sent
    assert one.room == WINDOW_BYTES - MESSAGE_BYTES_MAX


KEY = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
OTHER = "a=fingerprint:sha-256 " + ":".join(["CD"] * 32)
SECTION = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
NEAR = "a=candidate:1 1 udp 2113937151 127.0.0.1 5000 typ host"
HIDDEN = "a=candidate:1 1 udp 2113937151 0a1b.local 5000 typ host"


def described(*lines: str) -> str:
    return "\r\n".join(("v=0", *lines)) + "\r\n"


def test_a_description_is_cut_down_to_one_key_and_near_candidates() -> None:
    text = described(
        SECTION, KEY, "a=fingerprint:sha-512 " + ":".join(["AB"] * 64), NEAR, HIDDEN, "a=end-of-candidates"
    )
    assert cut_down(text, candidates=True) == described(SECTION, KEY, NEAR, "a=end-of-candidates")
    assert cut_down(text, candidates=False) == described(SECTION, KEY)
    assert fingerprint_of(text) == b"\xab" * 32
    each = [f"a=candidate:{number} 1 udp 2113937151 127.0.0.1 5000 typ host" for number in range(100)]
    many = cut_down(described(SECTION, KEY, *each), candidates=True)
    assert many.count("a=candidate") == CANDIDATES_MAX


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begin with v=0"),
        (described(SECTION), "0 fingerprints"),
        (described(SECTION, KEY, OTHER), "2 fingerprints"),
        (described(KEY), "0 sections"),
        (described(SECTION, SECTION, KEY), "2 sections"),
        (described("m=video 9 UDP/TLS/RTP/SAVPF 96", KEY), "no media"),
        (described(SECTION, KEY, "a=" + "x" * 20_000), "16384"),
        (described(SECTION, KEY, "a=\u00e4"), "plain"),
    ],
)
def test_a_description_of_anything_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        cut_down(text, candidates=True)


@given(st.lists(st.sampled_from(["v=0", SECTION, KEY, OTHER, NEAR, HIDDEN, "m=audio", "a=fingerprint:", "\r", ""])))
def test_what_is_kept_is_of_one_section_and_one_key(lines: list[str]) -> None:
    seen = deque[str]()
    try:
        seen.extend(cut_down("\r\n".join(lines), candidates=False).splitlines())
    except RemoteProtocolError:
        return
    assert sum(line.startswith("m=") for line in seen) == 1
    assert not any(line.startswith("a=candidate") for line in seen)
