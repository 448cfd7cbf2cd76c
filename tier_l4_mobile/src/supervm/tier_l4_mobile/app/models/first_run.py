"""First run: what is to be said of words, passphrases and PINs while they are typed."""

from __future__ import annotations

from dataclasses import dataclass, field

from supervm.common.errors import InputError
from supervm.common.wallet.book import Review, WordBook
from supervm.common.wallet.first_run import WRONG_ANSWERS_MAX, NewWords, check_secret

from ..errors import explain_text
from ..values import Text, say


@dataclass(slots=True)
class AskedModel:
    """The words that are asked back.

    Args:
        words: on their way to a wallet; they were shown.
    """

    words: NewWords

    def questions(self) -> list[Text]:
        """Return what is asked, in order."""
        return [say("first.word", n=place) for place in self.words.asked]

    def answer(self, typed: list[str]) -> Text | None:
        """Take all answers; return what is wrong with them.

        After too many wrong ones the words are thrown away (`is_over`).
        """
        if not all(word.strip() for word in typed):
            return say("first.asked-empty")
        if self.words.answer(typed):
            return None
        if self.is_over:
            return say("first.asked-over")
        return say("first.asked-wrong", n=WRONG_ANSWERS_MAX - self.words.wrong)

    @property
    def is_over(self) -> bool:
        """Whether the words were thrown away, so that one has to begin anew."""
        return self.words.step == "over"


@dataclass(frozen=True, slots=True)
class Offer:
    """A word that may have been meant.

    Attributes:
        word: of the list.
        place: of the word that it would take the place of, from 1 on.
    """

    word: str
    place: int


@dataclass(slots=True)
class ImportModel:
    """Words that somebody types or pastes.

    Attributes:
        typed: as they were typed.
    """

    typed: str = ""
    _book: WordBook = field(default_factory=WordBook)
    _seen: tuple[str, Review] | None = None

    def _review(self) -> Review:
        if self._seen is None or self._seen[0] != self.typed:
            self._seen = self.typed, self._book.review(self.typed)
        return self._seen[1]

    def is_right(self) -> bool:
        """Return whether they are the words of a wallet."""
        return bool(self.typed.strip()) and not self._review().fault

    def words(self) -> str:
        """Return the words as they were understood."""
        return " ".join(self._review().words)

    def problem(self) -> Text | None:
        """Say what is wrong, or how far they are; None while nothing is typed and when they are right."""
        if not self.typed.strip():
            return None
        review = self._review()
        if review.wrong and not self._is_begun(review):
            first = review.wrong[0]
            return say("first.word-wrong", place=str(first.place), word=first.given)
        match review.fault:
            case "":
                return None
            case "too-long":
                return say("first.words-long")
            case "numbers":
                return say("first.words-numbers")
            case "checksum":
                return say("first.words-checksum")
        return say("first.words-count", n=len(review.words))

    def is_wrong(self) -> bool:
        """Return whether what is said is a fault, not only that words are missing still."""
        problem = self.problem()
        return problem is not None and problem.key != "first.words-count"

    def _is_begun(self, review: Review) -> bool:
        """Return whether the only word that is not in the list is the one that is being typed."""
        last = len(review.words)
        is_last = [wrong.place for wrong in review.wrong] == [last]
        ends_open = not self.typed[-1:].isspace()
        return is_last and ends_open and bool(self._book.completions(review.words[-1]))

    def offers(self) -> list[Offer]:
        """Return how the word that is being typed may go on, or what a wrong one may have been meant for."""
        review = self._review()
        if not review.words or review.fault == "":
            return []
        if review.wrong and not self._is_begun(review):
            wrong = review.wrong[0]
            return [Offer(word, wrong.place) for word in wrong.nearest]
        if self.typed[-1:].isspace():
            return []
        found = self._book.completions(review.words[-1])
        return [] if found == [review.words[-1]] else [Offer(word, len(review.words)) for word in found]

    def take(self, offer: Offer) -> None:
        """Put a word in the place of the one that was typed."""
        words = list(self._review().words)
        words[offer.place - 1] = offer.word
        self.typed = " ".join(words) + (" " if offer.place == len(words) else "")


def secret_problem(secret: str, again: str, *, has_keystore: bool) -> Text | None:
    """Say what is wrong with a new passphrase or PIN that was typed twice; None if it will do."""
    if not secret:
        return say("secret.empty")
    try:
        check_secret(secret, guarded=has_keystore)
    except InputError as error:
        return explain_text(str(error))
    return None if secret == again else say("secret.different")
