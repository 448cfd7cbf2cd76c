"""Android's keystore: the form of what a file holds, over a key of the same sealing; and where there is none."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from supervm.common.wallet import WALLET_FILE, Stretching, create_wallet, is_guarded, unlock_wallet
from supervm.common.wallet.android_key import ALIAS, AndroidKey
from supervm.common.wallet.android_keystore import TAG_BYTES, AndroidKeystore, KeyFailed
from supervm.common.wallet.keystore import WRAPPED_BYTES_MAX, KeystoreRefused, platform_keystore

SECRET = bytes(range(32))
PIN = "493817"
CHEAP = Stretching(passes=1, memory_bytes=8 << 10)


class Key:
    """A device's key: the same nonce and tag as AES-GCM, by a cipher that is there on every machine."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self.is_there = True

    def seal(self, data: bytes) -> tuple[bytes, bytes]:
        if not self.is_there:
            raise KeyFailed("no key")
        nonce = os.urandom(12)
        return nonce, crypto_aead_chacha20poly1305_ietf_encrypt(data, None, nonce, self._key)

    def open(self, nonce: bytes, sealed: bytes) -> bytes:
        try:
            if not self.is_there:
                raise KeyFailed("no key")
            return bytes(crypto_aead_chacha20poly1305_ietf_decrypt(sealed, None, nonce, self._key))
        except (CryptoError, TypeError, ValueError) as error:
            raise KeyFailed("AEADBadTagException") from error


def test_what_a_device_wraps_it_alone_unwraps() -> None:
    key = Key()
    wrapped = AndroidKeystore(key).wrap(SECRET)
    assert AndroidKeystore(key).unwrap(wrapped) == SECRET
    assert AndroidKeystore(key).wrap(SECRET) != wrapped, "every nonce is new"
    assert len(wrapped) == 2 + 12 + 32 + TAG_BYTES <= WRAPPED_BYTES_MAX
    with pytest.raises(KeystoreRefused, match="import its words"):
        AndroidKeystore(Key()).unwrap(wrapped)


def test_a_pin_opens_a_wallet_that_the_device_guards_and_no_copy_of_it(tmp_path) -> None:
    path, device = tmp_path / WALLET_FILE, AndroidKeystore(Key())
    words = create_wallet(path, PIN, words=None, entropy=bytes(32), cost=CHEAP, keystore=device)
    assert is_guarded(path)
    assert unlock_wallet(path, PIN, keystore=device).words() == words
    with pytest.raises(KeystoreRefused):
        unlock_wallet(path, PIN, keystore=AndroidKeystore(Key()))


def test_a_key_that_went_is_said_with_the_way_back() -> None:
    key = Key()
    keystore = AndroidKeystore(key)
    wrapped = keystore.wrap(SECRET)
    key.is_there = False
    with pytest.raises(KeystoreRefused, match="import its words"):
        keystore.unwrap(wrapped)
    with pytest.raises(KeystoreRefused, match=r"cannot be used \(no key\): choose a passphrase"):
        keystore.wrap(SECRET)


@pytest.mark.parametrize("answer", [(b"", bytes(48)), (bytes(33), bytes(48)), (bytes(12), bytes(47))])
def test_a_device_that_seals_in_another_form_guards_nothing(answer: tuple[bytes, bytes]) -> None:
    strange: Any = SimpleNamespace(seal=lambda data: answer)
    with pytest.raises(KeystoreRefused, match="form that is not known"):
        AndroidKeystore(strange).wrap(SECRET)


def test_a_secret_of_another_length_is_none() -> None:
    short: Any = SimpleNamespace(open=lambda nonce, sealed: bytes(31))
    with pytest.raises(KeystoreRefused):
        AndroidKeystore(short).unwrap(bytes((1, 12)) + bytes(12 + 48))


@given(st.binary(max_size=80), st.integers(0, 61), st.integers(1, 255))
def test_what_was_not_wrapped_here_is_refused_in_one_sentence(noise: bytes, place: int, change: int) -> None:
    keystore = AndroidKeystore(Key())
    changed = bytearray(keystore.wrap(SECRET))
    changed[place] ^= change
    for wrapped in (noise, bytes(changed), bytes(changed[:place])):
        with pytest.raises(KeystoreRefused):
            keystore.unwrap(wrapped)


# --- through Java -----------------------------------------------------------------------------------------------------


class JavaException(Exception):
    """As pyjnius raises it."""


def signed(data: bytes) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in data]


class Java:
    """What the calls of `AndroidKey` mean, over one key; bytes come signed, as Java has them."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.detached: list[threading.Thread] = []
        self.built: list[tuple[str, Any]] = []

    def module(self) -> ModuleType:
        made = ModuleType("jnius")
        made.__dict__.update(
            JavaException=JavaException,
            autoclass={
                "java.security.KeyStore": self.key_store(),
                "javax.crypto.KeyGenerator": self.key_generator(),
                "javax.crypto.Cipher": self.cipher(),
                "javax.crypto.spec.GCMParameterSpec": self.gcm_parameters,
                "android.security.keystore.KeyGenParameterSpec$Builder": self.key_parameters,
            }.__getitem__,
            detach=lambda: self.detached.append(threading.current_thread()),
        )
        return made

    def key_store(self) -> Any:
        store = SimpleNamespace(load=lambda _: None, getKey=lambda alias, _: self.keys.get(alias))
        return SimpleNamespace(getInstance=lambda name: {"AndroidKeyStore": store}[name])

    def key_parameters(self, alias: str, purposes: int) -> Any:
        self.built = [("alias", alias), ("purposes", purposes)]
        said = ("setBlockModes", "setEncryptionPaddings", "setKeySize")
        calls = {name: lambda value, name=name: self.built.append((name, value)) for name in said}
        return SimpleNamespace(build=lambda: alias, **calls)

    def key_generator(self) -> Any:
        def instance(algorithm: str, store: str) -> Any:
            assert (algorithm, store) == ("AES", "AndroidKeyStore")
            aliases: list[str] = []

            def generate() -> Key:
                return self.keys.setdefault(aliases[-1], Key())

            return SimpleNamespace(init=aliases.append, generateKey=generate)

        return SimpleNamespace(getInstance=instance)

    def gcm_parameters(self, bits: int, nonce: bytes) -> bytes:
        assert bits == 128
        return nonce

    def cipher(self) -> Any:
        def instance(transformation: str) -> Any:
            assert transformation == "AES/GCM/NoPadding"
            state: dict[str, Any] = {}

            def init(mode: int, key: Key, nonce: bytes | None = None) -> None:
                state.update(mode=mode, key=key, nonce=nonce)

            def finish(data: bytes) -> list[int]:
                try:
                    if state["mode"] == 2:
                        return signed(state["key"].open(state["nonce"], data))
                    state["nonce"], sealed = state["key"].seal(data)
                    return signed(sealed)
                except KeyFailed as error:
                    raise JavaException(f"JVM exception occurred: {error}\nat javax.crypto.Cipher") from error

            return SimpleNamespace(init=init, doFinal=finish, getIV=lambda: signed(state["nonce"]))

        return SimpleNamespace(getInstance=instance)


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch) -> Java:
    made = Java()
    monkeypatch.setitem(sys.modules, "jnius", made.module())
    monkeypatch.setattr(sys, "platform", "android")
    return made


def test_the_key_is_made_once_and_never_asks_for_itself(java: Java) -> None:
    keystore = platform_keystore()
    assert isinstance(keystore, AndroidKeystore)
    wrapped = keystore.wrap(SECRET)
    assert java.built == [
        ("alias", ALIAS),
        ("purposes", 3),
        ("setBlockModes", "GCM"),
        ("setEncryptionPaddings", "NoPadding"),
        ("setKeySize", 256),
    ]
    java.built = []
    assert keystore.unwrap(keystore.wrap(SECRET)) == keystore.unwrap(wrapped) == SECRET
    assert java.built == [], "it is there already"
    assert java.detached == [], "Java called this thread"


def test_a_thread_of_python_leaves_java_before_it_ends(java: Java) -> None:
    key, found = AndroidKey(), []
    thread = threading.Thread(target=lambda: found.append(key.open(*key.seal(SECRET))))
    thread.start()
    thread.join()
    assert found == [SECRET]
    assert java.detached == [thread, thread]


def test_what_java_says_is_one_line(java: Java) -> None:
    key = AndroidKey()
    with pytest.raises(KeyFailed, match="there is no key"):
        key.open(bytes(12), bytes(48))
    nonce, _ = key.seal(SECRET)
    with pytest.raises(KeyFailed, match=r"^JVM exception occurred: AEADBadTagException$"):
        key.open(nonce, bytes(48))


def test_a_desktop_has_none_and_a_terminal_on_a_phone_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    assert platform_keystore() is None
    monkeypatch.setattr(sys, "platform", "android")
    monkeypatch.setitem(sys.modules, "jnius", None)
    assert platform_keystore() is None
