"""The cipher of a link: ChaCha20-Poly1305 with a counter as nonce, and a key that can be replaced."""

from __future__ import annotations

from struct import Struct
from typing import Final

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError

KEY_BYTES: Final = 32
"""Length of a cipher key and of an X25519 key (Noise DHLEN)."""
TAG_BYTES: Final = 16
"""What encryption adds to a plaintext."""
NONCE_LAST: Final = 2**64 - 2
"""Largest nonce that may carry a message; 2**64-1 is kept for `CipherState.rekey` (Noise 5.1)."""

_NONCE = Struct("<4xQ")  # 32 zero bits, then the counter little-endian (Noise 12.3)
_REKEY_NONCE = _NONCE.pack(2**64 - 1)
_ZERO_KEY = bytes(KEY_BYTES)


class CipherState:
    """A ChaCha20-Poly1305 key and its message counter (Noise 5.1).

    Args:
        key: 32 bytes.
        nonce: the counter of the next message, 0 .. 2**64-2.
    """

    __slots__ = ("_key", "nonce")

    def __init__(self, key: bytes, nonce: int = 0) -> None:
        if len(key) != KEY_BYTES:
            raise LocalProtocolError(f"a cipher key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self.nonce = nonce

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Return the ciphertext, 16 bytes longer than `plaintext`, and step the counter.

        Raises:
            LocalProtocolError: the counter is used up; the connection has to be closed.
        """
        nonce = self.nonce
        if nonce > NONCE_LAST:
            raise LocalProtocolError("the nonce of this cipher is used up: open a new connection")
        ciphertext = crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, _NONCE.pack(nonce), self._key)
        self.nonce = nonce + 1
        return ciphertext

    def decrypt(self, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Return the plaintext and step the counter; a refused ciphertext leaves the counter alone.

        Raises:
            RemoteProtocolError: code ``decrypt``: too short, altered, replayed, out of order, or past the
                last nonce.
        """
        nonce = self.nonce
        if nonce > NONCE_LAST:
            raise RemoteProtocolError("the nonce of this cipher is used up", penalty=0, code="decrypt")
        if len(ciphertext) < TAG_BYTES:
            raise RemoteProtocolError(
                f"a ciphertext has {len(ciphertext)} bytes; its tag alone takes {TAG_BYTES}",
                penalty=100,
                code="decrypt",
            )
        try:
            plaintext = crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, associated, _NONCE.pack(nonce), self._key)
        except CryptoError as error:
            raise RemoteProtocolError(
                f"ciphertext number {nonce} does not authenticate: altered, replayed or out of order",
                penalty=100,
                code="decrypt",
            ) from error
        self.nonce = nonce + 1
        return plaintext

    def rekey(self) -> None:
        """Replace the key by a one-way function of itself (Noise 4.2, 11.3); the counter goes on."""
        zeros = crypto_aead_chacha20poly1305_ietf_encrypt(_ZERO_KEY, b"", _REKEY_NONCE, self._key)
        self._key = zeros[:KEY_BYTES]
