"""What is said around a core and its driver: a node's start and end, its folder, its services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from ..contract.events import Event, Level


class Ready(Event, frozen=True):
    """The node is up.

    Attributes:
        tier: 1 to 4.
        node_id: who it is.
        listen: the address that it listens on, or None.
        pid: its process.
        about: what its tier adds, as further fields.
    """

    NAME = "ready"

    tier: int
    node_id: str
    listen: str | None
    pid: int
    about: Mapping[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """What is written of it: what the tier adds stands beside the rest."""
        told = super().fields
        del told["about"]
        return {**told, **self.about}


class ReadyNotPrinted(Event, frozen=True):
    """Nobody took the line ``ready`` on standard output; the node goes on.

    Attributes:
        reason: what the system says.
    """

    NAME = "ready-not-printed"
    LEVEL = "warning"

    reason: str


class Stopping(Event, frozen=True):
    """The node has been asked to stop; a warning if nobody asked and it ends with its parent.

    Attributes:
        signal: which signal asked for it; unset if none did.
        parent: the process that has gone and that this one was to follow; unset if a signal asked.
    """

    NAME = "stopping"

    signal: str | UnsetType = UNSET
    parent: int | UnsetType = UNSET

    @property
    def level(self) -> Level:
        """How much this one matters."""
        return "info" if self.parent is UNSET else "warning"


class Stopped(Event, frozen=True):
    """A clean stop has come to its end."""

    NAME = "stopped"


class Failed(Event, frozen=True):
    """Wrong input or configuration ended the node, or kept it from starting.

    Attributes:
        reason: what is wrong, for people.
    """

    NAME = "failed"
    LEVEL = "error"

    reason: str


class StorageFailed(Event, frozen=True):
    """The disk or the database ended the node.

    Attributes:
        reason: what happened, and what the owner can do.
    """

    NAME = "storage-failed"
    LEVEL = "error"

    reason: str


class Halted(Event, frozen=True):
    """The core stopped the node for good.

    Attributes:
        reason: why, for people.
    """

    NAME = "halted"
    LEVEL = "error"

    reason: str


class Crashed(Event, frozen=True):
    """A bug ended the node.

    Attributes:
        reason: the error's type and text.
    """

    NAME = "crashed"
    LEVEL = "error"

    reason: str


class LogLost(Event, frozen=True):
    """This installation had a write-ahead log, and it is gone: the node will not vote.

    Attributes:
        path: where it should be.
    """

    NAME = "log-lost"
    LEVEL = "error"

    path: str


class LogDamaged(Event, frozen=True):
    """The write-ahead log cannot be relied on: the node will not vote.

    Attributes:
        reason: what is wrong with it.
    """

    NAME = "log-damaged"
    LEVEL = "error"

    reason: str


class ServiceFailed(Event, frozen=True):
    """Something that runs beside the node failed or could not be loaded; the node goes on without it.

    Attributes:
        service: its name.
        reason: why, for people.
    """

    NAME = "service-failed"
    LEVEL = "error"

    service: str
    reason: str


class Library(Event, frozen=True):
    """A library in use logged a warning or an error.

    Attributes:
        logger: which logger.
        text: what it says.
    """

    NAME = "library"

    logger: str
    text: str
    level: Level
