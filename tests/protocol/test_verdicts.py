"""A remembered verdict is the one that would be given again; a bad signature is never remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.base.verdicts import Verdicts

KEYS = [SigningKey(bytes([number]) * 32) for number in range(3)]
MESSAGES = [b"one", b"two", b""]
GOOD = [(key.public, message, key.sign(message)) for key in KEYS for message in MESSAGES]
PARTS = [sorted({item[place] for item in GOOD}) for place in range(3)]
ITEMS = st.sampled_from(GOOD) | st.tuples(*map(st.sampled_from, PARTS))


@given(st.lists(ITEMS, max_size=40), st.sampled_from([2, 6, 100]))
def test_answers_are_those_of_verification(items: list[tuple[bytes, bytes, bytes]], kept: int) -> None:
    verdicts = Verdicts(verify, kept)
    for item in items:
        assert verdicts(*item) == verify(*item)
    assert verdicts.checks + verdicts.spared == len(items)
    if kept == 100:
        good = [item for item in items if verify(*item)]
        assert verdicts.spared == len(good) - len(set(good))


def test_what_is_kept_is_bounded_and_the_oldest_is_asked_about_again() -> None:
    asked: list[bytes] = []

    def note(public: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(message)
        return True

    verdicts = Verdicts(note, 10)
    for number in range(40):
        verdicts(b"k", b"%d" % number, b"s")
        verdicts(b"k", b"%d" % number, b"s")
    assert len(asked) == 40
    verdicts(b"k", b"0", b"s")
    assert len(asked) == 41
