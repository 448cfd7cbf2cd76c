"""The file of allocations: its bytes, its order, its sums, and what is not the file of a network (spec/genesis.md)."""

from __future__ import annotations

from struct import pack
from time import process_time

import pytest
from chain_tools import make_test_chain, test_key
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.allocations import HEAD, Allocation, read_allocations, write_allocations
from supervm.protocol.chain.genesis import Chain, first_state, genesis_asset_id
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.state.trie import QuadTrie

CHAIN = make_test_chain(4, {"alice": 5, "bob": 7}, assets={"gold": {"alice": 3, "dave": 4}, "art": {"bob": 1}})
GENESIS = CHAIN.chain.genesis
GOLD, ART = genesis_asset_id("gold"), genesis_asset_id("art")
ENTRIES = sorted(
    [
        Allocation(test_key("alice").public, 5),
        Allocation(test_key("bob").public, 7),
        Allocation(test_key("alice").public, 3, GOLD),
        Allocation(test_key("dave").public, 4, GOLD),
        Allocation(test_key("bob").public, 1, ART),
    ],
    key=lambda item: (item.account, item.asset),
)
FILE = write_allocations(ENTRIES, GENESIS.asset_ids)


def test_the_layout_is_a_head_and_42_bytes_an_entry() -> None:
    assert b"svmalloc" + bytes(7) + b"\x02" == HEAD
    number_of = {NATIVE: 0, ART: 1, GOLD: 2}  # genesis lists assets by name
    assert (
        HEAD + b"".join(account + pack(">HQ", number_of[asset], amount) for account, amount, asset in ENTRIES) == FILE
    )
    assert len(FILE) == 16 + 42 * len(ENTRIES)


def test_the_file_of_a_network_makes_its_state() -> None:
    state = first_state(GENESIS, read_allocations(FILE, GENESIS.asset_ids))
    assert QuadTrie(dict(state.leaves())).root == GENESIS.state_root
    assert [account.balance for _, account in sorted(state.accounts.items())] == [
        item.amount for item in ENTRIES if item.asset == NATIVE
    ]
    chain = Chain(GENESIS, verify, lambda: read_allocations(FILE, GENESIS.asset_ids))
    assert dict(chain.first_state().leaves()) == dict(state.leaves())
    with pytest.raises(LocalProtocolError, match="a file beside genesis has them"):
        Chain(GENESIS, verify).first_state()


@given(
    st.lists(
        st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, INT_MAX), st.sampled_from([NATIVE, GOLD, ART]))
    )
)
def test_what_is_written_is_read_back(entries: list[tuple[bytes, int, bytes]]) -> None:
    allocations = [Allocation(*entry) for entry in entries]
    assert list(read_allocations(write_allocations(allocations, [ART, GOLD]), [ART, GOLD])) == allocations


def edited(*entries: Allocation) -> bytes:
    return write_allocations(entries, GENESIS.asset_ids)


OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "an entry less": (edited(*ENTRIES[:-1]), "there are 4; this genesis has 5"),
    "an entry more": (edited(*ENTRIES, Allocation(b"\xff" * 32, 1)), "there are 6; this genesis has 5"),
    "no entry": (edited(), "there are 0; this genesis has 5"),
    "an entry twice": (edited(*ENTRIES[:2], *ENTRIES[1:]), "entry 2 is double or out of order"),
    "two entries swapped": (edited(ENTRIES[1], ENTRIES[0], *ENTRIES[2:]), "entry 1 is double or out of order"),
    "an amount changed": (
        edited(*(item._replace(amount=8) if item.amount == 7 else item for item in ENTRIES)),
        "the accounts sum to 13 of svm; the supply is 12",
    ),
    "an amount of an asset changed": (
        edited(*(item._replace(amount=2) if item.asset == ART else item for item in ENTRIES)),
        f"the accounts sum to 2 of {ART.hex()[:16]}; the supply is 1",
    ),
}


@pytest.mark.parametrize(("data", "reason"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_the_file_of_another_network_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        first_state(GENESIS, read_allocations(data, GENESIS.asset_ids))


def test_equal_sums_in_other_hands_give_another_root() -> None:
    """What no sum shows, the state root does: whoever builds the tree compares it with genesis's."""
    moved = [item._replace(account=b"\x00" * 32) if item == ENTRIES[0] else item for item in ENTRIES]
    state = first_state(GENESIS, moved)
    assert QuadTrie(dict(state.leaves())).root != GENESIS.state_root


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD[:-1],
        FILE[:-1],
        FILE + b"\x00",
        FILE[:8] + bytes(7) + b"\x01" + FILE[16:],
        b"SVMALLOC" + FILE[8:],
        bytes(42),
    ],
)
def test_other_bytes_are_no_such_file(data: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="this is not a file of allocations of version 2"):
        list(read_allocations(data, GENESIS.asset_ids))


@pytest.mark.parametrize(("number", "amount"), [(3, 1), (65_535, 1), (0, 0), (2, 0), (0, INT_MAX + 1), (0, 2**64 - 1)])
def test_an_entry_that_is_not_allowed_is_refused(number: int, amount: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"{amount} of asset number {number} is not allowed: .* of 3 assets"):
        list(read_allocations(HEAD + bytes(32) + pack(">HQ", number, amount), GENESIS.asset_ids))


@pytest.mark.parametrize(
    "entry",
    [
        Allocation(bytes(31), 1),
        Allocation(bytes(33), 1),
        Allocation(bytes(32), 0),
        Allocation(bytes(32), INT_MAX + 1),
        Allocation(bytes(32), 1, b"?" * 32),
    ],
)
def test_an_entry_that_is_not_allowed_is_not_written(entry: Allocation) -> None:
    with pytest.raises(LocalProtocolError, match="is not allowed"):
        write_allocations([entry], GENESIS.asset_ids)


@given(st.binary(max_size=200))
def test_garbage_is_our_own_error(data: bytes) -> None:
    for raw in (data, HEAD + data):
        try:
            entries = list(read_allocations(raw, GENESIS.asset_ids))
        except LocalProtocolError:
            continue
        assert len(entries) == len(data) // 42


def test_many_entries_are_read_in_one_pass() -> None:
    """Beyond 1.4 million accounts genesis of version 1 was too long to be read; this file has no such bound."""
    count = 200_000
    data = HEAD + b"".join(number.to_bytes(32, "big") + b"\x00\x00" + bytes(7) + b"\x01" for number in range(count))
    started = process_time()
    assert sum(amount for _, amount, _ in read_allocations(data, [])) == count
    assert process_time() - started < 2
