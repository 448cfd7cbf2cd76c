"""Errors of the shared node parts, told apart by who has to act.

Blame is in the type. A peer's fault is a `RemoteProtocolError` of the protocol and nothing else; whatever descends from
`CommonError` is about this machine - its user, its disk, its node, the processes of its own network - and counts
against no peer. Each tier and the simulator has one root of its own below `CommonError`.
"""

from __future__ import annotations


class CommonError(Exception):
    """Root of every error that `supervm.common`, the tiers and `supervm.sim` raise: something here is wrong."""


class InputError(CommonError):
    """What the user gave is wrong: a file, an option, a passphrase. One line; the command exits with 2."""
