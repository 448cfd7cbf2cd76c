"""The check at start that this validator's key votes nowhere else (consensus.md 2.2, double-run).

For some seconds the node only listens. Certificates that the others exchange name their signers. One that holds a
genuine signature of this key in a view above everything this node has promised, or in a later epoch, was made by
another process with the same key - a copy of the folder on a second machine, say - and then this one must not vote.
"""

from __future__ import annotations

from collections.abc import Iterable

from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.votes import Certificate

from ..errors import SuperNodeError
from .simplex.rounds import KINDS


class DoubleRun(SuperNodeError):
    """Another process votes with this validator's key."""


class DoubleRunGuard:
    """Watches certificates while the node listens.

    Args:
        rules: the epoch.
        index: this validator.
        promised_view: highest view this node has promised anything in, or knows to be finalized.
    """

    def __init__(self, rules: ChainRules, index: int, promised_view: int) -> None:
        self._rules, self._index, self._promised_view = rules, index, promised_view

    def look(self, certificates: Iterable[Certificate]) -> None:
        """Look at certificates from a peer.

        Raises:
            DoubleRun: one of them holds a vote that this node never gave.
        """
        rules = self._rules
        for certificate in certificates:
            if certificate.kind not in KINDS or (certificate.epoch, certificate.number) <= (
                rules.epoch,
                self._promised_view,
            ):
                continue  # numbers of other kinds are no views: everybody has a certified checkpoint with our signature
            message = certificate.statement(rules.chain_id)
            for signer, signature in certificate.signatures:
                # in a later epoch we may stand at any place
                may_be_ours = signer == self._index or certificate.epoch > rules.epoch
                if may_be_ours and rules.verify(rules.validators.keys[self._index], message, signature):
                    raise DoubleRun(
                        f"another process votes with this validator's key: it signed view {certificate.number} of "
                        f"epoch {certificate.epoch}, this node has promised nothing above view {self._promised_view} "
                        f"of epoch {rules.epoch}; stop one of the two"
                    )
