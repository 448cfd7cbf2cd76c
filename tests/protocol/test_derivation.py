"""Wallet keys come from SLIP-0010 and from nothing else."""

import json
from pathlib import Path

import pytest

from supervm.protocol.base.address import encode_address
from supervm.protocol.base.derivation import COIN_TYPE, INDEX_MAX, account_seed, derive_seed
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
SLIP10 = json.loads((VECTORS / "third_party" / "slip10" / "ed25519.json").read_text())
IDENTITIES = json.loads((VECTORS / "identities.json").read_text())
SEED = bytes(range(64))


@pytest.mark.parametrize(
    ("seed", "chain"), [(v["seed"], c) for v in SLIP10 for c in v["chains"]], ids=lambda v: str(v)[:60]
)
def test_published_slip_0010_vectors(seed, chain):
    secret = derive_seed(bytes.fromhex(seed), chain["path"])
    assert secret.hex() == chain["private"]
    assert "00" + SigningKey(secret).public.hex() == chain["public"]


def test_the_coin_type_is_frozen():
    assert COIN_TYPE == 5461581 == int.from_bytes(b"SVM", "big") == IDENTITIES["coin_type"]


@pytest.mark.parametrize("wallet", IDENTITIES["wallets"], ids=lambda w: w["entropy"][:8])
def test_frozen_accounts(wallet):
    seed = bytes.fromhex(wallet["bip39_seed"])
    for account in wallet["accounts"]:
        secret = account_seed(seed, account["index"])
        assert secret.hex() == account["seed"]
        assert secret == derive_seed(seed, account["path"])
        public = SigningKey(secret).public
        assert public.hex() == account["public"]
        assert encode_address(public, test=False) == account["address"]
        assert encode_address(public, test=True) == account["test_address"]


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("", "must begin with m"),
        ("44'/0'", "must begin with m"),
        ("M/0'", "must begin with m"),
        ("m/0", "step 1 .* only hardened"),
        ("m/44'/0", "step 2"),
        ("m/44'/0h", "step 2"),
        ("m/", "step 1"),
        ("m//0'", "step 1"),
        ("m/-1'", "step 1"),
        ("m/01'", "step 1"),
        ("m/ 1'", "step 1"),
        ("m/1'\n", "step 1"),
        ("m/\u0661'", "step 1"),
        (f"m/{INDEX_MAX + 1}'", f"to {INDEX_MAX}'"),
        ("m/99999999999'", "step 1"),
        ("m" + "/0'" * 256, "256 steps; at most 255"),
    ],
)
def test_a_path_that_is_not_hardened_or_not_a_path_is_refused(path, complaint):
    with pytest.raises(LocalProtocolError, match=complaint):
        derive_seed(SEED, path)


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_master_seed_has_16_to_64_bytes(length):
    with pytest.raises(LocalProtocolError, match=f"16 to 64 bytes; {length}"):
        derive_seed(bytes(length), "m")


@pytest.mark.parametrize("account", [-1, INDEX_MAX + 1])
def test_account_numbers_are_bounded(account):
    with pytest.raises(LocalProtocolError, match=f"account number {account} is not allowed"):
        account_seed(SEED, account)
    assert account_seed(SEED, INDEX_MAX) != account_seed(SEED, 0)
