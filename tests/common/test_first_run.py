"""A wallet for somebody who has none: words asked back, words typed in, and what a passphrase or PIN must be."""

import itertools
import os
import random
from collections import Counter

import pytest

from supervm.common.errors import CommonError, InputError
from supervm.common.wallet import Stretching, unlock_wallet
from supervm.common.wallet.book import NEAREST_MAX, TEXT_CHARS_MAX, WRONG_MAX, WordBook
from supervm.common.wallet.first_run import ASKED, WRONG_ANSWERS_MAX, NewWords, check_secret
from supervm.common.wallet.strength import passphrase_problem, pin_problem
from supervm.common.wallet.words import split_words, word_list, words_of

CHEAP = Stretching(passes=1, memory_bytes=8 << 10)
ENTROPY, RANDOM = bytes(range(32)), bytes(16)
GOOD = "legal winner thank year wave sausage worth useful legal winner thank yellow"
PASSPHRASE = "a long and quiet winter"


def shown() -> tuple[NewWords, tuple[str, ...]]:
    new = NewWords(ENTROPY, RANDOM)
    return new, new.show()


def test_words_are_shown_once_asked_back_and_become_a_wallet(tmp_path):
    new, words = shown()
    assert (len(words), new.count, new.step) == (24, 24, "shown")
    assert " ".join(words) == words_of(ENTROPY)
    with pytest.raises(InputError, match="shown already"):
        new.show()
    assert len(set(new.asked)) == ASKED
    assert list(new.asked) == sorted(new.asked)
    with pytest.raises(CommonError, match="only words that were asked back"):
        new.write(tmp_path / "w", PASSPHRASE, cost=CHEAP)
    assert new.answer([f" {words[place - 1].upper()}\n" for place in new.asked])
    with pytest.raises(InputError, match="at least 12"):
        new.write(tmp_path / "w", "short", cost=CHEAP)
    assert not (tmp_path / "w").exists()
    new.write(tmp_path / "w", PASSPHRASE, cost=CHEAP)
    assert new.step == "over"
    assert unlock_wallet(tmp_path / "w", PASSPHRASE).words() == " ".join(words)
    with pytest.raises(CommonError, match="only words"):
        new.write(tmp_path / "w2", PASSPHRASE, cost=CHEAP)


def test_nothing_is_asked_before_the_words_were_shown():
    new = NewWords(ENTROPY, RANDOM)
    with pytest.raises(CommonError, match="before the words were shown"):
        _ = new.asked
    with pytest.raises(CommonError, match="no words are asked"):
        new.answer([])


def test_one_verdict_for_all_answers_the_same_places_again_and_an_end():
    new, words = shown()
    asked, right = new.asked, [words[place - 1] for place in new.asked]
    wrong = [[*right[:3], "zoo"], ["zoo", *right[1:]], right[:3], [*reversed(right)], ["", "", "", ""]]
    assert len(wrong) == WRONG_ANSWERS_MAX
    for count, answers in enumerate(wrong, 1):
        assert new.step == "shown"
        assert new.asked == asked
        assert new.answer(answers) is False
        assert new.wrong == count
    assert new.step == "over"
    with pytest.raises(CommonError, match="no words are asked"):
        new.answer(right)
    assert not any(word in repr(new) for word in words)


@pytest.mark.parametrize("hostile", ["1", "\u200b", "\udcff", "x" * 10_000, "1. 1. 1."])
def test_whatever_is_typed_for_a_word_is_an_answer(hostile):
    new, _ = shown()
    assert new.answer([hostile] * 4) is False


def test_every_place_is_asked_equally_often():
    rng = random.Random(5)
    counts = Counter(
        itertools.chain.from_iterable(_asked(size, rng.randbytes(16)) for size in (32,) for _ in range(3_000))
    )
    assert sorted(counts) == list(range(1, 25))
    assert max(counts.values()) < 1.25 * min(counts.values())
    assert len({_asked(16, rng.randbytes(16)) for _ in range(200)}) > 100


def _asked(size: int, randomness: bytes) -> tuple[int, ...]:
    new = NewWords(bytes(size), randomness)
    new.show()
    return new.asked


def test_too_little_randomness_is_a_callers_mistake():
    with pytest.raises(CommonError, match="16 bytes of randomness"):
        NewWords(ENTROPY, bytes(15))


# --- words that are typed in --------------------------------------------------------------------------------------


def test_completion_by_prefix_in_the_order_of_the_list():
    book = WordBook()
    assert book.completions("aban") == ["abandon"]
    assert book.completions(" ZO") == ["zone", "zoo"]
    assert len(book.completions("a")) == 6
    assert book.completions("") == book.completions("  ") == book.completions("qq") == []
    for word in word_list():
        assert book.completions(word[:4], 2_048)[0][:4] == word[:4]


@pytest.mark.parametrize(
    ("typed", "meant"), [("lega1", "legal"), ("leagl", "legal"), ("thnk", "thank"), ("yelow", "yellow")]
)
def test_a_wrong_word_is_named_with_its_place_and_the_nearest(typed, meant):
    words = GOOD.split()
    place = words.index(meant)
    words[place] = typed
    review = WordBook().review(" ".join(words))
    if typed.isalpha():
        assert (review.fault, review.wrong[0].place, review.wrong[0].given) == ("word", place + 1, typed)
        assert meant in review.wrong[0].nearest
        assert f"word {place + 1}, {typed!r}, is not in the list; the nearest are " in review.sentence
    assert review.sentence
    assert meant not in repr(review)


def test_what_is_wrong_is_said_in_the_order_in_which_it_is_mended():
    book = WordBook()
    assert book.review(GOOD).fault == ""
    assert book.review(GOOD).words == tuple(GOOD.split())
    assert book.review("").fault == "count"
    short = book.review("legal winer")
    assert (short.fault, short.wrong[0].place) == ("count", 2)
    swapped = book.review(GOOD.replace("legal winner", "winner legal", 1))
    assert swapped.fault == "checksum"
    assert "which cannot be told" in swapped.sentence
    two = book.review(GOOD.replace("legal", "lehal"))
    assert "(2 words are wrong in all)" in two.sentence
    assert book.review("3. legal 3. winner").fault == "numbers"
    assert book.review("x" * (TEXT_CHARS_MAX + 1)).fault == "too-long"


COLUMNS = """
1. legal   5. wave     9. legal
2. winner  6. sausage  10. winner
3. thank   7. worth    11. thank
4. year    8. useful   12. yellow
"""


@pytest.mark.parametrize(
    "pasted",
    [
        COLUMNS,
        COLUMNS.replace(". ", ")"),
        '["' + GOOD.replace(" ", '", "') + '"]',
        "'" + GOOD + "'",
        GOOD.replace(" ", ","),
        GOOD.replace(" ", " | "),
        GOOD.replace(" ", "\t\r\n"),
        "\ufeff" + GOOD.title().replace(" ", "\u3000"),
        GOOD.replace(" ", " - "),
        "".join(f"#{place:02} {word}; " for place, word in enumerate(GOOD.split(), 1)),
    ],
)
def test_words_are_understood_however_they_are_pasted(pasted):
    assert WordBook().review(pasted).words == tuple(GOOD.split())
    assert " ".join(split_words(pasted)) == GOOD


def test_mutated_words_end_in_a_sentence():
    """Thousands in every run; ``HOSTILE_IMPORTS=100000`` asks for more."""
    count = int(os.environ.get("HOSTILE_IMPORTS", "3000"))
    rng, book = random.Random(11), WordBook()
    letters = "aez 19.,;\n\t\u200b\u3000\ufeff\u0301\uff41\U0001f600\udcff\0\u202e\u2460\u1160ßıİ"
    for number in range(count):
        text = list(rng.choice((GOOD, COLUMNS, words_of(rng.randbytes(32)))))
        for _ in range(rng.choice((1, 1, 1, 2, 5, 60))):
            place = rng.randrange(len(text))
            match rng.randrange(5):
                case 0:
                    text[place] = rng.choice(letters)
                case 1:
                    text.insert(place, rng.choice(letters) * rng.choice((1, 1, 40)))
                case 2:
                    del text[place : place + rng.choice((1, 5, 50))]
                    text = text or ["a"]
                case 3:
                    text[place] = chr(rng.randrange(0x11_0000))
                case _:
                    end = place + rng.randrange(1, 30)
                    text[place:end] = text[place:end] * 2
        review = book.review("".join(text))
        assert (review.fault == "") == (review.sentence == ""), number
        assert len(review.sentence) < 400
        assert len(review.wrong) <= WRONG_MAX
        assert all(len(item.nearest) <= NEAREST_MAX for item in review.wrong)
        if not review.fault:
            assert " ".join(review.words) == " ".join(split_words("".join(text)))


# --- passphrase and PIN -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    ["correct horse", "a b c d e f ab cd", "twelve-chars", "六个词的很长口令需要十二个", "ab cd ef gh ij kl"],
)
def test_a_passphrase_that_will_do(good):
    assert passphrase_problem(good) == ""
    check_secret(good, guarded=False)
    check_secret(good, guarded=True)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("", "has 0 characters: take at least 12, or 6 words"),
        ("elevenchars", "has 11 characters"),
        ("   short      ", "has 5 characters"),
        ("aaaaaaaaaaaaaaaa", "repeats itself"),
        ("abababababababab", "repeats itself"),
        ("x" * 5_000, "longer than 4096"),
        ("\udcff" * 20, "not valid text"),
        ("a b c d e", "has 9 characters"),
    ],
)
def test_a_passphrase_that_will_not_do_says_what_would(bad, said):
    assert said in passphrase_problem(bad)
    with pytest.raises(InputError, match="passphrase"):
        check_secret(bad, guarded=False)


def test_a_pin_needs_a_keystore_and_is_none_of_the_first_that_are_tried():
    assert "no keystore" in pin_problem("493817", guarded=False)
    assert pin_problem("493817", guarded=True) == ""
    check_secret("493817", guarded=True)
    with pytest.raises(InputError, match="at least 12"):
        check_secret("493817", guarded=False)
    for bad in ("", "1234", "12345", "1234567890123", "49381a", "\u0664\u0669\u0663\u0668\u0661\u0667", "4938 17"):
        assert "6 to 12 digits" in pin_problem(bad, guarded=True)
    for bad in ("000000", "121212", "123456", "987654", "890123"):
        assert "first that anybody tries" in pin_problem(bad, guarded=True)
