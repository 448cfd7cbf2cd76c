"""The light client follows validators step by step and believes no former set about the present (consensus.md 5)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from chain_tools import test_key
from epoch_tools import EpochChain
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_tools import NOW_MS, chain_of, client_of, forged

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.validators import ValidatorList
from supervm.protocol.light.client import AccountAnswer, Anchor, LightClient, ValidatorChange, account_answer
from supervm.protocol.state.leaves import NATIVE, account_leaf_id

ALICE = test_key("alice").public
replace = msgspec.structs.replace


def refused(client: LightClient, checkpoint: CertifiedCheckpoint, code: str) -> None:
    before = client.header
    for check in (
        lambda: client.accept_checkpoint(encode(checkpoint), NOW_MS),
        lambda: client.check_checkpoint(checkpoint, NOW_MS),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            check()
        assert caught.value.code == code
    assert client.header == before


def test_it_follows_every_change_and_then_believes_the_newest() -> None:
    chain = chain_of((0, 1, 2, 4), (4, 5, 6, 7), (8,))
    client = client_of(chain)
    refused(client, chain.certified(), "unknown-set")
    for number, change in enumerate(chain.changes(), start=1):
        assert client.follow(change, NOW_MS)
        assert client.header == change.checkpoint.header
        assert client.changed_height == change.checkpoint.header.height
        assert client.validators.hash == chain.rules_of[number].validators.hash
    assert client.changes == chain.changes()
    assert client.accept_checkpoint(encode(chain.certified()), NOW_MS) == chain.checkpoints[-1]


def test_a_change_that_was_followed_is_no_news() -> None:
    chain = chain_of((0, 1, 2, 4), (4, 5, 6, 7))
    client = client_of(chain)
    first, second = chain.changes()
    assert [client.follow(change, NOW_MS) for change in (first, first, second, first, second)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert client.changes == [first, second]


def test_epochs_without_a_change_need_no_step() -> None:
    chain = chain_of(None, None, None)
    assert chain.changes() == []
    client = client_of(chain)
    assert client.accept_checkpoint(encode(chain.certified()), NOW_MS).epoch == 3
    assert client.changed_height == 0


@given(st.lists(st.sampled_from([None, (0, 1, 2, 3), (0, 1, 2, 4), (4, 5, 6), (7,)]), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_every_checkpoint_of_every_epoch_is_believed_after_the_changes(sets: list[Sequence[int] | None]) -> None:
    chain = EpochChain(4)
    for nodes in sets:
        if nodes is not None and chain.members(*nodes) == chain.rules.validators.members:
            nodes = None
        chain.end_epoch(None if nodes is None else chain.members(*nodes))
        chain.add()
    client = client_of(chain)
    assert all(client.follow(change, NOW_MS) for change in chain.changes())
    for height in range(1, len(chain.checkpoints)):
        client.check_checkpoint(chain.certified(height), NOW_MS)
    client.accept_checkpoint(encode(chain.certified()), NOW_MS)


def test_a_change_that_the_trusted_set_has_not_signed_is_refused() -> None:
    """Too few signatures, the new set's own, and the step after the next one."""
    chain = chain_of((4, 5, 6, 7), (8, 9, 10, 11))
    client = client_of(chain)
    first, second = chain.changes()
    height = first.checkpoint.header.height
    few = replace(first, checkpoint=chain.certified(height, signers=(0, 1)))
    own = replace(first, checkpoint=forged(chain, first.checkpoint.header, 1))
    for change, code in ((few, "bad-certificate"), (own, "bad-certificate"), (second, "wrong-set")):
        with pytest.raises(RemoteProtocolError) as caught:
            client.follow(change, NOW_MS)
        assert caught.value.code == code
        assert (client.validators.hash, client.changes) == (chain.rules_of[0].validators.hash, [])


def test_a_change_to_others_than_the_checkpoint_names_is_refused() -> None:
    chain = chain_of((0, 1, 2, 4))
    client = client_of(chain)
    (change,) = chain.changes()
    with pytest.raises(RemoteProtocolError, match="does not hand over") as caught:
        client.follow(replace(change, validators=ValidatorList(1, chain.members(0, 1, 2, 5))), NOW_MS)
    assert caught.value.code == "bad-change"
    plain = ValidatorChange(1, chain.certified(1), change.validators)
    with pytest.raises(RemoteProtocolError, match="does not hand over"):
        client.follow(plain, NOW_MS)
    assert client.follow(change, NOW_MS)


def test_a_former_set_speaks_for_its_own_past_only() -> None:
    """The long-range attack: all keys of a set that has handed over sign another future; below its end it may."""
    chain = chain_of((4, 5, 6, 7))
    chain.add()
    client = client_of(chain)
    (change,) = chain.changes()
    client.follow(change, NOW_MS)
    handed_over = change.checkpoint.header.height
    old = chain.rules_of[0].validators.hash
    for height in (handed_over + 1, handed_over + 2, 10**9):
        for epoch in (0, 1, 2):
            future = forged(chain, chain.checkpoints[-1], 0, height=height, validators_hash=old, epoch=epoch)
            # an epoch that goes on, begins with others or comes too soon contradicts the change itself; they may come
            # back after another epoch, and until that was shown they are believed as little
            may_be = epoch == 2 and height > handed_over + 1
            refused(client, future, "unknown-set" if may_be else "fork")
            client.fork = None
        taken = forged(chain, chain.checkpoints[-1], 0, height=height)
        refused(client, taken, "bad-certificate")
    client.check_checkpoint(chain.certified(handed_over - 1), NOW_MS)
    new = forged(chain, chain.checkpoints[handed_over - 1], 1, validators_hash=chain.rules.validators.hash)
    with pytest.raises(RemoteProtocolError) as caught:
        client.check_checkpoint(new, NOW_MS)  # nor does the new set speak for what was before it
    assert caught.value.code == "fork"


def test_a_former_set_cannot_hand_over_again() -> None:
    chain = chain_of((4, 5, 6, 7))
    client = client_of(chain)
    (change,) = chain.changes()
    client.follow(change, NOW_MS)
    rival = forged(
        chain,
        change.checkpoint.header,
        0,
        height=change.checkpoint.header.height + 5,
        next_validators_hash=chain.rules_of[0].validators.hash,
    )
    back = ValidatorChange(1, rival, ValidatorList(1, chain.rules_of[0].validators.members))
    same = forged(chain, change.checkpoint.header, 0, state_root=b"x" * 32)
    for rival in (back, ValidatorChange(1, same, change.validators)):
        with pytest.raises(RemoteProtocolError) as caught:
            client.follow(rival, NOW_MS)
        assert caught.value.code == "fork"
        client.fork = None
        assert client.validators.hash == chain.rules.validators.hash


def test_another_chains_change_is_refused() -> None:
    chain, other = chain_of((0, 1, 2, 4)), EpochChain(4, epoch_ms=99)
    other.end_epoch(other.members(0, 1, 2, 4))
    client = client_of(chain)
    with pytest.raises(RemoteProtocolError) as caught:
        client.follow(other.changes()[0], NOW_MS)
    assert caught.value.code == "wrong-chain"


def test_an_answer_brings_the_changes_it_needs() -> None:
    chain = chain_of((0, 1, 2, 4), None, (4, 5, 6, 7))
    pairs = chain.ledger.prove_leaves(chain.head.height, [account_leaf_id(ALICE)])
    assert pairs is not None
    ((_, proof),) = pairs
    newest = encode(chain.certified())
    proved = client_of(chain).check_answer(account_answer(newest, ALICE, NATIVE, proof, chain.changes()), NOW_MS)
    assert (proved.amount, proved.header) == (1_000_000, chain.checkpoints[-1])
    first, second = chain.changes()
    answer = decode(AccountAnswer, account_answer(newest, ALICE, NATIVE, proof, chain.changes()))
    assert answer.changes == (first, second)
    for wrong, code in (
        ((), "unknown-set"),
        ((first,), "unknown-set"),
        ((second,), "wrong-set"),
        ((second, first), "wrong-set"),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            client_of(chain).check_answer(encode(replace(answer, changes=wrong)), NOW_MS)
        assert caught.value.code == code


def test_an_anchor_above_some_changes_starts_from_its_own_set() -> None:
    chain = chain_of((0, 1, 2, 4), (4, 5, 6, 7), (8,))
    first, second, third = chain.changes()
    height = first.checkpoint.header.height + 1
    anchor = Anchor(1, chain.checkpoints[height], ValidatorList(1, chain.rules_of[1].validators.members))
    client = LightClient(anchor, verify)
    assert [client.follow(change, NOW_MS) for change in (first, second, third)] == [False, True, True]
    assert client.accept_checkpoint(encode(chain.certified()), NOW_MS) == chain.checkpoints[-1]
    assert client.changes == [second, third]


def test_an_anchor_at_a_sealing_checkpoint_hands_over_itself() -> None:
    """Its validators are those that signed it; the change that it seals is the first to follow."""
    chain = chain_of((4, 5, 6, 7))
    (change,) = chain.changes()
    header = change.checkpoint.header
    client = LightClient(Anchor(1, header, ValidatorList(1, chain.rules_of[0].validators.members)), verify)
    assert client.follow(change, NOW_MS)
    assert client.accept_checkpoint(encode(chain.certified()), NOW_MS) == chain.checkpoints[-1]
    with pytest.raises(RemoteProtocolError) as caught:
        LightClient(Anchor(1, header, change.validators), verify)
    assert caught.value.code == "bad-anchor"


def test_a_set_that_comes_back_needs_no_step_for_whoever_slept_meanwhile() -> None:
    """0 to 3 hand over and take over again: their newest word is believed at once, and the steps can follow later."""
    chain = chain_of((4, 5, 6, 7), (0, 1, 2, 3))
    client = client_of(chain)
    assert client.accept_checkpoint(encode(chain.certified()), NOW_MS) == chain.checkpoints[-1]
    for change in chain.changes():
        assert client.follow(change, NOW_MS)
    assert client.header == chain.checkpoints[-1]
    chain.add()
    client.accept_checkpoint(encode(chain.certified()), NOW_MS)
