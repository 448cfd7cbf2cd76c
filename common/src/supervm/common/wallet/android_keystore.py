"""Android's keystore as a `Keystore`: a key that the device keeps seals the secret of a guarded wallet.

Theory of operation. `AndroidKey` (`android_key`) speaks to Android; what is here is the form of what a wallet's file
holds, and what people are told. The form is one byte of version, one byte that says how long the nonce is, the nonce,
and the secret as AES-256-GCM has sealed it. Android draws the nonce itself, anew for every sealing.

The key may go: its owner resets the device, takes the screen lock away on some devices, or moves to another phone. Then
nothing unwraps, and the words on paper are the way back; the text of the error says so.
"""

from __future__ import annotations

from typing import Final, Protocol

from supervm.common.errors import CommonError

from .keystore import SECRET_BYTES, KeystoreRefused

VERSION: Final = 1
"""First byte of what is wrapped."""
NONCE_BYTES_MAX: Final = 32
"""Longest nonce that is taken; Android's has 12 bytes."""
TAG_BYTES: Final = 16
"""What AES-GCM adds to what it seals."""

_GONE: Final = "this device's keystore no longer opens the wallet: import its words into a new one"


class KeyFailed(CommonError):
    """The device's key did not do its part; the text is what the platform says."""


class DeviceKey(Protocol):
    """A key that the device keeps, and that this program on this device may use."""

    def seal(self, data: bytes) -> tuple[bytes, bytes]:
        """Return a new nonce and `data` sealed with AES-256-GCM, its tag at the end.

        Raises:
            KeyFailed: there is no key and none can be made, or it cannot be used now.
        """

    def open(self, nonce: bytes, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            KeyFailed: there is no key, it is another one, or it cannot be used now.
        """


class AndroidKeystore:
    """Wraps with a key that the device keeps.

    Args:
        key: does the sealing.
    """

    def __init__(self, key: DeviceKey) -> None:
        self._key = key

    def wrap(self, secret: bytes) -> bytes:
        """Return `secret` (32 bytes) in a form that only this device unwraps.

        Raises:
            KeystoreRefused: the device has no keystore that works.
        """
        try:
            nonce, sealed = self._key.seal(secret)
        except KeyFailed as error:
            raise KeystoreRefused(f"this device's keystore cannot be used ({error}): choose a passphrase") from error
        if not 1 <= len(nonce) <= NONCE_BYTES_MAX or len(sealed) != len(secret) + TAG_BYTES:
            raise KeystoreRefused("this device's keystore answers in a form that is not known: choose a passphrase")
        return bytes((VERSION, len(nonce))) + nonce + sealed

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return what was wrapped.

        Raises:
            KeystoreRefused: another device wrapped it, or the key has gone.
        """
        length = wrapped[1] if len(wrapped) > 1 else 0
        nonce, sealed = wrapped[2 : 2 + length], wrapped[2 + length :]
        if wrapped[:1] != bytes((VERSION,)) or not 1 <= length <= NONCE_BYTES_MAX:
            raise KeystoreRefused(_GONE)
        if len(sealed) != SECRET_BYTES + TAG_BYTES:
            raise KeystoreRefused(_GONE)
        try:
            secret = self._key.open(nonce, sealed)
        except KeyFailed as error:
            raise KeystoreRefused(_GONE) from error
        if len(secret) != SECRET_BYTES:
            raise KeystoreRefused(_GONE)
        return secret
