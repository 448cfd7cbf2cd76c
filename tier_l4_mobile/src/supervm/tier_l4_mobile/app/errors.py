"""What the node says when something does not go, as sentences that people can act on.

Most of the node's sentences are for whoever runs it from a command line. Those that an owner of a phone meets are known
here by how they read, and have texts of their own in each language; any other is shown as it is, cut to a length that
a screen holds. A test provokes them at a real node, so that a sentence that changes there is missed here.
"""

from __future__ import annotations

import re
from typing import Final

from supervm.common.services.lines import NoOwner

from .values import Amount, Text, say

SHOWN_CHARS_MAX: Final = 300
"""Longest part of a sentence that nobody here knows."""

_KNOWN: Final[tuple[tuple[str, str], ...]] = (
    (r"overdraft: it needs (?P<needed>\d+) grain, (?P<free>\d+) are free", "error.overdraft"),
    (r"overdraft: it needs", "error.overdraft-asset"),
    (r"the queue is full: (?P<count>\d+) payments", "error.queue-full"),
    (r"^(an edge refused it|it waits for an edge that takes its fee): fee-not-taken: ", "error.fee-not-taken"),
    (r"it waits for an edge that takes its fee: ", "error.fee-not-taken"),
    (r"^fee-not-taken: ", "error.fee-not-taken"),
    (r"is another network's", "error.other-network"),
    (r"^the anchor: ", "first.no-anchor"),
    (r"is not an address; host:port is needed", "first.no-edge"),
    (r"is not an address: .*the checksum does not fit", "error.address-typo"),
    (r"is not an address: .*names a pool", "error.address-pool"),
    (r"is not an address", "error.address"),
    (r"the receiver is not an account that can be paid", "error.address-pool"),
    (r"is not an account of this wallet", "error.not-own"),
    (r"was released to the network; only what never left", "error.cancel-late"),
    (r"is (\S+) and cannot be cancelled", "error.cancel-over"),
    (r"another contact is called (?P<name>.{1,64}): t?svm1", "error.contact-name"),
    (r"a contact needs a name", "error.contact-empty"),
    (r"contacts; at most (?P<most>\d+) are allowed", "error.contacts-full"),
    (r"addresses are watched already", "error.watched-full"),
    (r"clock is (?P<s>\d+) s behind the edge's", "error.clock-behind"),
    (r"clock is (?P<s>\d+) s ahead of the edge's", "error.clock-ahead"),
    (r"clock is at least (?P<s>\d+) s behind", "error.clock-behind"),
    (r"clock is about (?P<s>\d+) s ahead of what", "error.clock-surely-ahead"),
    (r"blocks are (?P<s>\d+) s old when they come", "error.blocks-late"),
    (r"clock is (?P<s>\d+) s behind (block \d+|the genesis file), ", "error.clock-behind"),
    (r"it waits for a proof of the network's time", "wait.time"),
    (r"a payment before it can no longer execute", "error.predecessor"),
    (r"another device (holds|that has) the same words", "error.other-device"),
    (r"its slot is used; only its receipt can tell", "wait.receipt"),
    (r"a newer anchor is needed", "error.anchor"),
    (r"the chain refused it at execution: too little money", "error.failed"),
    (r"cancelled before its release", "error.cancelled"),
    (r"^no edge is connected", "error.no-edge"),
    (r"^no edge answered in time", "error.edge-silent"),
    (r"^an edge refused it: ", "error.edge-refused"),
    (r"^the edge svmnode1\w*(?P<edge>\w{8}) sent a proof that does not hold", "error.edge-lied"),
    (r"another device or process runs with this node's key", "error.node-twice"),
    (r"the directory .+ is in use by process (?P<process>\d+|unknown)", "error.directory-busy"),
    (r"the passphrase (does not open|is wrong|that opens the wallet is needed)", "error.passphrase"),
    (r"after (?P<count>\d+) wrong passphrases the next may be tried in (?P<s>\d+) s", "error.too-soon"),
    (r"is of an account of this wallet, signed on another device", "take.own-elsewhere"),
    (r"this phone carries its own traffic only", "take.passive"),
    (r"its validity has passed, so it can no longer be executed", "take.past"),
    (r"its payer has signed another payment for the same place", "take.rival"),
    (r"(\d+) open payments of (its payer|others) are kept here already", "take.full"),
    (r"nothing is proved of its payer, and \d+ such payments are kept", "take.full"),
    (r"its place was used by height (?P<height>\d+)", "take.used"),
    (r"another payment took the place before it, as is proved at height (?P<height>\d+)", "take.used"),
    (r"payments before it are missing", "take.missing"),
    (r"what is proved at height (?P<height>\d+) does not cover it", "take.uncovered"),
    (r" of the hand-over cannot be used here: ", "take.unused"),
    (r"its changes of validators cannot be used here: ", "take.unused"),
    (r"it has a proof of [0-9a-f]+, which is no payment of this phone", "take.not-mine"),
    (r"^this is no hand-over of payments", "take.damaged"),
    (r"^the hand-over is of another network", "take.other-network"),
    (r"of the hand-over(, [0-9a-f]+,)? (is refused|cannot be read|does not hold)", "take.forged"),
    (r"^its changes of validators does not hold", "take.forged"),
    (r"hand over (fewer|the) payments|the hand-over would have \d+ (payments|proofs)", "give.many"),
    (r"^it was handed over, and whoever meets an edge first brings it", "wait.handed"),
    (r"^payment \S+ is not signed: this phone has to have proved", "give.unsigned"),
    (r"cannot be handed over: its validity has passed", "give.past"),
    (r"only what is open can be handed over", "give.over"),
    (r"its validity passed before it was executed", "promise.past"),
    (r"another payment of the payer took its place", "promise.rival"),
    (r"a payment of the payer before it can no longer execute", "promise.behind"),
    (r"its place was used, and no edge shows by what", "promise.no-receipt"),
    (r"^an edge says: ", "promise.refused"),
    (
        r"the passphrase has (?P<count>\d+) characters: take at least (?P<least>\d+), or (?P<words>\d+) words",
        "secret.short",
    ),
    (r"the passphrase repeats itself: take at least (?P<least>\d+) different", "secret.repeats"),
    (r"the passphrase is longer than (?P<most>\d+) bytes", "secret.long"),
    (r"the passphrase is not valid text", "secret.no-text"),
    (r"a PIN has (?P<least>\d+) to (?P<most>\d+) digits", "secret.pin-digits"),
    (r"this PIN is one of the first that anybody tries", "secret.pin-easy"),
    (r"is not a genesis file|the genesis file cannot be read", "first.no-genesis"),
    (r"wallet is locked|wallet was never unlocked", "error.locked"),
    (r"^no node answers on |^the node (on|in) .+ (has gone|closed the connection|stopped|does not run)", "error.gone"),
    (r"(^the database is damaged, or another network's: |the database \S+ is damaged: )", "error.damaged"),
    (r"(No space left on device|database or disk is full)", "error.disk-full"),
)
_PATTERNS: Final = tuple((re.compile(pattern), key) for pattern, key in _KNOWN)
_GRAIN: Final = ("needed", "free")


def explain_text(sentence: str) -> Text:
    """Return a sentence of the node for people: its own text, or what it says, in few enough letters."""
    looked_at = sentence[: 4 * SHOWN_CHARS_MAX]
    for pattern, key in _PATTERNS:
        found = pattern.search(looked_at)
        if found is not None:
            values = found.groupdict()
            return Text(key, {name: Amount(int(text)) if name in _GRAIN else text for name, text in values.items()})
    shown = "".join(letter if letter.isprintable() else " " for letter in looked_at)
    if len(shown) > SHOWN_CHARS_MAX:
        shown = shown[: SHOWN_CHARS_MAX - 1] + "…"
    return say("error.unknown", sentence=shown)


def explain(error: Exception) -> Text:
    """Return what went wrong, for people."""
    return say("error.gone") if isinstance(error, NoOwner) else explain_text(str(error))
