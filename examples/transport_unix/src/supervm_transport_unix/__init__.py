"""Links over Unix sockets, addresses ``unix:/path/of/the.sock``: a transport of one's own in sixty lines."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import trio

from supervm.common.driver import Limits, ListenFailed
from supervm.common.driver.transports import Admit, Traits


class UnixPipe:
    """A connected socket."""

    prologue_extra, simultaneous, awaits_word = b"", False, False
    remote, admission_key = "", None  # the same machine: there is no address to log, to ban or to count

    def __init__(self, stream: trio.SocketStream) -> None:
        self.receive_some, self.send_all, self.aclose = stream.receive_some, stream.send_all, stream.aclose

    def lost(self, now_s: float) -> str:
        """Return nothing: the system tells at once when the other end is gone."""
        return ""


class UnixTransport:
    """Unix sockets; the driver makes one with its limits."""

    scheme, traits = "unix", Traits()

    def __init__(self, _limits: Limits) -> None:
        pass

    def can_dial(self, address: str) -> bool:
        """Return whether it is a path that a socket may have."""
        return address.startswith("/") and len(os.fsencode(address)) < 108

    async def dial(self, address: str) -> UnixPipe:
        """Connect."""
        return UnixPipe(await trio.open_unix_socket(address))

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take those who dial, until it is cancelled; the folder says who may."""
        listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with listening:
            try:
                await trio.Path(address).unlink(missing_ok=True)  # what a node that was killed has left
                await listening.bind(address)
            except OSError as error:
                raise ListenFailed(f"cannot listen on unix:{address}: {error}") from error
            listening.listen()
            task_status.started([f"unix:{address}"])
            try:
                while True:
                    admit(UnixPipe(trio.SocketStream((await listening.accept())[0])))
            finally:
                Path(address).unlink(missing_ok=True)
