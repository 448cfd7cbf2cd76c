"""The platform's keystore: what a short PIN needs to be safe.

A phone's operating system can keep a key in hardware that never gives it out and that only this program on this device
may use. A wallet that is *guarded* mixes a random secret into its key which the file holds only as the keystore has
wrapped it. So a copy of the file is worth nothing elsewhere, however short the PIN is. The price: if the device is
lost or its keystore is reset, the words on paper are the only way back.

There is no implementation for desktops: what a program can unwrap there, any program of the same user can. Where there
is no `Keystore`, wallets have a passphrase (`strength`). Android's is `android_keystore`.
"""

from __future__ import annotations

import sys
from typing import Final, Protocol

from supervm.common.errors import InputError

SECRET_BYTES: Final = 32
"""Length of what is wrapped."""
WRAPPED_BYTES_MAX: Final = 512
"""Longest form that a keystore may wrap it in."""


class KeystoreRefused(InputError):
    """The keystore does not unwrap: another device's file, a reset device, or no agreement of its owner."""


class Keystore(Protocol):
    """What a platform gives; both calls may wait for hardware or for a finger."""

    def wrap(self, secret: bytes) -> bytes:
        """Return `secret` (32 bytes) in a form of at most 512 bytes that only this device unwraps.

        Raises:
            KeystoreRefused: it cannot.
        """

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return what was wrapped.

        Raises:
            KeystoreRefused: it cannot; the text says why, for people.
        """


def platform_keystore() -> Keystore | None:
    """Return the keystore of this device; None where there is none that a program can use."""
    if sys.platform != "android":
        return None
    from .android_key import AndroidKey
    from .android_keystore import AndroidKeystore

    try:
        return AndroidKeystore(AndroidKey())
    except ImportError:  # a terminal on a phone is no app, and has none
        return None
