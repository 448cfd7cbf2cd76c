"""A wallet made here opens in other programs and theirs here: BIP-39 by `mnemonic`, SLIP-0010 by `slip10`.

Both are development dependencies. Trezor published the words and seeds (`third_party/bip39`), SatoshiLabs the keys
(`third_party/slip10`); `slip10` is SatoshiLabs' reference implementation.
"""

import json
import random
from pathlib import Path

import pytest

from supervm.common.wallet import Stretching, bip39_seed, create_wallet, unlock_wallet
from supervm.protocol.base.derivation import COIN_TYPE, derive_seed
from supervm.protocol.base.keys import SigningKey

mnemonic = pytest.importorskip("mnemonic")
slip10 = pytest.importorskip("slip10")

THIRD_PARTY = Path(__file__).parents[1] / "vectors" / "third_party"
BIP39 = json.loads((THIRD_PARTY / "bip39" / "vectors.json").read_text())["english"]
SLIP10 = json.loads((THIRD_PARTY / "slip10" / "ed25519.json").read_text())
CHEAP = Stretching(passes=1, memory_bytes=8 << 10)
SECRET = "correct horse"


def other_program(words: str, account: int) -> tuple[bytes, bytes]:
    """Return private and public key of an account as these libraries have it: nothing of ours is in here."""
    seed = mnemonic.Mnemonic.to_seed(words, "")
    node = slip10.SLIP10.from_seed(seed, curve_name="ed25519")
    path = f"m/44'/{COIN_TYPE}'/{account}'"
    return node.get_privkey_from_path(path), node.get_pubkey_from_path(path)


@pytest.mark.parametrize("words", [words for _, words, _, _ in BIP39], ids=lambda words: words[:24])
def test_the_published_words_have_the_same_accounts_in_both(tmp_path, words):
    create_wallet(tmp_path / "w", SECRET, words=words, entropy=None, cost=CHEAP)
    wallet = unlock_wallet(tmp_path / "w", SECRET)
    for account in (0, 1, 2**31 - 1):
        private, public = other_program(words, account)
        key = wallet.account(account)
        assert key == SigningKey(private)
        assert public[-32:] == key.public


def test_words_made_here_open_there_and_words_made_there_open_here(tmp_path):
    rng, book = random.Random(4), mnemonic.Mnemonic("english")
    for number, size in enumerate((16, 20, 24, 28, 32) * 4):
        here = create_wallet(tmp_path / f"{number}h", SECRET, words=None, entropy=rng.randbytes(size), cost=CHEAP)
        assert book.check(here)
        there = book.to_mnemonic(rng.randbytes(size))
        create_wallet(tmp_path / f"{number}t", SECRET, words=there, entropy=None, cost=CHEAP)
        for words, name in ((here, "h"), (there, "t")):
            private, _ = other_program(words, number)
            assert unlock_wallet(tmp_path / f"{number}{name}", SECRET).account(number) == SigningKey(private)


def test_the_published_chains_of_keys_are_those_of_both():
    for vector in SLIP10:
        seed = bytes.fromhex(vector["seed"])
        node = slip10.SLIP10.from_seed(seed, curve_name="ed25519")
        for step in vector["chains"]:
            private = bytes.fromhex(step["private"])
            assert derive_seed(seed, step["path"]) == private
            assert node.get_privkey_from_path(step["path"]) == private


def test_the_seed_is_the_librarys_for_words_in_any_form():
    for _, words, _, _ in BIP39:
        assert bip39_seed(words) == mnemonic.Mnemonic.to_seed(words, "")
