"""Trust has an age and a memory: anchors expire, nothing comes from the future, and contradictions end belief.

The table at the end goes through the kinds of cases that CometBFT publishes for its light client (github.com/cometbft/
cometbft, Apache-2.0): `light/verifier_test.go` (TestVerifyAdjacentHeaders), `light/detector_test.go` (lunatic,
equivocation, forward lunatic), and of github.com/tendermint/tendermint the model-based tests `light/mbt/json`
(MC4_4_faulty_*). Those files hold Tendermint's own headers, so they cannot be run here; each row names the case whose
verdict it must share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS
from epoch_tools import EpochChain
from trust_tools import NOW_MS, chain_of, client_of, forged

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.light.client import Anchor, LightClient, ValidatorChange, anchor_of
from supervm.protocol.light.forks import (
    REMEMBERED_MAX,
    CheckpointFork,
    Remembered,
    check_fork,
    checkpoint_fork,
    contradiction,
    double_signers,
)

replace = msgspec.structs.replace
DAY_MS = 86_400_000
PERIOD_MS = 21 * DAY_MS


def code_of(act: Callable[[], object]) -> str:
    """Return the code that `act` is refused with, or an empty text."""
    try:
        act()
    except RemoteProtocolError as error:
        return error.code
    return ""


def grown(chain: EpochChain, blocks: int) -> EpochChain:
    for _ in range(blocks):
        chain.add()
    return chain


# --- age --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_ms", "code"),
    [
        (NOW_MS - GENESIS_TIME_MS, ""),
        (PERIOD_MS - 1, ""),
        (PERIOD_MS, "expired"),
        (10**14, "expired"),
    ],
)
def test_past_the_trusting_period_nothing_new_is_believed(age_ms: int, code: str) -> None:
    chain = chain_of((4, 5, 6, 7))
    client = client_of(chain)
    now_ms = GENESIS_TIME_MS + age_ms
    late = forged(chain, chain.checkpoints[1], 0, ts_ms=now_ms)
    (change,) = chain.changes()
    for act in (
        lambda: client_of(chain).check_checkpoint(late, now_ms),
        lambda: client_of(chain).accept_checkpoint(encode(late), now_ms),
        lambda: client_of(chain).follow(change, now_ms),
    ):
        assert code_of(act) == code
    assert ("days old" in client.doubt(now_ms)) == bool(code)


def test_a_phone_that_is_online_now_and_then_never_expires_and_one_that_sleeps_does() -> None:
    chain = grown(EpochChain(4, epoch_ms=10**12), 1)
    client = client_of(chain)
    for day in range(20, 400, 20):
        ts_ms = GENESIS_TIME_MS + day * DAY_MS
        chain.add(ts_ms=ts_ms)
        client.accept_checkpoint(encode(chain.certified()), ts_ms)
    assert not client.is_expired(client.header.ts_ms + PERIOD_MS - 1)
    assert client.is_expired(client.header.ts_ms + PERIOD_MS)


def test_a_newer_anchor_is_a_new_start() -> None:
    chain = grown(EpochChain(4, epoch_ms=10**12), 1)
    ts_ms = GENESIS_TIME_MS + 100 * DAY_MS
    chain.add(ts_ms=ts_ms)
    newest = encode(chain.certified())
    assert code_of(lambda: client_of(chain).accept_checkpoint(newest, ts_ms)) == "expired"
    witness = LightClient(anchor_of(chain.chain), verify, trusting_period_ms=None)
    witness.accept_checkpoint(newest, ts_ms)
    anchor = witness.newest_anchor()
    assert anchor == Anchor(1, chain.checkpoints[-1], ValidatorList(1, chain.rules.validators.members))
    chain.add(ts_ms=ts_ms + 1_000)
    client = LightClient(anchor, verify)
    assert client.accept_checkpoint(encode(chain.certified()), ts_ms + 1_000) == chain.checkpoints[-1]


def test_the_anchor_of_a_client_at_a_change_names_those_who_signed_it() -> None:
    chain = chain_of((4, 5, 6, 7))
    client = client_of(chain)
    client.follow(chain.changes()[0], NOW_MS)
    anchor = client.newest_anchor()
    assert anchor.header == chain.changes()[0].checkpoint.header
    assert LightClient(anchor, verify).follow(chain.changes()[0], NOW_MS)


def test_a_former_quorum_leads_nobody_away_from_an_old_anchor() -> None:
    """The finding: an anchor at t = 1 s followed a change dated ten years later to a set of one member."""
    chain = chain_of(None)
    ten_years_ms = GENESIS_TIME_MS + 3_650 * DAY_MS
    own = ValidatorSet((chain.member(9),))
    header = replace(chain.checkpoints[1], ts_ms=ten_years_ms, next_validators_hash=own.hash)
    change = ValidatorChange(1, forged(chain, header, 0), ValidatorList(1, own.members))
    assert code_of(lambda: client_of(chain).follow(change, NOW_MS)) == "future"
    assert code_of(lambda: client_of(chain).follow(change, ten_years_ms)) == "expired"


# --- time and order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead_ms", "code"), [(0, ""), (2_000, ""), (2_001, "future"), (10**12, "future")])
def test_no_change_dated_ahead_of_the_clock_is_followed(ahead_ms: int, code: str) -> None:
    chain = chain_of((4, 5, 6, 7))
    (change,) = chain.changes()
    client = client_of(chain)
    assert code_of(lambda: client.follow(change, change.checkpoint.header.ts_ms - ahead_ms)) == code
    assert len(client.changes) == (not code)


def test_no_change_is_followed_that_is_dated_before_its_predecessor() -> None:
    chain = chain_of((4, 5, 6, 7), (8, 9, 10, 11))
    first, second = chain.changes()
    for fields in ({"ts_ms": first.checkpoint.header.ts_ms}, {"epoch": 0}, {"ts_ms": GENESIS_TIME_MS + 1}):
        client = client_of(chain)
        client.follow(first, NOW_MS)
        back = replace(second, checkpoint=forged(chain, second.checkpoint.header, 1, **fields))
        assert code_of(lambda client=client, back=back: client.follow(back, NOW_MS)) == "fork"
        assert client.changes == [first]


@pytest.mark.parametrize("fields", [{"ts_ms": GENESIS_TIME_MS}, {"ts_ms": 1}, {"height": 0}, {"epoch": 9}])
def test_what_contradicts_the_anchor_is_refused_without_evidence(fields: dict[str, int]) -> None:
    chain = grown(EpochChain(4), 2)
    client = client_of(chain)
    wrong = forged(chain, chain.checkpoints[2], 0, **fields)
    assert code_of(lambda: client.accept_checkpoint(encode(wrong), NOW_MS)) == "not-after-anchor"
    assert client.fork is None
    client.accept_checkpoint(encode(chain.certified()), NOW_MS)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_two_changes_of_one_height_are_a_fork() -> None:
    """follow(h -> W), then follow(h -> X)."""
    chain = chain_of((4, 5, 6, 7))
    (change,) = chain.changes()
    other = ValidatorSet(chain.members(8, 9, 10, 11))
    rival = ValidatorChange(
        1, forged(chain, change.checkpoint.header, 0, next_validators_hash=other.hash), ValidatorList(1, other.members)
    )
    client = client_of(chain)
    client.follow(change, NOW_MS)
    assert code_of(lambda: client.follow(rival, NOW_MS)) == "fork"
    assert client.fork == checkpoint_fork(change.checkpoint, rival.checkpoint)
    assert code_of(lambda: client.accept_checkpoint(encode(chain.certified()), NOW_MS)) == "fork"
    assert not client.is_trusting(NOW_MS)


def test_a_change_below_what_the_handing_set_signed_later_is_a_fork() -> None:
    """Accepting h9 of set V, and then a change of V at h5."""
    chain = grown(EpochChain(4), 9)
    client = client_of(chain)
    client.accept_checkpoint(encode(chain.certified(9)), NOW_MS)
    other = ValidatorSet(chain.members(8, 9, 10, 11))
    for height in (9, 8, 5, 1):
        seal = forged(chain, chain.checkpoints[height], 0, next_validators_hash=other.hash)
        rival = ValidatorChange(1, seal, ValidatorList(1, other.members))
        assert code_of(lambda rival=rival: client.follow(rival, NOW_MS)) == "fork"
        assert client.validators.hash == chain.rules.validators.hash
        client.fork = None


def test_a_set_that_claims_to_have_come_back_is_not_passed_over() -> None:
    """V signs h9 in a far epoch, then hands over to W at h5: W is not believed above h9 before V's return is shown."""
    chain = grown(EpochChain(4), 12)
    client = client_of(chain)
    client.accept_checkpoint(encode(forged(chain, chain.checkpoints[9], 0, epoch=4)), NOW_MS)
    following = ValidatorSet(chain.members(4, 5, 6, 7))
    seal = forged(chain, chain.checkpoints[5], 0, next_validators_hash=following.hash)
    client.follow(ValidatorChange(1, seal, ValidatorList(1, following.members)), NOW_MS)
    keys = [chain.key(node) for node in (4, 5, 6, 7)]

    def by_w(**fields: Any) -> CertifiedCheckpoint:
        header = replace(chain.checkpoints[11], validators_hash=following.hash, **fields)
        unsigned = CertifiedCheckpoint(1, header, ((0, bytes(64)),))
        message = unsigned.certificate().statement(chain.chain.chain_id)
        return CertifiedCheckpoint(1, header, tuple((index, key.sign(message)) for index, key in enumerate(keys)))

    assert code_of(lambda: client.accept_checkpoint(encode(by_w(epoch=5)), NOW_MS)) == "unknown-set"
    old = ValidatorSet(chain.members(0, 1, 2, 3))
    late = ValidatorChange(1, by_w(epoch=5, next_validators_hash=old.hash), ValidatorList(1, old.members))
    assert code_of(lambda: client.follow(late, NOW_MS)) == "bad-change"
    assert code_of(lambda: client.accept_checkpoint(encode(by_w(epoch=2)), NOW_MS)) == "fork"


@pytest.mark.parametrize("height", [3, 5, 9])
def test_a_rival_of_any_remembered_height_is_a_fork_also_below_the_newest(height: int) -> None:
    chain = grown(EpochChain(4), 9)
    for use in (
        lambda client, rival: client.check_checkpoint(rival, NOW_MS),
        lambda client, rival: client.accept_checkpoint(encode(rival), NOW_MS),
    ):
        client = client_of(chain)
        for seen in (3, 5, 9):
            client.accept_checkpoint(encode(chain.certified(seen)), NOW_MS)
        rival = forged(chain, chain.checkpoints[height], 0, state_root=b"x" * 32)
        weak = CertifiedCheckpoint(1, rival.header, rival.signatures[:2])
        assert code_of(lambda client=client, weak=weak, use=use: use(client, weak)) == "bad-certificate"
        assert client.fork is None
        assert code_of(lambda client=client, rival=rival, use=use: use(client, rival)) == "fork"
        assert client.fork is not None
        assert client.fork.height == height


def test_a_fork_outside_the_period_of_its_signers_is_nobodys_word() -> None:
    """Keys of a set that answers no more can be bought: they neither lead away nor stop anybody."""
    chain = chain_of((4, 5, 6, 7))
    (change,) = chain.changes()
    client = client_of(chain)
    client.follow(change, NOW_MS)
    ts_ms = change.checkpoint.header.ts_ms
    for step in range(1, 4):
        late = forged(chain, chain.checkpoints[-1], 1, height=100 * step, ts_ms=ts_ms + step * 10 * DAY_MS)
        client.accept_checkpoint(encode(late), late.header.ts_ms)
    rival = forged(chain, change.checkpoint.header, 0, state_root=b"x" * 32)
    other = forged(chain, chain.checkpoints[1], 0)
    within_ms, after_ms = ts_ms + PERIOD_MS - 1, ts_ms + 30 * DAY_MS
    assert code_of(lambda: client.check_checkpoint(other, within_ms)) == ""
    assert code_of(lambda: client.check_checkpoint(other, after_ms)) == "expired-set"
    assert code_of(lambda: client.check_checkpoint(rival, after_ms)) == "expired-set"
    assert not client.follow(ValidatorChange(1, rival, change.validators), after_ms)
    fork = checkpoint_fork(change.checkpoint, rival)
    assert code_of(lambda: client.accept_fork(encode(fork), after_ms)) == "unknown-set"
    assert client.is_trusting(after_ms)
    assert code_of(lambda: client.check_checkpoint(rival, within_ms)) == "fork"


def test_the_memory_is_bounded_and_keeps_changes() -> None:
    chain = grown(chain_of((4, 5, 6, 7)), REMEMBERED_MAX + 20)
    client = client_of(chain)
    (change,) = chain.changes()
    client.follow(change, NOW_MS)
    for height in range(change.checkpoint.header.height + 1, len(chain.checkpoints)):
        client.accept_checkpoint(encode(chain.certified(height)), NOW_MS)
    kept = [checkpoint.header.height for checkpoint in client.remembered]
    assert kept == list(range(len(chain.checkpoints) - REMEMBERED_MAX, len(chain.checkpoints)))
    assert client.remembered.get(change.checkpoint.header.height) == change.checkpoint


def test_memory_and_floor_survive() -> None:
    chain = grown(chain_of((4, 5, 6, 7)), 5)
    client = client_of(chain)
    (change,) = chain.changes()
    client.accept_checkpoint(encode(chain.certified(1)), NOW_MS)
    client.follow(change, NOW_MS)
    client.accept_checkpoint(encode(chain.certified()), NOW_MS)
    again = client_of(chain)
    assert again.resume(client.changes, client.remembered) == []
    assert (again.header, again.validators.hash) == (client.header, client.validators.hash)
    rival = forged(chain, chain.checkpoints[1], 0, state_root=b"x" * 32)
    assert code_of(lambda: again.check_checkpoint(rival, NOW_MS)) == "fork"
    elsewhere = client_of(EpochChain(4, epoch_ms=77))
    assert len(elsewhere.resume(client.changes, client.remembered)) == 3
    assert elsewhere.header.height == 0


# --- forks as evidence ------------------------------------------------------------------------------------------------


def test_a_fork_is_checked_offline_and_names_the_double_signers() -> None:
    chain = grown(EpochChain(4), 3)
    one = chain.certified(2, signers=(0, 1, 2))
    header = replace(one.header, state_root=b"x" * 32)
    other = replace(forged(chain, header, 0), signatures=forged(chain, header, 0).signatures[1:])
    fork = checkpoint_fork(other, one)
    assert check_fork(fork, chain.chain.chain_id, [chain.rules.validators], verify) == (1, 2) == double_signers(fork)
    client = client_of(chain)
    assert client.accept_fork(encode(fork), NOW_MS)
    assert not client.accept_fork(b"anything", NOW_MS), "one is enough: no other is looked at"
    assert code_of(lambda: client.accept_checkpoint(encode(chain.certified()), NOW_MS)) == "fork"


def test_what_is_no_fork_stops_nobody() -> None:
    chain = grown(chain_of((4, 5, 6, 7)), 3)
    one, rival = chain.certified(2), forged(chain, chain.checkpoints[2], 0, state_root=b"x" * 32)
    fork = checkpoint_fork(one, rival)
    weak = replace(rival, signatures=rival.signatures[:2])
    stranger = EpochChain(4, epoch_ms=5)
    grown(stranger, 3)
    foreign = checkpoint_fork(stranger.certified(2), forged(stranger, stranger.checkpoints[2], 0, state_root=bytes(32)))
    new = checkpoint_fork(chain.certified(), forged(chain, chain.checkpoints[-1], 1, state_root=b"x" * 32))
    client = client_of(chain)
    for bad, code in (
        (CheckpointFork(1, fork.second, fork.first), "bad-fork"),
        (CheckpointFork(1, one, one), "bad-fork"),
        (checkpoint_fork(one, chain.certified(1)), "bad-fork"),
        (checkpoint_fork(one, weak), "bad-certificate"),
        (foreign, "wrong-chain"),
        (new, "unknown-set"),
    ):
        assert code_of(lambda bad=bad: client.accept_fork(encode(bad), NOW_MS)) == code
    assert code_of(lambda: client.accept_fork(b"", NOW_MS)) == "malformed"
    assert client.is_trusting(NOW_MS)
    client.follow(chain.changes()[0], NOW_MS)
    assert client.accept_fork(encode(new), NOW_MS)


def test_an_anchor_above_decides_a_fork() -> None:
    chain = grown(EpochChain(4), 5)
    fork = checkpoint_fork(chain.certified(3), forged(chain, chain.checkpoints[3], 0, state_root=b"x" * 32))
    for height, is_news in ((2, True), (3, False), (5, False)):
        anchor = Anchor(1, chain.checkpoints[height], ValidatorList(1, chain.rules.validators.members))
        assert LightClient(anchor, verify).accept_fork(encode(fork), NOW_MS) is is_news


def test_no_two_headers_of_one_chain_contradict_and_neighbours_are_enough() -> None:
    chain = grown(chain_of((0, 1, 2, 4), None, (4, 5, 6, 7), (0, 1, 2, 3)), 2)
    remembered = Remembered()
    for height in (7, 1, 9, 3, 12, 5):
        remembered.add(chain.certified(height))
    for one in chain.checkpoints:
        assert remembered.rival(one) is None
        for other in chain.checkpoints:
            assert contradiction(one, other) == ""
    for height in range(1, len(chain.checkpoints)):
        for fields in ({"epoch": 9}, {"ts_ms": 1}, {"ts_ms": 2**62}, {"state_root": b"x" * 32}, {"epoch": 0}):
            wrong = replace(chain.checkpoints[height], **fields)
            against_any = any(contradiction(item.header, wrong) for item in remembered)
            assert (remembered.rival(wrong) is not None) == against_any


# --- the published kinds of cases -------------------------------------------------------------------------------------

EPOCHS = chain_of((4, 5, 6, 7))
PLAIN = grown(EpochChain(4, weights=(20, 30, 40, 50)), 4)
HOUR_MS = 3_600_000


def offer(chain: EpochChain, checkpoint: CertifiedCheckpoint, *, now_ms: int = NOW_MS, seen: int = 1) -> str:
    client = LightClient(anchor_of(chain.chain), verify, trusting_period_ms=3 * HOUR_MS)
    if seen:
        client.accept_checkpoint(encode(chain.certified(seen)), NOW_MS)
    return code_of(lambda: client.accept_checkpoint(encode(checkpoint), now_ms))


def plain(signers: tuple[int, ...] | None = None, height: int = 2, **fields: Any) -> CertifiedCheckpoint:
    made = forged(PLAIN, PLAIN.checkpoints[height], 0, **fields)
    return made if signers is None else replace(made, signatures=tuple(made.signatures[index] for index in signers))


@pytest.mark.parametrize(
    ("case", "code"),
    [
        # verifier_test.go, TestVerifyAdjacentHeaders; its case 0, the same header again, is an answer here and no error
        (lambda: offer(PLAIN, PLAIN.certified(1)), ""),
        (lambda: offer(PLAIN, EPOCHS.certified(2)), "wrong-chain"),  # 1
        (lambda: offer(PLAIN, plain(chain_id=bytes(32))), "wrong-chain"),
        (lambda: offer(PLAIN, plain(ts_ms=PLAIN.checkpoints[1].ts_ms - 1)), "fork"),  # 2: time before the old header's
        (lambda: offer(PLAIN, plain(ts_ms=NOW_MS + 2_001)), "future"),  # 3
        (lambda: offer(PLAIN, plain(ts_ms=NOW_MS + 2_000)), ""),  # 4: within the drift
        (lambda: offer(PLAIN, plain((0, 1, 2, 3))), ""),  # 5
        (lambda: offer(PLAIN, plain((1, 2, 3))), ""),  # 6: weights 30, 40, 50 are two thirds of 140
        (lambda: offer(PLAIN, plain((3,))), "bad-certificate"),  # 7: one third
        (lambda: offer(PLAIN, plain(validators_hash=b"v" * 32)), "unknown-set"),  # 8, 9: not the validators we have
        (lambda: offer(PLAIN, plain(), now_ms=PLAIN.checkpoints[1].ts_ms + 3 * HOUR_MS), "expired"),  # 10
        # mbt: MC4_4_faulty_TestHeaderFromFuture, _TestUntrustedBeforeTrusted, _TestNonMonotonicHeight,
        # _TestLessThanTwoThirdsSign, _TestMoreThanTwoThirdsSign, _TestEmptyCommitEmptyValset,
        # _TestValsetDifferentAllSteps
        (lambda: offer(PLAIN, plain(ts_ms=NOW_MS * 2)), "future"),
        (lambda: offer(PLAIN, plain(height=4, ts_ms=GENESIS_TIME_MS - 1)), "fork"),
        (lambda: offer(PLAIN, PLAIN.certified(1), seen=3), "stale"),
        (lambda: offer(PLAIN, plain((0, 1, 2))), "bad-certificate"),
        (lambda: offer(PLAIN, plain((0, 2, 3))), ""),
        (lambda: offer(EPOCHS, EPOCHS.certified(), seen=0), "unknown-set"),
        # detector_test.go: lunatic (other state), equivocation (other block), forward lunatic (a height that the chain
        # has not)
        (lambda: offer(PLAIN, plain(height=3, state_root=b"l" * 32), seen=3), "fork"),
        (lambda: offer(PLAIN, plain(height=3, block_hash=b"l" * 32), seen=3), "fork"),
        (lambda: offer(PLAIN, plain(height=4, epoch=7), seen=3), "fork"),
    ],
)
def test_cases_end_as_published(case: Callable[[], str], code: str) -> None:
    assert case() == code


def test_a_forward_lunatic_header_is_kept_until_the_chain_gets_there() -> None:
    """A quorum signs a height far above the tip: it is believed, and the true headers below then contradict it."""
    chain = grown(EpochChain(4), 3)
    client = client_of(chain)
    client.accept_checkpoint(encode(forged(chain, chain.checkpoints[2], 0, height=1_000_000)), NOW_MS)
    assert code_of(lambda: client.accept_checkpoint(encode(chain.certified(3)), NOW_MS)) == "fork"
