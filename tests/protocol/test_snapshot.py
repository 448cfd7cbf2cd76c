"""The start of a snapshot: a certified sealing checkpoint, its history, the epoch it begins (consensus.md 2.8)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from chain_tools import make_test_chain, test_key

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.epoch import next_epoch
from supervm.protocol.chain.validators import VALIDATORS_MAX, Validator, ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.light.client import LightClient, ValidatorChange, anchor_of
from supervm.protocol.light.snapshot import (
    SNAPSHOT_START_BYTES_MAX,
    SnapshotStart,
    check_snapshot_start,
    decode_snapshot_start,
)
from supervm.protocol.state.mmr import HistoryMMR

replace = msgspec.structs.replace
CHAIN = make_test_chain(4)
MEMBERS = tuple(replace(member, weight=2) for member in CHAIN.validators.members)
FOLLOWING = ValidatorSet(MEMBERS)
READY = tuple((signer, CHAIN.vote(signer, VoteKind.NEXT_READY, 0, FOLLOWING.hash).signature) for signer in range(3))
SEALING = CHAIN.block(
    CHAIN.blocks(4)[-1].header, closes=(0, 1, 2), change=CHAIN.set_change(MEMBERS), ready=READY
).header
HISTORY = HistoryMMR([bytes([number]) * 32 for number in range(5)])
HEADER = replace(
    CHAIN.chain.anchor,
    height=5,
    ts_ms=SEALING.ts_ms,
    block_hash=SEALING.hash,
    history_root=HISTORY.root,
    prev_hash=b"p" * 32,
    next_validators_hash=FOLLOWING.hash,
)
START = SnapshotStart(
    1, CHAIN.certify_checkpoint(HEADER), tuple(HISTORY.peaks()), next_epoch(SEALING, CHAIN.rules, FOLLOWING)
)
EPOCH = START.epoch


def client() -> LightClient:
    return LightClient(anchor_of(CHAIN.chain), verify)


def test_a_start_reads_back_and_holds() -> None:
    again = decode_snapshot_start(encode(START))
    check_snapshot_start(again, client())
    assert (again, again.height, again.state_root) == (START, 5, HEADER.state_root)


def test_it_holds_for_whoever_has_followed_the_change_that_it_makes_too() -> None:
    ahead = client()
    assert ahead.follow(ValidatorChange(1, START.checkpoint, EPOCH.validators), HEADER.ts_ms)
    check_snapshot_start(START, ahead)


def test_of_validators_that_were_not_followed_it_is_nobody_s_fault() -> None:
    before = CHAIN.certify_checkpoint(replace(HEADER, height=4, ts_ms=HEADER.ts_ms - 1))
    header = replace(HEADER, epoch=1, validators_hash=FOLLOWING.hash, prev_hash=before.header.hash)
    epoch = replace(EPOCH, number=2, previous=(EPOCH.validators,))
    start = replace(START, checkpoint=CHAIN.certify_checkpoint(header), epoch=epoch)
    with pytest.raises(RemoteProtocolError) as caught:
        check_snapshot_start(start, client())
    assert (caught.value.code, caught.value.penalty) == ("unknown-set", 0)
    ahead = client()
    ahead.follow(ValidatorChange(1, before, EPOCH.validators), HEADER.ts_ms)
    check_snapshot_start(start, ahead)


def certified(**changes: object) -> SnapshotStart:
    return replace(START, checkpoint=CHAIN.certify_checkpoint(replace(HEADER, **changes)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: replace(START, peaks=START.peaks[::-1]),
        lambda: replace(START, peaks=START.peaks[:1]),
        lambda: replace(START, checkpoint=CHAIN.certify_checkpoint(HEADER, (0, 1))),
        lambda: replace(START, checkpoint=replace(START.checkpoint, header=replace(HEADER, supply=1))),
        lambda: certified(validators_hash=b"v" * 32),
        lambda: certified(chain_id=b"v" * 32),
        lambda: certified(block_hash=b"v" * 32),
        lambda: certified(next_validators_hash=bytes(32)),
        lambda: certified(epoch=1),
        lambda: certified(height=6),
        lambda: replace(START, epoch=replace(EPOCH, number=2)),
        lambda: replace(START, epoch=replace(EPOCH, root=replace(SEALING, view=77))),
        lambda: replace(START, epoch=replace(EPOCH, validators=EPOCH.previous[0])),
        lambda: replace(START, epoch=replace(EPOCH, validators=ValidatorList(1, MEMBERS[:1]))),
        lambda: replace(START, epoch=replace(EPOCH, validators=ValidatorList(1, MEMBERS[:1] * 2))),
        lambda: replace(START, epoch=replace(EPOCH, previous=(EPOCH.validators,))),
        lambda: replace(START, epoch=replace(EPOCH, previous=())),
    ],
)
def test_anything_else_is_refused(spoil: Callable[[], SnapshotStart]) -> None:
    with pytest.raises(RemoteProtocolError):
        check_snapshot_start(spoil(), client())


def test_the_largest_sets_fit() -> None:
    many = ValidatorList(
        1,
        tuple(
            Validator(1, test_key(f"k{number}").public, test_key(f"n{number}").public, 2**32, bytes([number]) * 32)
            for number in range(VALIDATORS_MAX)
        ),
    )
    signatures = tuple((number, bytes(64)) for number in range(VALIDATORS_MAX))
    start = replace(
        START,
        checkpoint=replace(START.checkpoint, signatures=signatures),
        peaks=(bytes(32),) * 63,
        epoch=replace(EPOCH, validators=many, previous=(many,)),
    )
    assert decode_snapshot_start(encode(start)) == start
    assert len(encode(start)) < 100_000


def test_garbage_and_what_is_too_long_is_refused() -> None:
    data = encode(START)
    for bad in (b"", data[:-1], data + b"\x00", bytes(SNAPSHOT_START_BYTES_MAX + 1)):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_snapshot_start(bad)
        assert caught.value.code == "bad-snapshot"
