"""The wallet: BIP-39 words at rest behind a passphrase, never overwritten, never shown by accident."""

import errno
import hashlib
import json
import os
import pickle
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path

import cbor2
import pytest
from mnemonic import Mnemonic

from supervm.common.errors import CommonError, InputError
from supervm.common.wallet import (
    INTERACTIVE,
    PASSPHRASE_VARIABLE,
    WALLET_FILE,
    Stretching,
    bip39_seed,
    create_wallet,
    read_passphrase,
    unlock_wallet,
)
from supervm.common.wallet.tries import TRIES_FILE
from supervm.common.wallet.words import _LIST, checked_words, words_of
from supervm.protocol.base.address import encode_address, encode_node_id
from supervm.protocol.base.keys import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
BIP39 = json.loads((VECTORS / "third_party" / "bip39" / "vectors.json").read_text())["english"]
IDENTITIES = json.loads((VECTORS / "identities.json").read_text())
CHEAP = Stretching(passes=1, memory_bytes=8 << 10)
ENTROPY = bytes(range(32))
SECRET = "correct horse"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w" / WALLET_FILE


@pytest.fixture
def words(path):
    return create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)


def change(path, place, value):
    fields = cbor2.loads(path.read_bytes())
    fields[place] = value
    path.write_bytes(cbor2.dumps(fields))


@pytest.mark.parametrize(("entropy", "words", "seed", "_master"), BIP39, ids=[v[0][:10] for v in BIP39])
def test_published_bip_39_vectors(tmp_path, entropy, words, seed, _master):
    made = create_wallet(tmp_path / "new", SECRET, words=None, entropy=bytes.fromhex(entropy), cost=CHEAP)
    assert made == words
    assert create_wallet(tmp_path / "old", SECRET, words=words, entropy=None, cost=CHEAP) == words
    assert unlock_wallet(tmp_path / "old", SECRET).words() == words
    # The published seeds have the BIP-39 passphrase TREZOR; ours is empty, so the library is the bridge.
    assert Mnemonic.to_seed(words, "TREZOR").hex() == seed
    assert bip39_seed(words) == Mnemonic.to_seed(words, "")


def test_the_list_of_words_is_the_published_one_and_any_entropy_gives_the_librarys_words():
    assert hashlib.sha256(_LIST.read_bytes()).hexdigest() == (
        "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    )
    book, rng = Mnemonic("english"), random.Random(1)
    for size in (16, 20, 24, 28, 32):
        for entropy in (bytes(size), b"\xff" * size, *(rng.randbytes(size) for _ in range(40))):
            made = words_of(entropy)
            assert made == book.to_mnemonic(entropy)
            assert checked_words(made) == made
            split = made.split()
            split[rng.randrange(len(split))] = rng.choice(book.wordlist)
            changed = " ".join(split)
            if book.check(changed):
                assert checked_words(changed) == changed
            else:
                with pytest.raises(InputError, match="do not fit together"):
                    checked_words(changed)


@pytest.mark.parametrize("frozen", IDENTITIES["wallets"], ids=lambda w: w["entropy"][:8])
def test_frozen_identities_from_entropy_to_address(path, frozen):
    entropy = bytes.fromhex(frozen["entropy"])
    assert create_wallet(path, SECRET, words=None, entropy=entropy, cost=CHEAP) == frozen["words"]
    assert bip39_seed(frozen["words"]).hex() == frozen["bip39_seed"]
    wallet = unlock_wallet(path, SECRET)
    for account in frozen["accounts"]:
        key = wallet.account(account["index"])
        assert key == SigningKey(bytes.fromhex(account["seed"]))
        assert key.public.hex() == account["public"]
        assert encode_address(key.public, test=False) == account["address"]
        assert encode_address(key.public, test=True) == account["test_address"]


@pytest.mark.parametrize("node", IDENTITIES["nodes"], ids=lambda n: n["text"][8:20])
def test_frozen_node_keys(node):
    assert encode_node_id(SigningKey(bytes.fromhex(node["seed"])).public) == node["text"]


def test_the_file_is_private_and_holds_no_word(path, words):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [WALLET_FILE]
    data = path.read_bytes()
    assert not any(word.encode() in data for word in words.split() if len(word) > 3)
    assert len(data) < 400


def test_the_size_of_the_file_does_not_tell_the_number_of_words(tmp_path):
    for length in (16, 32):
        create_wallet(tmp_path / f"{length}", SECRET, words=None, entropy=bytes(length), cost=CHEAP)
    assert (tmp_path / "16").stat().st_size == (tmp_path / "32").stat().st_size


def test_the_same_words_and_passphrase_never_give_the_same_file(tmp_path):
    for name in "ab":
        create_wallet(tmp_path / name, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_the_default_cost_is_libsodiums_interactive_one(path):
    assert Stretching(passes=2, memory_bytes=64 << 20) == INTERACTIVE
    words = create_wallet(path, SECRET, words=None, entropy=ENTROPY)
    assert cbor2.loads(path.read_bytes())[2:4] == [2, 64 << 20]
    assert unlock_wallet(path, SECRET).words() == words


@pytest.mark.parametrize("wrong", ["correct hors", "Correct horse", "correct horse ", "x"])
def test_a_wrong_passphrase_opens_nothing(path, words, wrong):
    with pytest.raises(InputError, match=r"does not open .*: it is wrong, or the file is damaged"):
        unlock_wallet(path, wrong)


def test_a_passphrase_is_the_same_in_every_unicode_form(path):
    create_wallet(path, "caf\u00e9 \ufb01n", words=None, entropy=ENTROPY, cost=CHEAP)
    assert unlock_wallet(path, "cafe\u0301 fin").account(0)


@pytest.mark.parametrize(
    ("passphrase", "complaint"),
    [("", "is empty"), ("x" * 4097, "longer than 4096 bytes"), ("\udcff", "not valid text")],
)
def test_a_passphrase_that_cannot_be_one_is_refused_and_leaves_no_file(path, passphrase, complaint):
    with pytest.raises(InputError, match=complaint):
        create_wallet(path, passphrase, words=None, entropy=ENTROPY, cost=CHEAP)
    assert not path.exists()


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (0, "svm.wallot", "is not a SuperVM wallet"),
        (1, 2, "version 1"),
        (2, 2, "does not open"),
        (2, 0, "damaged"),
        (2, 17, "damaged"),
        (3, 16 << 10, "does not open"),
        (3, (1 << 30) + 1, "damaged"),
        (3, 2**62, "damaged"),
        (4, bytes(16), "does not open"),
        (4, b"", "damaged"),
        (5, bytes(24), "does not open"),
        (6, bytes(272), "does not open"),
        (6, bytes(271), "damaged"),
    ],
)
def test_any_changed_field_is_found_before_it_costs_anything(path, words, place, value, complaint):
    change(path, place, value)
    with pytest.raises(InputError, match=complaint):
        unlock_wallet(path, SECRET)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x80", b"words words", bytes(5000)])
def test_a_file_that_is_no_wallet_is_refused(path, data):
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged or is not a SuperVM wallet"):
        unlock_wallet(path, SECRET)


def test_bytes_after_the_wallet_are_refused(path, words):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="damaged"):
        unlock_wallet(path, SECRET)


def test_a_missing_or_unreadable_wallet_says_so(tmp_path):
    with pytest.raises(InputError, match=r"there is no wallet at .*wallet new"):
        unlock_wallet(tmp_path / "nothing", SECRET)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        unlock_wallet(tmp_path, SECRET)


def test_a_wallet_is_never_overwritten(path, words):
    before = path.read_bytes()
    for again in (words, None):
        with pytest.raises(InputError, match="never overwritten"):
            create_wallet(path, "other", words=again, entropy=None if again else ENTROPY, cost=CHEAP)
    assert path.read_bytes() == before
    assert unlock_wallet(path, SECRET).words() == words


def test_a_dangling_link_counts_as_something_there(path):
    path.parent.mkdir()
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(InputError, match="never overwritten"):
        create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)


def test_of_many_that_create_at_once_exactly_one_wins(path):
    ready = threading.Barrier(6)
    results = []

    def create(number):
        ready.wait()
        try:
            results.append(create_wallet(path, SECRET, words=None, entropy=bytes([number]) * 16, cost=CHEAP))
        except InputError:
            results.append(None)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [result for result in results if result is not None]
    assert unlock_wallet(path, SECRET).words() == winner
    assert sorted(os.listdir(path.parent)) == [WALLET_FILE, TRIES_FILE]


def refuse_links(*_args, **_kwargs):
    raise PermissionError(errno.EPERM, "no hard links here")


def test_a_file_system_without_hard_links_works_and_still_never_overwrites(path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse_links)
    words = create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)
    assert unlock_wallet(path, SECRET).words() == words
    with pytest.raises(InputError, match="never overwritten"):
        create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)
    assert sorted(os.listdir(path.parent)) == [WALLET_FILE, TRIES_FILE]


def test_a_file_that_came_in_between_is_kept_without_hard_links(path, monkeypatch):
    def somebody_is_first(_draft, target):
        Path(target).write_bytes(b"theirs")
        refuse_links()

    monkeypatch.setattr(os, "link", somebody_is_first)
    with pytest.raises(InputError, match="never overwritten"):
        create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)
    assert path.read_bytes() == b"theirs"
    assert os.listdir(path.parent) == [WALLET_FILE]


def test_a_disk_that_fails_leaves_nothing_behind(path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    path.parent.mkdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)
    assert os.listdir(path.parent) == []


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="file cannot be made: File exists"):
        create_wallet(tmp_path / "file" / WALLET_FILE, SECRET, words=None, entropy=ENTROPY, cost=CHEAP)


GOOD = "legal winner thank year wave sausage worth useful legal winner thank yellow"


@pytest.mark.parametrize(
    "typed", [GOOD, GOOD.upper(), "  " + GOOD.replace(" ", "\n\t ") + "\n", GOOD.replace(" ", "\u3000")]
)
def test_imported_words_are_kept_tidy(path, typed):
    assert create_wallet(path, SECRET, words=typed, entropy=None, cost=CHEAP) == GOOD
    assert unlock_wallet(path, SECRET).words() == GOOD


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("", "there are 0 words; BIP-39 allows 12, 15, 18, 21, 24"),
        (GOOD + " legal", "there are 13 words"),
        (GOOD.replace("year", "jahr"), "word 4 is not in the BIP-39 English list"),
        (GOOD.replace("yellow", "year"), "do not fit together"),
    ],
)
def test_words_that_are_no_mnemonic_are_refused_without_being_repeated(path, typed, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        create_wallet(path, SECRET, words=typed, entropy=None, cost=CHEAP)
    assert "jahr" not in str(caught.value)
    assert "sausage" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "entropy", "cost"),
    [
        (None, None, CHEAP),
        (GOOD, ENTROPY, CHEAP),
        (None, bytes(15), CHEAP),
        (None, bytes(33), CHEAP),
        (None, ENTROPY, Stretching(0, 8 << 10)),
        (None, ENTROPY, Stretching(17, 8 << 10)),
        (None, ENTROPY, Stretching(1, 4 << 10)),
        (None, ENTROPY, Stretching(1, 2 << 30)),
    ],
)
def test_a_callers_mistake_is_a_common_error_and_no_file(path, words, entropy, cost):
    with pytest.raises(CommonError):
        create_wallet(path, SECRET, words=words, entropy=entropy, cost=cost)
    assert not path.exists()


@pytest.mark.parametrize("index", [-1, 2**31])
def test_account_numbers_are_bounded(path, words, index):
    with pytest.raises(InputError, match=f"account number {index} is not allowed; 0 to 2147483647 are"):
        unlock_wallet(path, SECRET).account(index)


def test_an_open_wallet_shows_no_word_and_is_not_pickled(path, words):
    wallet = unlock_wallet(path, SECRET)
    assert not any(word in repr(wallet) + str(wallet) for word in words.split())
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(wallet)


def test_opening_a_wallet_loads_no_word_list(path, words):
    program = (
        "import sys; from pathlib import Path; from supervm.common.wallet import unlock_wallet\n"
        f"unlock_wallet(Path({str(path)!r}), {SECRET!r}).account(0)\n"
        "print([name for name in ('mnemonic', 'trio', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def never(_question):
    raise AssertionError("nobody may be asked")


def test_a_passphrase_file_comes_before_the_environment_before_a_person(tmp_path):
    file = tmp_path / "p"
    file.write_text("from file\n")
    environ = {PASSPHRASE_VARIABLE: "from environment"}
    assert read_passphrase(file=file, environ=environ, prompt=never) == "from file"
    assert read_passphrase(file=None, environ=environ, prompt=never) == "from environment"
    assert read_passphrase(file=None, environ={}, prompt=lambda question: question) == "Wallet passphrase: "


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [
        (b"a b", "a b"),
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b" a \n", " a "),
        ("\u00e9\n".encode(), "\u00e9"),
        (b"x" * 4096 + b"\r\n", "x" * 4096),
    ],
)
def test_only_the_line_end_is_taken_off_a_passphrase_file(tmp_path, data, passphrase):
    (tmp_path / "p").write_bytes(data)
    assert read_passphrase(file=tmp_path / "p", environ={}, prompt=None) == passphrase


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "more than one line"),
        (b"a\n\n", "more than one line"),
        (b"\xff\n", "not UTF-8"),
        (b"x" * 4097, "longer than 4096 bytes"),
        (b"x" * 9999, "longer than 4096 bytes"),
    ],
)
def test_a_passphrase_file_that_is_not_one_line_is_refused(tmp_path, data, complaint):
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(InputError, match=complaint):
        read_passphrase(file=tmp_path / "p", environ={}, prompt=never)


def test_a_missing_passphrase_says_where_to_put_it(tmp_path):
    with pytest.raises(InputError, match="--passphrase-file FILE or set SUPERVM_PASSPHRASE"):
        read_passphrase(file=None, environ={}, prompt=None)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_passphrase(file=tmp_path / "p", environ={}, prompt=never)
    with pytest.raises(InputError, match="SUPERVM_PASSPHRASE is empty"):
        read_passphrase(file=None, environ={PASSPHRASE_VARIABLE: ""}, prompt=never)
    with pytest.raises(InputError, match="the passphrase is empty"):
        read_passphrase(file=None, environ={}, prompt=lambda _question: "")


NUMBERED = " ".join(f"{place}. {word}" for place, word in enumerate(GOOD.split(), 1))


@pytest.mark.parametrize(
    "pasted",
    [
        GOOD.upper(),
        GOOD.title(),
        f"\ufeff{GOOD}",
        f"\u200b{GOOD}\u200b",
        GOOD.replace("a", "a\u00ad", 1),
        GOOD.replace(" ", "\u00a0"),
        GOOD.replace(" ", "\u3000"),
        GOOD.replace(" ", "\u2028"),
        GOOD.replace(" ", "\u2800"),
        GOOD.replace(" ", "\u3164"),
        GOOD.replace(" ", "\u2009 \t"),
        GOOD.replace(" ", "\r\n"),
        GOOD.replace(" ", ", "),
        GOOD.replace(" ", " \u2022 "),
        f"\u201c{GOOD}\u201d",
        "- " + GOOD.replace(" ", "\n- "),
        NUMBERED,
        NUMBERED.replace(". ", ")\n"),
        NUMBERED.replace(". ", "."),
        NUMBERED.replace(". ", ""),
        NUMBERED.replace(". ", "\uff0e"),
        "\n".join(f"({place:02}) {word}" for place, word in enumerate(GOOD.split(), 1)),
        GOOD.translate({ord("a") + number: 0xFF41 + number for number in range(26)}),
    ],
    ids=lambda text: ascii(text[:14]),
)
def test_words_are_taken_as_people_paste_them(path, pasted):
    assert create_wallet(path, SECRET, words=pasted, entropy=None, cost=CHEAP) == GOOD


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        (NUMBERED.replace("2. ", "4. "), "numbered, but not from 1 on"),
        (NUMBERED.replace("1. legal", "legal", 1), "numbered, but not from 1 on"),
        (GOOD.replace("year", "ye\u0430r"), "word 4 holds something else than the letters a to z"),
        (GOOD.replace("year", "ye4r"), "word 4 holds something else than the letters a to z"),
        (GOOD.replace("year", "yera"), "word 4 is not in the BIP-39 English list; check its spelling"),
        ("1. " * 30_000, "numbered, but not from 1 on"),
    ],
)
def test_a_misspelling_is_said_only_where_there_is_one(path, pasted, said):
    with pytest.raises(InputError, match=said):
        create_wallet(path, SECRET, words=pasted, entropy=None, cost=CHEAP)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_a_passphrase(tmp_path, end):
    file = tmp_path / "pass.txt"
    file.write_bytes(f"\ufeff{SECRET}{end}".encode())
    assert read_passphrase(file=file, environ={}, prompt=None) == SECRET
    assert read_passphrase(file=None, environ={PASSPHRASE_VARIABLE: f"\ufeff{SECRET}"}, prompt=None) == SECRET
    file.write_bytes("\ufeff\n".encode())
    with pytest.raises(InputError, match="is empty"):
        read_passphrase(file=file, environ={}, prompt=None)


def test_a_wallet_whose_passphrase_had_the_mark_opens_with_the_typed_one(path):
    words = create_wallet(path, f"\ufeff{SECRET}", words=None, entropy=ENTROPY, cost=CHEAP)
    assert unlock_wallet(path, SECRET).words() == words
    with pytest.raises(InputError, match="does not open"):
        unlock_wallet(path, SECRET + "x")


@pytest.mark.parametrize("bit", range(22))
def test_every_changed_bit_of_the_memory_cost_is_noticed(path, words, bit):
    change(path, 3, CHEAP.memory_bytes ^ 1 << bit)
    with pytest.raises(InputError, match="damaged"):
        unlock_wallet(path, SECRET)


def test_no_wallet_is_made_with_a_part_of_a_kib(path):
    with pytest.raises(CommonError, match="in whole KiB"):
        create_wallet(path, SECRET, words=None, entropy=ENTROPY, cost=Stretching(1, (8 << 10) + 1))
