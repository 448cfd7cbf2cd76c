"""What a queue takes of a row of wishes is what a list of balances on paper allows, asset by asset."""

from __future__ import annotations

from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import given, settings
from hypothesis import strategies as st
from mobile_tools import Network, make_queue

from supervm.common.storage.memory import MemoryStore
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.money.kinds import ISSUE, TRANSFER
from supervm.protocol.state.leaves import NATIVE
from supervm.tier_l4_mobile.errors import PaymentError
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.wallet.payments import QUEUED, REFUSED
from supervm.tier_l4_mobile.wallet.queue import PaymentQueue

NOW_MS = GENESIS_TIME_MS + 10_000
ALICE, BOB = test_key("alice").public, test_key("bob").public
ASSETS = (NATIVE, genesis_asset_id("gold"), genesis_asset_id("silver"))
HAS = dict(zip(ASSETS, (50, 40, 30), strict=True))
NETWORK = Network(alice=50, assets={"gold": {"alice": 40}, "silver": {"alice": 30}})

Wish = tuple[int, int, int, bytes, bytes]
wishes = st.lists(
    st.tuples(
        st.sampled_from([TRANSFER, TRANSFER, TRANSFER, ISSUE]),
        st.integers(1, 25),
        st.integers(1, 12),
        st.sampled_from(ASSETS),
        st.sampled_from(ASSETS),
    ),
    max_size=30,
)


def ask(queue: PaymentQueue, wish: Wish) -> bool:
    kind, amount, fee, asset, fee_asset = wish
    try:
        queue.add(
            NOW_MS * 1000,
            ALICE,
            BOB,
            amount=amount,
            fee=fee,
            valid_until_ms=NOW_MS + 10**6,
            kind=kind,
            asset=NATIVE if kind == ISSUE else asset,
            fee_asset=fee_asset,
        )
    except PaymentError as error:
        if not str(error).startswith("overdraft: it needs "):
            raise
        return False
    return True


def on_paper(asked: list[Wish]) -> list[bool]:
    left, taken = dict(HAS), []
    for kind, amount, fee, asset, fee_asset in asked:
        after = dict(left)
        after[fee_asset] -= fee
        if kind == TRANSFER:
            after[asset] -= amount
        taken.append(min(after.values()) >= 0)
        left = after if taken[-1] else left
    return taken


def prove(queue: PaymentQueue) -> None:
    queue.prove(ALICE, NETWORK.proved(ALICE), NOW_MS * 1000)


def prove_holdings(queue: PaymentQueue, order: list[bytes]) -> None:
    for asset in order:
        amount, header = NETWORK.proved_holding(ALICE, asset)
        queue.prove_holding(ALICE, asset, amount, header)


@given(asked=wishes, restart=st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_what_is_taken_is_what_each_asset_covers_also_over_a_restart(asked: list[Wish], restart: int) -> None:
    store = MemoryStore(TABLES, with_log=False)
    queue = make_queue(NETWORK, store)
    prove(queue)
    prove_holdings(queue, list(ASSETS[1:]))
    taken = []
    for place, wish in enumerate(asked):
        if place == restart:
            store.commit(queue.take_records())
            queue = make_queue(NETWORK, store)
        taken.append(ask(queue, wish))
    assert taken == on_paper(asked)
    lane = queue.lanes[ALICE]
    assert [payment.seq for payment in lane.held] == list(range(sum(taken)))
    for asset in ASSETS:
        assert 0 <= lane.available(asset) == HAS[asset] - lane.debits.get(asset, 0)


@given(asked=wishes, silver_first=st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_waits_for_proofs_is_taken_as_far_as_each_asset_covers_it(asked: list[Wish], silver_first: bool) -> None:
    """Nothing is refused before it is known to lack money; in the end no asset is promised more than there is."""
    queue = make_queue(NETWORK, MemoryStore(TABLES, with_log=False))
    assert all(ask(queue, wish) for wish in asked)
    prove(queue)
    order = list(ASSETS[1:])
    prove_holdings(queue, order[::-1] if silver_first else order)
    lane = queue.lanes[ALICE]
    assert not lane.unsigned
    statuses = [payment.status for payment in queue.payments.values()]
    assert set(statuses) <= {QUEUED, REFUSED}
    assert all(lane.available(asset) >= 0 for asset in ASSETS)
    if all(on_paper(asked)):
        assert REFUSED not in statuses
    for payment in queue.payments.values():
        if payment.status == REFUSED:
            assert payment.reason.startswith("overdraft")
            assert not payment.raw
