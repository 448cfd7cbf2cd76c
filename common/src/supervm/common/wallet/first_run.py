"""Making a wallet for somebody who has none: words shown once, then some of them asked back.

Theory of operation. `NewWords` goes one way: shown, asked, confirmed. Which words are asked is drawn when it is made,
from randomness that it is given, and does not change with the answers. All answers are judged together and the verdict
is one: not which of them was wrong, so that nobody who has not the words finds them one by one. Whoever fails too often
has not written them down; the words are then thrown away, which costs nothing, since nothing was ever paid to them.
Only confirmed words become a wallet's file. Nothing here draws randomness, reads a clock or knows a screen.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from supervm.common.errors import CommonError, InputError

from .keystore import Keystore
from .passphrase import INTERACTIVE, Stretching
from .store import create_wallet
from .strength import passphrase_problem, pin_problem
from .words import split_words, words_of

ASKED: Final = 4
"""How many words are asked back."""
WRONG_ANSWERS_MAX: Final = 5
"""After so many wrong answers the words are thrown away."""
RANDOMNESS_BYTES_MIN: Final = 16
"""Least randomness that the places are drawn from."""

Step = Literal["new", "shown", "confirmed", "over"]
"""Where it stands: words not shown yet; shown, and asked back; known to be written down; thrown away or written."""


class NewWords:
    """New words on their way to a wallet.

    Args:
        entropy: 16, 20, 24, 28 or 32 random bytes; 32 give 24 words.
        randomness: at least 16 more random bytes, which choose the words that are asked back.

    Attributes:
        step: where it stands.
        wrong: how many answers were wrong.
        count: how many words there are.

    Raises:
        CommonError: too little randomness, or entropy of another length.
    """

    def __init__(self, entropy: bytes, randomness: bytes) -> None:
        if len(randomness) < RANDOMNESS_BYTES_MIN:
            raise CommonError(f"{RANDOMNESS_BYTES_MIN} bytes of randomness are needed; {len(randomness)} were given")
        self._words = words_of(entropy).split()
        self.count = len(self._words)
        self._asked = _draw(self.count, randomness)
        self.step: Step = "new"
        self.wrong = 0

    def show(self) -> tuple[str, ...]:
        """Return the words, for the one time that they are shown.

        Raises:
            InputError: they were shown already.
        """
        if self.step != "new":
            raise InputError("the words were shown already: go on with what you wrote down, or begin anew")
        self.step = "shown"
        return tuple(self._words)

    @property
    def asked(self) -> tuple[int, ...]:
        """The places, from 1 on and in ascending order, of the words that are asked back.

        Raises:
            CommonError: the words were not shown yet, so nobody shall know which to write down.
        """
        if self.step == "new":
            raise CommonError("nothing is asked before the words were shown")
        return self._asked

    def answer(self, words: Sequence[str]) -> bool:
        """Take the asked words in the order of `asked`; return whether all are right.

        Raises:
            CommonError: nothing is asked now.
        """
        if self.step != "shown":
            raise CommonError("no words are asked now")
        given = " ".join(_plain(word) for word in words)
        wanted = " ".join(self._words[place - 1] for place in self._asked)
        if hmac.compare_digest(given.encode(), wanted.encode()):
            self.step = "confirmed"
            return True
        self.wrong += 1
        if self.wrong >= WRONG_ANSWERS_MAX:
            self.forget()
        return False

    def write(
        self, path: Path, secret: str, *, keystore: Keystore | None = None, cost: Stretching = INTERACTIVE
    ) -> None:
        """Write the wallet; only words that are confirmed become one.

        Args:
            path: the file.
            secret: a passphrase; a PIN where there is a keystore.
            keystore: the device's, if it is to guard the wallet.
            cost: what guessing one passphrase costs.

        Raises:
            CommonError: the words are not confirmed.
            InputError: the passphrase or PIN will not do, or the file cannot be written; it can be tried again.
        """
        if self.step != "confirmed":
            raise CommonError("only words that were asked back become a wallet")
        check_secret(secret, guarded=keystore is not None)
        create_wallet(path, secret, words=" ".join(self._words), entropy=None, cost=cost, keystore=keystore)
        self.forget()

    def forget(self) -> None:
        """Let the words go; nothing more can be done here."""
        self._words = []
        self.step = "over"

    def __repr__(self) -> str:
        return f"<NewWords {self.step}>"


def check_secret(secret: str, *, guarded: bool) -> None:
    """Check a new passphrase, or a new PIN or passphrase where a keystore guards the wallet.

    Raises:
        InputError: it will not do; the text says what would.
    """
    problem = passphrase_problem(secret)
    if guarded and problem:
        problem = pin_problem(secret, guarded=True)
    if problem:
        raise InputError(problem)


def _plain(word: str) -> str:
    try:
        return "".join(split_words(word[:64]))
    except InputError:  # a number and nothing else
        return ""


def _draw(count: int, randomness: bytes) -> tuple[int, ...]:
    """Return `ASKED` different places from 1 on, each set of places as likely as any other."""
    stream = hashlib.shake_256(b"svm.words.asked" + randomness).digest(1_024)
    fair = 256 - 256 % count  # a byte at or above it would favour the first places
    found = dict.fromkeys(byte % count + 1 for byte in stream if byte < fair)
    return tuple(sorted(list(found)[:ASKED]))
