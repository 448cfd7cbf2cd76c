"""Errors of the protocol, told apart by who has to act.

Blame is in the type (architecture.md 2): `LocalProtocolError` means our own caller used the protocol wrongly and a
person must fix code or input here; `RemoteProtocolError` means a peer broke the rules and carries what to do about it.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Root of every error that `supervm.protocol` raises."""


class LocalProtocolError(ProtocolError):
    """Our own caller asked for something the protocol does not allow."""


class UnfitLibrary(LocalProtocolError):
    """A library that is installed here cannot do what the protocol needs; another version of it must be installed."""


class RemoteProtocolError(ProtocolError):
    """A peer sent something the protocol does not allow.

    Args:
        reason: one sentence saying what was wrong and what is allowed.
        penalty: 0..100, how much this counts against the peer (100: disconnect at once).
        code: short stable word for the wire and for metrics, for example ``"malformed"``.
    """

    def __init__(self, reason: str, *, penalty: int = 20, code: str = "malformed") -> None:
        super().__init__(reason)
        self.reason = reason
        self.penalty = penalty
        self.code = code
