"""What is said of words, secrets and waits while somebody types, and what a folder lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chain_tools import make_test_chain
from hypothesis import given
from hypothesis import strategies as st
from phone_folder import WORDS

from supervm.common.errors import InputError
from supervm.common.wallet.first_run import NewWords
from supervm.tier_l4_mobile.app.anchor_given import anchor_given
from supervm.tier_l4_mobile.app.folder import PhoneFolder
from supervm.tier_l4_mobile.app.models.first_run import AskedModel, ImportModel, Offer, secret_problem
from supervm.tier_l4_mobile.app.models.lock import LockModel
from supervm.tier_l4_mobile.app.values import say

FEW = " ".join(WORDS.split()[:5])


@pytest.mark.parametrize(
    ("secret", "has_keystore", "key"),
    [
        ("", False, "secret.empty"),
        ("short", False, "secret.short"),
        ("aaaaaaaaaaaaaaaa", False, "secret.repeats"),
        ("x" * 5_000 + "abcdef", False, "secret.long"),
        ("\ud800" * 20, False, "secret.no-text"),
        ("123456", False, "secret.short"),
        ("12", True, "secret.pin-digits"),
        ("123456", True, "secret.pin-easy"),
    ],
)
def test_a_secret_that_will_not_do_has_a_sentence(secret: str, has_keystore: bool, key: str) -> None:
    problem = secret_problem(secret, secret, has_keystore=has_keystore)
    assert problem is not None
    assert problem.key == key


@pytest.mark.parametrize(("secret", "has_keystore"), [("seven horses in a boat", False), ("830162", True)])
def test_a_secret_that_will_do_must_be_typed_twice(secret: str, has_keystore: bool) -> None:
    assert secret_problem(secret, secret, has_keystore=has_keystore) is None
    assert secret_problem(secret, secret + "1", has_keystore=has_keystore) == say("secret.different")


@pytest.mark.parametrize(
    ("typed", "key", "is_wrong"),
    [
        ("  ", None, False),
        (WORDS, None, False),
        (WORDS.upper(), None, False),
        (FEW, "first.words-count", False),
        (FEW + " yel", "first.words-count", False),  # begun, and may become a word
        (FEW + " yel ", "first.word-wrong", True),
        (WORDS.replace("wave", "wav"), "first.word-wrong", True),
        (WORDS.replace("yellow", "zoo"), "first.words-checksum", True),
        ("1 legal 1 winner", "first.words-numbers", True),
        ("legal " * 900, "first.words-long", True),
    ],
)
def test_words_are_judged_as_they_are_typed(typed: str, key: str | None, is_wrong: bool) -> None:
    model = ImportModel(typed)
    problem = model.problem()
    assert (None if problem is None else problem.key) == key
    assert model.is_wrong() is is_wrong
    assert model.is_right() is (typed.lower() == WORDS)


def test_offers_complete_a_word_or_mend_one() -> None:
    model = ImportModel("legal winer thank")
    assert Offer("winner", 2) in model.offers()
    model.take(Offer("winner", 2))
    assert model.typed == "legal winner thank"
    model.typed += " ye"
    assert Offer("year", 4) in model.offers()
    model.take(Offer("year", 4))
    assert model.typed == "legal winner thank year "
    assert model.offers() == []


@given(st.text(max_size=200))
def test_whatever_is_typed_is_judged_and_offers_can_be_taken(typed: str) -> None:
    model = ImportModel(typed)
    model.problem()
    for offer in model.offers():
        ImportModel(typed).take(offer)
    assert model.is_right() is (model.problem() is None and bool(typed.strip()))


def test_words_are_asked_back_until_they_are_thrown_away() -> None:
    words = NewWords(bytes(32), bytes(32))
    shown = words.show()
    model = AskedModel(words)
    right = [shown[int(str(question.values["n"])) - 1] for question in model.questions()]
    assert model.answer(["", *right[1:]]) == say("first.asked-empty")
    assert [model.answer(["zoo"] * 4) for _ in range(4)] == [say("first.asked-wrong", n=left) for left in (4, 3, 2, 1)]
    assert not model.is_over
    assert model.answer(["zoo"] * 4) == say("first.asked-over")
    assert model.is_over


def test_a_wait_runs_down_and_a_wrong_passphrase_is_said_until_the_next_try() -> None:
    model = LockModel()
    assert model.view(0).may_try
    model.begin_try()
    assert (model.view(0).problem, model.view(0).may_try) == (None, False)
    model.take_answer(say("error.passphrase"), 0)
    assert (model.view(0).problem, model.view(0).may_try) == (say("error.passphrase"), True)
    model.take_answer(say("error.too-soon", count="6", s="60"), 1_000)
    assert model.view(1_500).problem == say("error.too-soon", count="6", s="60")
    assert model.view(60_999).problem == say("error.too-soon", count="6", s="1")
    assert not model.view(60_999).may_try
    assert (model.view(61_000).problem, model.view(61_000).may_try) == (None, True)


def test_a_wait_that_began_before_the_app_is_known_at_its_start() -> None:
    model = LockModel()
    model.take_wait(5, 29_400_000, 7_000)
    assert model.view(7_000).problem == say("error.too-soon", count="5", s="30")


def test_an_empty_folder_lacks_everything(tmp_path: Path) -> None:
    folder = PhoneFolder(tmp_path / "none", bytes)
    assert folder.lacks() == "network"
    tmp_path.joinpath("none").mkdir()
    tmp_path.joinpath("none", "config.toml").touch()
    assert folder.lacks() == "wallet"
    tmp_path.joinpath("none", "wallet.cbor").touch()
    assert folder.lacks() == ""


@pytest.mark.parametrize("name", ["folder", "pipe", "nothing", "n" * 300, "nul\0"])
def test_what_is_typed_for_a_file_and_is_none_is_a_sentence_at_once(tmp_path: Path, name: str) -> None:
    """A pipe would be waited for without end."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    named = tmp_path / name
    with pytest.raises(InputError, match="the genesis file cannot be read"):
        PhoneFolder(tmp_path / "phone", bytes).take_network(named, "")
    with pytest.raises(InputError, match="anchor cannot be read"):
        anchor_given(str(named), make_test_chain(4).chain)
