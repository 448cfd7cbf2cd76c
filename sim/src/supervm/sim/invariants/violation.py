"""A broken rule, and the book in which they are noted."""

from __future__ import annotations

import msgspec

KEPT_PER_NAME = 8
"""Violations of one rule that are kept; the first are the ones that tell."""

RULES = {
    "S1": "no two finalized blocks at one height",
    "S2": "finalized chains are prefixes of each other",
    "S3": "no view is both finalized and nullified",
    "S4": "at most one notarized block per view",
    "S5": "no honest key ever signs a contradiction, over all its lives",
    "S6": "no own promise leaves before its record is durable, and who lost its records promises nothing",
    "S7": "equal height, equal state, receipts and history",
    "S8": "one certified checkpoint per height",
    "S9": "at most one certified transaction per slot is unexpired at the highest executed height",
    "S11": "executed transactions of an account are 0, 1, 2, ... and each names the one before",
    "S12": "no transaction is executed twice",
    "S13": "no transaction fails for want of money",
    "S14": "an epoch starts from exactly one block",
    "S15": "light clients accept only headers of the finalized chain, and only true balances and receipts",
    "S16": "replay from genesis gives the same roots",
    "R3": "an honest Notarize is only for a block whose own proof of its place is complete and genuine",
    "2.2": "a second instance of a validator's key finds the first one while it listens, and does not vote",
    "2.4": "an honest Notarize is only for a block that is valid by consensus.md 2.4",
    "2.7": "a node that computes another state than the network stops",
    "2.11": "an honest EpochClose comes after the block that closes its epoch",
    "3.2": "an honest batch vote supports what consensus.md 3.2 and 3.9 allow, and nothing else",
    "3.9.5": "a payment that is valid long enough is carried until it is executed",
    "3.9.6": "every certificate in a block of an honest leader executes something there",
    "C1": "balances sum to the supply",
    "C2": "a block changes the supply by nothing",
    "C3": "every fee lands exactly once, where it belongs",
    "C4": "no balance is negative",
    "C5": "receipts sum to what the accounts changed by",
    "L1": "a block is finalized within a bounded number of views",
    "L2": "no view outlives the longest time-out",
    "L3": "every payment of an honest phone reaches R4 or provable expiry",
    "L4": "every certificate that an honest node holds is executed or moot",
    "L6": "epochs close",
    "L7": "a restarted or late node reaches the tip",
    "L8": "without failures nothing is nullified and R3 is in time",
    "L9": "memory and egress of a node are bounded",
    "L10": "after expiry or a lost race a fresh transaction on the proved head reaches R4",
    "A1": "evidence never names an honest node",
    "A2": "evidence can be checked by anybody",
    "A3": "crashes alone give no evidence",
    "A4": "a contradiction that honest validators are shown again and again is accused",
    "D1": "the same seed gives the same trace",
    "D2": "a core uses no clock, randomness or set iteration",
    "N1": "every queued payment has exactly one fate, and it is the true one",
    "N2": "what a node keeps and sends is bounded under any behaviour of its peers",
    "N3": "what an edge passes on is proved",
    "N4": "what fails a check changes no state",
    "N5": "a node with an honest peer above it reaches the tip",
    "T16": "a wallet never releases two transactions for one slot, nor any before that is durable",
    "QUEUE": "a phone releases what is proved, covered, valid and due, in its order (decisions.md, Transactions)",
    "R0": "what an edge acknowledges is signed by its sender and on the edge's disk",
    "HALT": "no honest node stops for good",
    "CRASH": "no core fails on an input",
}
"""Every rule that is watched: its name in consensus.md 6, economics.md 5, network.md 7 or simulation.md 3.8 (QUEUE, R0,
HALT, CRASH), and what it says."""


class Violation(msgspec.Struct, frozen=True):
    """A rule was broken.

    Attributes:
        name: of the rule, a key of `RULES`.
        at_us: world time.
        detail: who, where, and what was expected.
    """

    name: str
    at_us: int
    detail: str


class Book:
    """Violations in the order they were found, at most a few of each rule."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._counts: dict[str, int] = {}
        self.now_us = 0
        """Time of the event that is looked at."""

    def note(self, name: str, detail: str) -> None:
        """Note that the rule `name` was broken now.

        Args:
            name: a key of `RULES`.
            detail: who, where, and what was expected.
        """
        count = self._counts[name] = self._counts.get(name, 0) + 1
        if count <= KEPT_PER_NAME:
            self.violations.append(Violation(name, self.now_us, detail))
