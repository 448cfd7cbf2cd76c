"""A key in AndroidKeyStore, through pyjnius; to be made in an app's process on Android and nowhere else.

The key is made at its first use: AES, 256 bits, for GCM alone, and never given out. Where the device has a secure
environment the key lives there. It asks for no finger: the wallet's PIN is what its owner knows, and the key is what
the device has.

Python's threads do not belong to Java's machine; pyjnius attaches them when they call. One that ends attached takes the
process down, so it is detached after each call, except for the one that Java itself called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from .android_keystore import TAG_BYTES, KeyFailed

T = TypeVar("T")

ALIAS: Final = "supervm.wallet.1"
"""Name of the key; another number would be another key."""
KEY_BITS: Final = 256
"""Length of the key."""

_STORE: Final = "AndroidKeyStore"
_TRANSFORMATION: Final = "AES/GCM/NoPadding"
_ENCRYPT, _DECRYPT = 1, 2  # both KeyProperties.PURPOSE_* and Cipher.*_MODE have these values


class AndroidKey:
    """The key of this app in the device's keystore (`android_keystore.DeviceKey`).

    Raises:
        ImportError: this is no app's process on Android.
    """

    def __init__(self) -> None:
        import jnius

        self._java = jnius

    def seal(self, data: bytes) -> tuple[bytes, bytes]:
        """Return a new nonce and `data` sealed; the key is made if there is none.

        Raises:
            KeyFailed: there is no key and none can be made, or it cannot be used now.
        """

        def work() -> tuple[bytes, bytes]:
            cipher = self._class("javax.crypto.Cipher").getInstance(_TRANSFORMATION)
            cipher.init(_ENCRYPT, self._found() or self._made())
            sealed = cipher.doFinal(data)
            return _unsigned(cipher.getIV()), _unsigned(sealed)

        return self._attached(work)

    def open(self, nonce: bytes, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            KeyFailed: there is no key, it is another one, or it cannot be used now.
        """

        def work() -> bytes:
            key = self._found()
            if key is None:
                raise KeyFailed("there is no key")
            cipher = self._class("javax.crypto.Cipher").getInstance(_TRANSFORMATION)
            cipher.init(_DECRYPT, key, self._class("javax.crypto.spec.GCMParameterSpec")(TAG_BYTES * 8, nonce))
            return _unsigned(cipher.doFinal(sealed))

        return self._attached(work)

    def _class(self, name: str) -> Any:
        return self._java.autoclass(name)

    def _found(self) -> Any:
        store = self._class("java.security.KeyStore").getInstance(_STORE)
        store.load(None)
        return store.getKey(ALIAS, None)

    def _made(self) -> Any:
        builder = self._class("android.security.keystore.KeyGenParameterSpec$Builder")(ALIAS, _ENCRYPT | _DECRYPT)
        builder.setBlockModes("GCM")
        builder.setEncryptionPaddings("NoPadding")
        builder.setKeySize(KEY_BITS)
        generator = self._class("javax.crypto.KeyGenerator").getInstance("AES", _STORE)
        generator.init(builder.build())
        return generator.generateKey()

    def _attached(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except self._java.JavaException as error:
            raise KeyFailed(str(error).partition("\n")[0]) from error
        finally:
            if threading.current_thread() is not threading.main_thread():
                self._java.detach()


def _unsigned(values: Iterable[int]) -> bytes:
    """Return Java's bytes, which run from -128 to 127, as Python's."""
    return bytes(value & 0xFF for value in values)
