"""Machines of a LAN as network namespaces of this one, joined by a bridge in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def ip(*arguments: str) -> None:
    """Run ``ip``.

    Raises:
        subprocess.CalledProcessError: it says no.
    """
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def why_not() -> str:
    """Return why no namespaces can be made here; empty if they can."""
    if shutil.which("ip") is None:
        return "the program `ip` is not installed"
    name = f"svm{os.getpid()}t"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", None) or str(error).encode()
        return f"no network namespace can be made here: {told.decode(errors='replace').strip()}"
    try:
        ip("-n", name, "link", "add", "br0", "type", "bridge")
    except subprocess.CalledProcessError as error:
        return f"no bridge can be made here: {error.stderr.decode(errors='replace').strip()}"
    finally:
        ip("netns", "del", name)
    return ""


@contextmanager
def lan(count: int) -> Iterator[list[str]]:
    """Make so many machines, ``10.77.0.1`` and on, on one LAN without a router; give the names of their namespaces."""
    switch = f"svm{os.getpid()}s"
    names = [f"svm{os.getpid()}h{number}" for number in range(1, count + 1)]
    made = []
    try:
        for name in (switch, *names):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(names, start=1):
            ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{number}", "netns", switch)
            ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in reversed(made):
            ip("netns", "del", name)
