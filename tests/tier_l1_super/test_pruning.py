"""What an L1 keeps by its options, and what it says to who asks for more."""

from __future__ import annotations

import random

import pytest
from chain_tools import make_test_chain, test_key

from supervm.common.contract.core import Outbox, Send
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.manners import Manners
from supervm.common.parts.peering import Peering
from supervm.common.storage.memory import MemoryStore
from supervm.common.text.options import defaults
from supervm.protocol.wire.chain import BlocksMessage, Follow, GetBlocks
from supervm.tier_l1_super.batches.pool import Pool
from supervm.tier_l1_super.budgets import BUDGETS
from supervm.tier_l1_super.chain.serving import Serving
from supervm.tier_l1_super.consensus.accuse import Accuser
from supervm.tier_l1_super.consensus.seat import Seat
from supervm.tier_l1_super.ground import Ground
from supervm.tier_l1_super.head import Head
from supervm.tier_l1_super.options import KEEP_BLOCKS, OPTIONS, blocks_kept
from supervm.tier_l1_super.tables import TABLES


@pytest.mark.parametrize(
    ("set_", "has_key", "kept"),
    [
        ({}, True, KEEP_BLOCKS),
        ({}, False, None),
        ({"archive": "yes"}, True, None),
        ({"archive": "no"}, False, KEEP_BLOCKS),
        ({"keep_blocks": 500}, True, 500),
        ({"keep_blocks": 500}, False, None),
        ({"keep_blocks": 500, "archive": "no"}, False, 500),
    ],
)
def test_who_votes_prunes_and_who_only_follows_is_an_archive_unless_told_otherwise(
    set_: dict[str, int | str], has_key: bool, kept: int | None
) -> None:
    assert all(OPTIONS[name].accepts(value) for name, value in set_.items())
    assert blocks_kept({**defaults(OPTIONS), **set_}, has_key=has_key) == kept


def test_who_asks_below_the_floor_is_told_at_once_and_followed_no_more() -> None:
    chain = make_test_chain()
    outbox, store, head = Outbox(), MemoryStore(TABLES), Head()
    seat = Seat(test_key("l1").public, None, chain.rules, amnesia=False)
    ledger = Ledger(chain.chain, store)
    peering = Peering(outbox, (), random.Random(0))
    ground = Ground(
        chain.chain, seat, ledger, store, outbox, peering, Manners(outbox, BUDGETS), Accuser(seat, outbox), head
    )
    serving = Serving(ground, Pool({}, seat), lambda digest: (None, 0))
    peer = test_key("peer").public
    head.found(300)
    head.prune(200)

    def answers(message: GetBlocks | Follow) -> list[Send]:
        serving.receive(0, peer, message)
        return [effect for effect in outbox.drain() if isinstance(effect, Send)]

    for below in (GetBlocks(1), GetBlocks(199), Follow(0), Follow(198)):
        assert [send.message for send in answers(below)] == [BlocksMessage(b"")]
    assert serving.deadline_us is None  # nobody waits here
    for beyond in (GetBlocks(301), GetBlocks(0), Follow(300)):
        assert answers(beyond) == []
