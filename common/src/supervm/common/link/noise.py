"""`Noise_XX_25519_ChaChaPoly_BLAKE2b`: three messages, one shared secret, two proven keys.

Theory of operation. This is the Noise Protocol Framework, revision 34, for exactly one protocol name; the
names of classes and methods are those of its section 5. A running hash `h` absorbs everything both sides saw,
a chaining key `ck` absorbs every Diffie-Hellman result, and each encrypted field authenticates `h`: whoever
changes one bit, replays an old message or starts from another prologue is found out at the next tag. The XX
pattern is

    -> e                 message 1: nothing is hidden yet
    <- e, ee, s, es      message 2: the responder's static key and payload, encrypted
    -> s, se             message 3: the initiator's static key and payload, encrypted

after which `split` gives one `CipherState` per direction. A low-order public key makes every Diffie-Hellman
result zero, which libsodium refuses; that is the peer's fault and is reported so (decisions.md, Links).

Sans-I/O: private keys, also the ephemeral one, are arguments. An ephemeral key must never be used twice.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import Final

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError

from .cipher import KEY_BYTES, TAG_BYTES, CipherState

PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_BLAKE2b"
NOISE_MESSAGE_BYTES_MAX: Final = 65_535
"""Longest Noise message, ciphertext and tag included (Noise 3)."""

_PATTERN_XX: Final = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


def public_key(private: bytes) -> bytes:
    """Return the 32-byte X25519 public key of a 32-byte private key.

    Raises:
        LocalProtocolError: the private key does not have 32 bytes.
    """
    if len(private) != KEY_BYTES:
        raise LocalProtocolError(f"an X25519 private key has {KEY_BYTES} bytes, not {len(private)}")
    return crypto_scalarmult_base(private)


def _dh(private: bytes, public: bytes) -> bytes:
    try:
        return crypto_scalarmult(private, public)
    except (CryptoError, RuntimeError) as error:
        raise RemoteProtocolError(
            "the peer's X25519 key is a low-order point: the shared secret would be zero",
            penalty=100,
            code="handshake",
        ) from error


def _hash(data: bytes) -> bytes:
    return blake2b(data).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, blake2b).digest()


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Two 64-byte outputs (Noise 4.3)."""
    temporary = _hmac(chaining_key, material)
    first = _hmac(temporary, b"\x01")
    return first, _hmac(temporary, first + b"\x02")


class SymmetricState:
    """The chaining key, the handshake hash and, once a secret exists, a cipher (Noise 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "hash")

    def __init__(self, protocol_name: bytes = PROTOCOL_NAME) -> None:
        padded = protocol_name.ljust(64, b"\x00") if len(protocol_name) <= 64 else _hash(protocol_name)
        self.hash = padded
        self._chaining_key = padded
        self._cipher: CipherState | None = None

    def mix_key(self, material: bytes) -> None:
        """Absorb a Diffie-Hellman result and start a new cipher from it."""
        self._chaining_key, key = _hkdf(self._chaining_key, material)
        self._cipher = CipherState(key[:KEY_BYTES])

    def mix_hash(self, data: bytes) -> None:
        """Absorb bytes that both sides see."""
        self.hash = _hash(self.hash + data)

    def overhead_bytes(self) -> int:
        """What `encrypt_and_hash` would add now: 0 before the first key, 16 after."""
        return 0 if self._cipher is None else TAG_BYTES

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Encrypt (in clear before the first key) bound to everything so far."""
        ciphertext = plaintext if self._cipher is None else self._cipher.encrypt(plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Inverse of `encrypt_and_hash`.

        Raises:
            RemoteProtocolError: code ``decrypt``.
        """
        plaintext = ciphertext if self._cipher is None else self._cipher.decrypt(ciphertext, self.hash)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the ciphers of initiator-to-responder and responder-to-initiator."""
        first, second = _hkdf(self._chaining_key, b"")
        return CipherState(first[:KEY_BYTES]), CipherState(second[:KEY_BYTES])


class HandshakeState:
    """One side of one XX handshake (Noise 5.3).

    Args:
        initiator: True for the side that sends message 1.
        prologue: bytes that both sides must share; they are authenticated, not sent.
        static_private: our 32-byte X25519 static private key.
        ephemeral_private: 32 fresh random bytes, used for this handshake only.
    """

    def __init__(self, *, initiator: bool, prologue: bytes, static_private: bytes, ephemeral_private: bytes) -> None:
        self.static_public = public_key(static_private)
        self._ephemeral_public = public_key(ephemeral_private)
        self._initiator = initiator
        self._private = {"s": static_private, "e": ephemeral_private}
        self._remote: dict[str, bytes] = {}
        self._step = 0
        self._symmetric = SymmetricState()
        self._symmetric.mix_hash(prologue)

    @property
    def finished(self) -> bool:
        """All three messages went through; `split` may be called."""
        return self._step == len(_PATTERN_XX)

    @property
    def started(self) -> bool:
        """Message 1 was written or read."""
        return self._step > 0

    @property
    def our_turn(self) -> bool:
        """The next message is ours to write."""
        return not self.finished and (self._step % 2 == 0) == self._initiator

    @property
    def remote_static(self) -> bytes | None:
        """The peer's proven X25519 static key, once received."""
        return self._remote.get("s")

    @property
    def handshake_hash(self) -> bytes:
        """64 bytes naming this session for channel binding (Noise 11.2); final once `finished`."""
        return self._symmetric.hash

    def write_message(self, payload: bytes = b"") -> bytes:
        """Return the next handshake message carrying `payload`.

        Raises:
            LocalProtocolError: it is not our turn, or the message would pass 65,535 bytes.
            RemoteProtocolError: the peer's key is a low-order point.
        """
        if not self.our_turn:
            raise LocalProtocolError("the next handshake message is not ours to write")
        symmetric = self._symmetric
        parts: list[bytes] = []
        for item in _PATTERN_XX[self._step]:
            if item == "e":
                parts.append(self._ephemeral_public)
                symmetric.mix_hash(self._ephemeral_public)
            elif item == "s":
                parts.append(symmetric.encrypt_and_hash(self.static_public))
            else:
                self._mix_dh(item)
        size = sum(map(len, parts)) + len(payload) + symmetric.overhead_bytes()
        if size > NOISE_MESSAGE_BYTES_MAX:
            raise LocalProtocolError(
                f"a handshake message of {size} bytes; at most {NOISE_MESSAGE_BYTES_MAX} are allowed"
            )
        parts.append(symmetric.encrypt_and_hash(payload))
        self._step += 1
        return b"".join(parts)

    def read_message(self, message: bytes) -> bytes:
        """Check the next handshake message and return its payload; an error leaves this object of no use.

        Raises:
            LocalProtocolError: it is our turn to write.
            RemoteProtocolError: too short, not authentic, or a low-order point.
        """
        if self.finished or self.our_turn:
            raise LocalProtocolError("no handshake message is due from the peer")
        symmetric = self._symmetric
        rest = memoryview(message)
        for item in _PATTERN_XX[self._step]:
            if item in ("e", "s"):
                size = KEY_BYTES + (symmetric.overhead_bytes() if item == "s" else 0)
                if len(rest) < size:
                    raise RemoteProtocolError(
                        f"handshake message {self._step + 1} ends inside its key", penalty=100, code="handshake"
                    )
                field, rest = bytes(rest[:size]), rest[size:]
                if item == "e":
                    symmetric.mix_hash(field)
                else:
                    field = symmetric.decrypt_and_hash(field)
                self._remote[item] = field
            else:
                self._mix_dh(item)
        payload = symmetric.decrypt_and_hash(bytes(rest))
        self._step += 1
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Return our sending and our receiving cipher.

        Raises:
            LocalProtocolError: the handshake is not finished.
        """
        if not self.finished:
            raise LocalProtocolError("the handshake is not finished")
        first, second = self._symmetric.split()
        return (first, second) if self._initiator else (second, first)

    def _mix_dh(self, token: str) -> None:
        """`ee`, `es`, `se`: the first letter is the initiator's key, the second the responder's."""
        ours, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        self._symmetric.mix_key(_dh(self._private[ours], self._remote[theirs]))
