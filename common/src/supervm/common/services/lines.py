"""What both ends of a control socket share: lines, answers, and names that fit a socket address."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import CommonError, InputError

if TYPE_CHECKING:
    import trio

SOCKET_FILE: Final = "node.sock"
"""Name of the socket in a node's folder."""
LINE_BYTES_MAX: Final = 16 << 20
"""Longest request or answer."""
READ_BYTES: Final = 64 << 10
_PATH_BYTES_MAX: Final = 100  # what every system's socket address holds


Request = msgspec.Struct | Mapping[str, Any]
"""A tier's request, or its JSON as a mapping."""


class RequestRefused(CommonError):
    """The node refused a request; the text says why."""


class NoOwner(CommonError):
    """No process answers on the control socket."""


def no_owner(path: Path, error: OSError) -> NoOwner:
    """Return what to raise when nothing can be reached at a socket."""
    return NoOwner(f"no node answers on {path}: {error.strerror or error}")


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give a name for a socket that fits a socket address, however deep its folder lies.

    Raises:
        InputError: it does not fit, and this system has no way round.
    """
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise InputError(f"{path}: a socket's path may have {_PATH_BYTES_MAX} bytes here; use a folder nearer the root")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Lines:
    """Cuts a stream into lines."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._looked = 0

    async def next(self) -> bytes | None:
        """Return the next line without its end; None at the end of the stream.

        Raises:
            InputError: the line is too long.
        """
        while True:
            at = self._buffer.find(b"\n", self._looked)
            if at >= 0:
                line = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                self._looked = 0
                return line
            self._looked = len(self._buffer)
            if self._looked > LINE_BYTES_MAX:
                raise InputError(f"a line of more than {LINE_BYTES_MAX} bytes")
            data = await self._stream.receive_some(READ_BYTES)
            if not data:
                return None
            self._buffer += data


def read_answer(line: bytes) -> Any:
    """Return the value of an answer line.

    Raises:
        CommonError: it is a refusal (its text), or no answer.
    """
    try:
        answer = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise CommonError(f"the node's answer cannot be read: {error}") from error
    if not isinstance(answer, dict) or not ({"ok", "error"} & answer.keys()):
        raise CommonError("the node's answer is neither ok nor error")
    if "error" in answer:
        raise RequestRefused(str(answer["error"]))
    return answer["ok"]
