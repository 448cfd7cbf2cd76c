"""Asking a running node one thing without an event loop, as most commands do; so they need not load one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec

from .lines import NoOwner, Request, no_owner, reachable, read_answer


def call_sync(path: Path, request: Request, *, timeout_s: float = 30.0) -> Any:
    """Ask one thing without an event loop.

    Raises:
        RequestRefused: the node says what was wrong with the request.
        NoOwner: nobody answers, or not within `timeout_s`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            with reachable(path) as name:
                sock.connect(name)
            sock.sendall(msgspec.json.encode(request) + b"\n")
            with sock.makefile("rb") as file:
                line = file.readline()
        except OSError as error:
            raise no_owner(path, error) from error
    if not line:
        raise NoOwner(f"the node on {path} closed the connection")
    return read_answer(line)
