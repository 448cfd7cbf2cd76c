"""What the app writes for its owner and reads of the node's folder. Whoever calls waits for the disk: in a thread.

Files that are written for people - lists of payments, proofs, logs - go where people look for them, under a name that
was not there yet; a file is there whole or not at all. Nothing is ever written over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import ClassVar, Final

from supervm.common.errors import InputError
from supervm.common.host.prepare import LOG_FILE
from supervm.common.wallet import WALLET_FILE, is_guarded, unlock_wallet
from supervm.common.wallet.keystore import Keystore

from ..errors import MobileError
from .redact import redact

LOG_BYTES_MAX: Final = 1 << 17
"""Most that is read of a log: its end."""
_FOLDERS: Final = ("Downloads", "Download", "Documents")


class NoFile(MobileError):
    """What somebody has named is no file."""


def read_given(path: Path, bytes_max: int) -> bytes:
    """Return the begin of a file that somebody has named: one byte more than `bytes_max` if it is longer.

    Raises:
        NoFile: it is a folder or a device, or nothing can have that name.
        OSError: it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise NoFile(f"{path.name[:60]} is a folder or a device, not a file")
        with path.open("rb") as file:
            return file.read(bytes_max + 1)
    except ValueError as error:
        raise NoFile("no file can have that name") from error


def peoples_folder() -> Path:
    """Return the folder in which people look for what an app has written."""
    home = Path.home()
    return next((home.joinpath(name) for name in _FOLDERS if home.joinpath(name).is_dir()), home)


class OwnersFiles:
    """The files of one phone.

    Args:
        directory: the node's folder; None where there is none on this machine.
        keystore: the platform's; None where there is none.

    Attributes:
        folder: tells where files for people go.
    """

    folder: ClassVar[Callable[[], Path]] = staticmethod(peoples_folder)

    def __init__(self, directory: Path | None, keystore: Keystore | None = None) -> None:
        self._directory = directory
        self._keystore = keystore

    def keep(self, name: str, ending: str, parts: Iterable[bytes]) -> Path:
        """Write a new file and return where it is; if the name is taken it gets a number.

        Args:
            name: without the ending.
            ending: with its point.
            parts: what is in it.

        Raises:
            OSError: it cannot be written; then nothing is left of it.
        """
        folder = type(self).folder()
        folder.mkdir(parents=True, exist_ok=True)
        numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
        path = next(path for path in (folder.joinpath(f"{each}{ending}") for each in numbered) if not path.exists())
        draft = path.with_name(f"{path.name}.part")
        try:
            with draft.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise
        return path

    def log(self, names: Iterable[str], *, redacts: bool) -> str:
        """Return the end of the node's log, as somebody who helps may see it.

        Args:
            names: what is taken out besides addresses, ids, amounts, hosts and paths.
            redacts: False gives it as it is.

        Raises:
            OSError: it cannot be read.
        """
        if self._directory is None:
            return ""
        try:
            with self._directory.joinpath(LOG_FILE).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES_MAX))
                data = file.read(LOG_BYTES_MAX)
        except FileNotFoundError:
            return ""
        if len(data) == LOG_BYTES_MAX:
            data = data.partition(b"\n")[2]  # the first line may have lost its begin
        text = data.decode("utf-8", "replace")
        return redact(text, names) if redacts else text

    def is_guarded(self) -> bool:
        """Return whether a keystore guards the wallet, so that a PIN may open it.

        Raises:
            InputError: there is no wallet, or its file is damaged.
        """
        return self._directory is not None and is_guarded(self._directory.joinpath(WALLET_FILE))

    def words(self, secret: str) -> tuple[str, ...]:
        """Return the wallet's words, for the screen that shows them to their owner; the try is counted.

        Raises:
            CommonError: the passphrase or PIN does not open the wallet, or there is none here.
        """
        if self._directory is None:
            raise InputError("the wallet is not on this machine")
        wallet = unlock_wallet(self._directory.joinpath(WALLET_FILE), secret, keystore=self._keystore)
        try:
            return tuple(wallet.words().split())
        finally:
            wallet.wipe()
