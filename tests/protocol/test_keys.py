"""One signature rule: libsodium's single verification, tried on honest, published and crafted signatures."""

import copy
import hashlib
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base import keys
from supervm.protocol.base.errors import LocalProtocolError, UnfitLibrary
from supervm.protocol.base.keys import ACCEPT_SET, SigningKey, check_accept_set, verify, verify_many

THIRD_PARTY = Path(__file__).parents[1] / "vectors" / "third_party"
WYCHEPROOF = json.loads((THIRD_PARTY / "wycheproof" / "ed25519_test.json").read_text())
RFC8032 = json.loads((THIRD_PARTY / "rfc8032" / "ed25519.json").read_text())

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def decompress(data: bytes) -> Point | None:
    """A reference decoder that also takes what is not canonical; None: not on the curve."""
    number = int.from_bytes(data, "little")
    y, sign = number % 2**255 % P, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (x if x & 1 == sign else -x % P), y


def add(a: Point, b: Point) -> Point:
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P)
    return x % P, y % P


def times(factor: int, point: Point) -> Point:
    result = (0, 1)
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert BASE is not None


def reference(public: bytes, message: bytes, signature: bytes, *, strict: bool) -> bool:
    """Ed25519 written out in integers.

    Strict is the network's rule. Lenient is the loosest in use: cofactored, any encoding, order and S.
    """
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(h, a))
    if not strict:
        return times(8, left) == times(8, right)
    canonical = all(int.from_bytes(d, "little") % 2**255 < P for d in (public, signature[:32]))
    small = (0, 1) in (times(8, a), times(8, r))
    return s < L and canonical and not small and left == right


@pytest.mark.parametrize("vector", RFC8032, ids=lambda v: v["name"])
def test_signing_and_verifying_follow_rfc_8032(vector):
    key = SigningKey(bytes.fromhex(vector["secret"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    assert key.public.hex() == vector["public"]
    assert key.sign(message) == signature
    assert verify(key.public, message, signature)
    assert not verify(key.public, message + b"\0", signature)


def wycheproof_cases():
    for group in WYCHEPROOF["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            yield public, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]), test


def test_wycheproof_goes_through_the_verify_of_consensus():
    cases = list(wycheproof_cases())
    assert len(cases) == WYCHEPROOF["numberOfTests"] == 151
    # No case is left to taste ("acceptable"), so the answer to each is the published one.
    assert {test["result"] for *_, test in cases} == {"valid", "invalid"}
    wrong = [test["tcId"] for *arguments, test in cases if verify(*arguments) != (test["result"] == "valid")]
    assert wrong == []
    assert verify_many([case[:3] for case in cases]) == [test["result"] == "valid" for *_, test in cases]


def test_the_loaded_libsodium_has_the_networks_accept_set():
    check_accept_set()


@pytest.mark.parametrize("case", ACCEPT_SET, ids=lambda case: case[0])
def test_the_frozen_accept_set_is_the_written_rule_and_tells_verifiers_apart(case):
    _name, public, message, r, s, wanted = case
    arguments = bytes.fromhex(public), message, bytes.fromhex(r + s)
    assert verify(*arguments) is wanted
    assert reference(*arguments, strict=True) is wanted
    # A lenient verifier takes every one of them: the refusals are by rule, not because the numbers are off.
    assert reference(*arguments, strict=False) is True


@pytest.mark.parametrize(("answer", "complaint"), [(0, "accepts a signature whose S"), (-1, "refuses an honest")])
def test_another_verifier_is_found_at_start_up(monkeypatch, answer, complaint):
    monkeypatch.setattr(keys, "_open", lambda *_: answer)
    with pytest.raises(LocalProtocolError, match=complaint):
        check_accept_set()


@pytest.fixture
def unused_library(monkeypatch):
    """As before the first verification of a process."""
    monkeypatch.setattr(keys, "_open", keys._open_first)
    return monkeypatch


def test_the_first_verification_looks_at_the_library_and_later_ones_do_not(unused_library):
    looked = []
    look = keys.check_library
    unused_library.setattr(keys, "check_library", lambda: looked.append(look()))
    _, public, message, r, s, _ = ACCEPT_SET[0]
    item = bytes.fromhex(public), message, bytes.fromhex(r + s)
    assert verify_many([item] * 3) == [True] * 3
    assert verify(*item)
    assert len(looked) == 1
    assert keys._open is not keys._open_first


class OldLibrary:
    """PyNaCl 1.3.0: no scalars, and a null output would end the process."""

    PYNACL_HAS_CRYPTO_CORE_ED25519 = 1

    @staticmethod
    def crypto_sign_open(*_):
        raise AssertionError("called although it is not safe")


class DeafLibrary:
    """A library that opens nothing."""

    PYNACL_HAS_CRYPTO_CORE_ED25519 = 1
    crypto_core_ed25519_scalar_mul = None

    @staticmethod
    def crypto_sign_open(*_):
        return -1


@pytest.mark.parametrize(
    ("library", "words"),
    [(OldLibrary, r"older than 1\.0\.18.*Install PyNaCl"), (DeafLibrary, "does not open a signature that is known")],
)
def test_an_unfit_library_is_named_before_it_is_used(unused_library, library, words):
    unused_library.setattr(keys, "lib", library)
    for first in (check_accept_set, lambda: verify(bytes(32), b"", bytes(64))):
        with pytest.raises(UnfitLibrary, match=words):
            first()


HONEST = SigningKey(bytes(range(32)))


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_make_verify_raise(public, message, signature):
    assert verify(public, message, signature) is False
    assert verify_many([(public, message, signature)]) == [False]


@given(st.binary(max_size=300), st.integers(0, 511))
def test_flipping_any_bit_of_a_signature_breaks_it(message, bit):
    signature = HONEST.sign(message)
    assert verify(HONEST.public, message, signature)
    changed = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    assert not verify(HONEST.public, message, changed)


@pytest.mark.parametrize("cut", [0, 31, 32, 63, 65])
def test_bytes_do_not_move_between_signature_and_message(cut):
    whole = HONEST.sign(b"message") + b"message"
    assert not verify(HONEST.public, whole[cut:], whole[:cut])


@pytest.mark.parametrize("public", [b"", HONEST.public[:31], HONEST.public + b"\0"])
def test_a_key_of_another_length_is_refused(public):
    assert not verify(public, b"m", HONEST.sign(b"m"))


def test_verify_many_points_at_exactly_the_wrong_one():
    items = [(HONEST.public, b"%d" % i, HONEST.sign(b"%d" % i)) for i in range(8)]
    items[5] = (HONEST.public, b"other", items[5][2])
    assert verify_many(items) == [True] * 5 + [False] + [True] * 2
    assert verify_many([]) == []


def test_verify_and_verify_many_give_real_booleans():
    good = (HONEST.public, b"m", HONEST.sign(b"m"))
    assert verify(*good) is True
    assert verify_many([good])[0] is True


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_our_callers_mistake(length):
    with pytest.raises(LocalProtocolError, match=f"32 bytes; {length} were given"):
        SigningKey(bytes(length))


def test_a_key_shows_no_secret_and_cannot_be_changed_or_pickled():
    seed = bytes(range(100, 132))
    key = SigningKey(seed)
    assert key.public.hex() in repr(key)
    assert seed.hex() not in repr(key) + str(key)
    assert repr(seed) not in repr(key)
    with pytest.raises(AttributeError, match="cannot be changed"):
        key.public = b""
    with pytest.raises(AttributeError, match="cannot be changed"):
        del key.public
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="never pickled"):
        copy.copy(key)


def test_keys_are_equal_by_their_public_half():
    assert SigningKey(bytes(32)) == SigningKey(bytes(32))
    assert SigningKey(bytes(32)) != HONEST
    assert HONEST.public != HONEST
    assert len({SigningKey(bytes(32)), SigningKey(bytes(32)), HONEST}) == 2
