"""What a phone says beside what every node does (`supervm.common.parts.events`)."""

from __future__ import annotations

from supervm.common.contract.events import Event


class EdgeChanged(Event, frozen=True):
    """Another edge is in use.

    Attributes:
        peer: its node id.
        reason: what was wrong with the one before, for people.
    """

    NAME = "edge-changed"

    peer: str
    reason: str


class WalletUnlocked(Event, frozen=True):
    """The wallet is open: payments are signed."""

    NAME = "wallet-unlocked"


class WalletLocked(Event, frozen=True):
    """The wallet is locked: nothing is signed.

    Attributes:
        reason: why, for people.
    """

    NAME = "wallet-locked"

    reason: str


class UnlockRefused(Event, frozen=True):
    """A wallet was not opened, or its passphrase not changed.

    Attributes:
        reason: why, for people; it never holds a passphrase.
    """

    NAME = "unlock-refused"
    LEVEL = "warning"

    reason: str


class WalletUsedElsewhere(Event, frozen=True):
    """Another device pays with the same words.

    Attributes:
        account: address of the account that it paid from.
        payments: how many payments the account has made in all.
        height: of the block under which that was proved.
        reason: what it means, for people.
    """

    NAME = "wallet-used-elsewhere"
    LEVEL = "warning"

    account: str
    payments: int
    height: int
    reason: str


class ModeChanged(Event, frozen=True):
    """The phone does something else for others.

    Attributes:
        mode: what it is now: passive, standard or active.
        reason: what decides it, for people.
    """

    NAME = "mode-changed"

    mode: str
    reason: str


class PromiseChanged(Event, frozen=True):
    """A payment that another phone handed over has come further.

    Attributes:
        id: its transaction id, as hex.
        status: how far it is now.
        reason: why it is over, where it is; else empty.
    """

    NAME = "promise"

    id: str
    status: str
    reason: str
