"""Every rule about what nodes sign, publish and believe is broken once by hand and must be seen (consensus.md 6)."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from invariant_scene import CHECKPOINT, FINALIZE, NOTARIZE, NULLIFY, A, B, Scene
from msgspec import UNSET

from supervm.common.contract.core import Publish, Reply
from supervm.common.contract.events import Event
from supervm.common.parts.events import ForkEvidence
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_transaction
from supervm.protocol.chain.batch import Batch, batch_header, miner_statement
from supervm.protocol.chain.batch_certificate import BatchVote, batch_vote_statement, bitmap_bytes
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.evidence import double_vote
from supervm.protocol.chain.header import Justification
from supervm.protocol.light.forks import checkpoint_fork
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.state.leaves import account_leaf_id
from supervm.protocol.state.mmr import HistoryMMR
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.wire.chain import BatchMessage, BatchVoteMessage, CheckpointMessage
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.payments import Submit
from supervm.sim.exact import Deployment, HostStarted, HostStopped, Persisted, Stepped, key
from supervm.sim.invariants import RULES, Monitor
from supervm.sim.invariants.roots import history_root, rebuilt_root
from supervm.tier_l1_super.consensus.simplex.promises import BatchPromise, HeldCertificate, NotarizePromise
from supervm.tier_l1_super.events import Accusation, Solvency
from supervm.tier_l1_super.tables import BATCHES, BatchRow


def two_blocks_at_one_height(scene: Scene) -> None:
    for view in (1, 2):
        scene.say((0, 1, 2), FINALIZE, view, scene.block(view, ts=view).hash)


def finalized_and_nullified(scene: Scene) -> None:
    scene.say((0, 1, 2), FINALIZE, 3, A)
    scene.say((1, 2, 3), NULLIFY, 3)


def two_notarized(scene: Scene) -> None:
    scene.say((0, 1, 2), NOTARIZE, 3, A)
    scene.say((1, 2, 3), NOTARIZE, 3, B)


def two_notarizes(scene: Scene) -> None:
    scene.say((0,), NOTARIZE, 3, A)
    scene.say((0,), NOTARIZE, 3, B)


def nullify_and_finalize(scene: Scene) -> None:
    scene.say((2,), NULLIFY, 3)
    scene.say((2,), FINALIZE, 3, A)


def vote_without_record(scene: Scene) -> None:
    scene.sent("l1-1", VoteMessage((scene.vote(1, FINALIZE, 2, A, recorded=False),)))


def vote_of_another(scene: Scene) -> None:
    scene.sent("l1-1", VoteMessage((scene.vote(2, NULLIFY, 2),)), "l1-3")


def vote_of_an_amnesiac(scene: Scene) -> None:
    host = scene.deployment.host("l1-1")
    host.disk.lose_log()
    scene.monitor._on(HostStarted(1, host))
    scene.say((1,), NULLIFY, 5)


def two_checkpoints(scene: Scene) -> None:
    scene.say((0, 1, 2), CHECKPOINT, 4, A)
    scene.say((1, 2, 3), CHECKPOINT, 4, B)


def no_proof_of_place(scene: Scene) -> None:
    block = scene.block(3, just=Justification(1, (), ()))
    scene.say((0,), NOTARIZE, 3, block.hash)


def forged_certificate(scene: Scene) -> None:
    good = scene.certificate(NOTARIZE, 2, A)
    bad = msgspec.structs.replace(good, signatures=(*good.signatures[:2], (2, bytes(64))))
    scene.sent("l1-1", CertificateMessage((bad,)))


def held_certificate_of_two(scene: Scene) -> None:
    scene.durable("l1-1", HeldCertificate(1, scene.certificate(NULLIFY, 2, ZERO_HASH, (0, 1))))


def passed_on_checkpoint(scene: Scene) -> None:
    signatures = tuple((index, bytes(64)) for index in range(3))
    scene.sent("l1-1", CheckpointMessage(encode(CertifiedCheckpoint(1, scene.chain.anchor, signatures))))


def two_epochs_from_two_blocks(scene: Scene) -> None:
    for view in (1, 2):
        block = scene.block(view, ts=view)
        changed = msgspec.structs.replace(block.header, epoch=1, parent_hash=bytes([view]) * 32, height=view + 1)
        name = changed.hash
        scene.monitor.facts.blocks[name] = msgspec.structs.replace(block, header=changed)
        scene.monitor.finality.committed("l1-0", view + 1, name)


def batch_of(scene: Scene, raw: bytes) -> Batch:
    """A miner's batch of one transaction."""
    miner = scene.deployment.l2[0]
    made = batch_header(scene.chain.chain_id, 0, miner.public, (raw,))
    return Batch(2, made, miner.sign(miner_statement(made.digest)), (raw,))


def batch_scene(scene: Scene, *, signers: tuple[int, ...], two_of_one: bool) -> None:
    wallet, chain = scene.deployment.wallets[0][0], scene.chain
    for amount in (1, 2):
        transaction = sign_transfer(
            wallet,
            chain_id=chain.chain_id,
            seq=0,
            prev=ZERO_HASH,
            to=scene.deployment.wallets[1][0].public,
            amount=amount,
            fee=1,
            valid_until_ms=1 << 50,
        )
        batch = batch_of(scene, transaction.raw)
        made = batch.header
        scene.sent("l2-0", BatchMessage(encode(batch)))
        bitmap = bitmap_bytes(1, 1)
        for signer in signers if amount == 1 or two_of_one else tuple(3 - index for index in signers):
            scene.durable(f"l1-{signer}", BatchPromise(1, 0, made.digest, 1, bitmap))
            signed = scene.deployment.validators[signer].sign(
                batch_vote_statement(chain.chain_id, 0, made.digest, 1, bitmap)
            )
            vote = BatchVote(1, 0, made.digest, 1, bitmap, signer, signed)
            scene.sent(f"l1-{signer}", BatchVoteMessage(vote), "l2-0")


def two_certified_for_one_slot(scene: Scene) -> None:
    batch_scene(scene, signers=(0, 1, 2), two_of_one=False)


def two_promises_for_one_slot(scene: Scene) -> None:
    scene.deployment.world.start(scene.deployment.id_of("l1-0"))
    batch_scene(scene, signers=(0,), two_of_one=True)


def bits_without_record(scene: Scene) -> None:
    digest, bitmap = A, bitmap_bytes(1, 1)
    signed = scene.deployment.validators[0].sign(batch_vote_statement(scene.chain.chain_id, 0, digest, 1, bitmap))
    scene.sent("l1-0", BatchVoteMessage(BatchVote(1, 0, digest, 1, bitmap, 0, signed)), "l2-0")


def two_transactions_of_a_phone(scene: Scene) -> None:
    from supervm.tier_l4_mobile.tables import PAYMENTS, payment_row
    from supervm.tier_l4_mobile.wallet.payments import Payment

    for amount in (1, 2):
        raw = sign_transfer(
            scene.deployment.wallets[0][0],
            chain_id=scene.chain.chain_id,
            seq=0,
            prev=ZERO_HASH,
            to=key(5).public,
            amount=amount,
            fee=1,
            valid_until_ms=1 << 50,
        ).raw
        payment = Payment(amount, b"a", b"b", amount, 1, b"", 0, "", 0, raw=raw, released=True)
        scene.monitor._on(Persisted(1, scene.deployment.host("l4-0"), 1, (PAYMENTS.put(payment_row(payment)),)))
        scene.sent("l4-0", Submit((raw,)), "l3-0")


def two_fates(scene: Scene) -> None:
    from supervm.tier_l4_mobile.tables import PAYMENTS, payment_row
    from supervm.tier_l4_mobile.wallet.payments import CLOSED, Payment

    for status in ("expired", "R4"):
        payment = Payment(1, b"a", b"b", 1, 1, b"", 0, "", 0, place=CLOSED, status=status)
        scene.monitor._on(Persisted(1, scene.deployment.host("l4-0"), 1, (PAYMENTS.put(payment_row(payment)),)))


def false_balance(scene: Scene) -> None:
    scene.deployment.world.start(scene.deployment.id_of("l4-0"))
    address = scene.deployment.address(0, 0)
    value = {"address": address, "balance": 5, "height": 0, "next_seq": 0, "proof_verified": True}
    scene.monitor._on(Stepped(1, scene.deployment.host("l4-0"), 1, None, (Reply(1, value),)))  # type: ignore[arg-type]
    scene.monitor.wallets.judge()


def header_of_no_chain(scene: Scene) -> None:
    scene.monitor.wallets._headers.append(("l4-0", msgspec.structs.replace(scene.chain.anchor, supply=1)))
    scene.monitor.wallets.judge()


def published(event: Event) -> Callable[[Scene], None]:
    effects = (Publish(event),)
    return lambda scene: scene.monitor._on(Stepped(1, scene.deployment.host("l1-0"), 1, None, effects))  # type: ignore[arg-type]


def accusation(kind: str, validator: int, evidence: str = "") -> Callable[[Scene], None]:
    return published(Accusation(kind, validator, UNSET, evidence))


def halted(scene: Scene) -> None:
    scene.monitor._on(HostStopped(1, scene.deployment.host("l1-0"), "halted: divergence", True))


@pytest.mark.parametrize(
    ("rule", "scene"),
    [
        ("S1", two_blocks_at_one_height),
        ("S3", finalized_and_nullified),
        ("S4", two_notarized),
        ("S5", two_notarizes),
        ("S5", nullify_and_finalize),
        ("S6", vote_without_record),
        ("S6", vote_of_an_amnesiac),
        ("S6", bits_without_record),
        ("S8", two_checkpoints),
        ("S9", two_certified_for_one_slot),
        ("S5", two_promises_for_one_slot),
        ("R3", no_proof_of_place),
        ("N4", vote_of_another),
        ("N4", forged_certificate),
        ("N4", held_certificate_of_two),
        ("N4", passed_on_checkpoint),
        ("S14", two_epochs_from_two_blocks),
        ("T16", two_transactions_of_a_phone),
        ("N1", two_fates),
        ("S15", false_balance),
        ("S15", header_of_no_chain),
        ("S13", published(Solvency("00", 1))),
        ("A1", accusation("E1", 1)),
        ("A2", accusation("E1", 77)),
        ("A3", accusation("E7", 2)),
        ("A2", accusation("E1", 1, "no hexadecimal digits")),
        ("HALT", halted),
    ],
    ids=lambda item: item if isinstance(item, str) else getattr(item, "__name__", "scene"),
)
def test_a_broken_rule_is_seen(rule: str, scene: Callable[[Scene], None]) -> None:
    """Each rule, broken by hand."""
    made = Scene()
    scene(made)
    assert rule in made.broken
    assert made.broken <= RULES.keys()


def test_true_evidence_against_an_adversary_is_no_violation() -> None:
    """A1-A3 are quiet when a double vote of an adversary is proved by its two signatures."""
    scene = Scene(actors={"l1-1": "equivocator"})
    one, two = scene.vote(1, NOTARIZE, 3, A), scene.vote(1, NOTARIZE, 3, B)
    accusation("E1", 1, encode(double_vote(one, two)).hex())(scene)
    assert not scene.broken
    accusation("E1", 1, encode(double_vote(one, one)).hex())(scene)
    assert scene.broken == {"A2"}


@pytest.mark.parametrize(("kind", "validator"), [("E2", 1), ("E1", 2)])
def test_evidence_of_something_else_is_none(kind: str, validator: int) -> None:
    """A2: the object must prove what the event says, of whom it says it."""
    scene = Scene(actors={"l1-1": "equivocator", "l1-2": "equivocator"})
    pair = double_vote(scene.vote(1, NOTARIZE, 3, A), scene.vote(1, NOTARIZE, 3, B))
    accusation(kind, validator, encode(pair).hex())(scene)
    assert scene.broken == {"A2"}


@pytest.mark.parametrize(("signers", "rule"), [((0, 1, 2), "S8"), ((0, 1), "A2")])
def test_a_fork_that_somebody_publishes_must_prove_itself_and_then_is_one(signers: tuple[int, ...], rule: str) -> None:
    """S8 whoever finds it; A2 when it proves nothing."""
    scene = Scene()
    anchor = scene.chain.anchor
    headers = [msgspec.structs.replace(anchor, height=2, ts_ms=anchor.ts_ms + later) for later in (1, 2)]
    one, other = (
        CertifiedCheckpoint(1, header, scene.certificate(CHECKPOINT, 2, header.hash, signers).signatures)
        for header in headers
    )
    fork = checkpoint_fork(one, other)
    published(ForkEvidence(height=fork.height, reason=fork.reason, evidence=encode(fork).hex()))(scene)
    assert scene.broken == {rule}


@pytest.mark.parametrize(
    ("host", "actor", "kind"),
    [
        ("l1-1", "finalize-nullifier", "E2"),
        ("l1-1", "bad-justification-leader", "E1"),
        ("l1-1", "bad-justification-leader", "E6"),
        ("l2-0", "bad-signature-miner", "E7"),
    ],
)
def test_what_validators_publish_about_an_adversary_is_proof(host: str, actor: str, kind: str) -> None:
    """A1-A3 over a run: the shipped nodes find the fault, and the object in their event proves it."""
    deployment = Deployment(seed=3, actors={host: actor}, keep_events=False)
    monitor = Monitor(deployment)
    deployment.start()
    rng = random.Random(7)
    for phone in range(2):
        deployment.pay(phone, deployment.random_rows(phone, 12, rng))
    deployment.world.run(30_000_000)
    assert (kind, host) in monitor.evidence.seen
    assert {name for _, name in monitor.evidence.seen} == {host}
    assert monitor.violations == []


@pytest.mark.parametrize("first_valid_s", [5, 9])
@pytest.mark.parametrize("late", [False, True])
def test_promises_for_one_slot_are_judged_in_their_order_not_in_that_of_the_votes(
    first_valid_s: int, late: bool
) -> None:
    """S5: the second one is promised at 6 s; a crash may keep the first one's vote back till after the second's.

    Found by fuzzing (seed 455): a vote that was recorded, never left, and was asked for again after its transaction had
    expired and another had been promised.
    """
    scene = Scene()
    watch, host = scene.monitor.promises, scene.deployment.host("l1-0")
    scene.deployment.world.start(host.node_id)
    transactions = [
        sign_transfer(
            scene.deployment.wallets[0][0],
            chain_id=scene.chain.chain_id,
            seq=0,
            prev=ZERO_HASH,
            to=key(9).public,
            amount=amount,
            fee=1,
            valid_until_ms=valid_ms,
        )
        for amount, valid_ms in ((1, first_valid_s * 1_000), (2, 60_000))
    ]
    messages = []
    bitmap = bitmap_bytes(1, 1)
    for transaction, now_ms in zip(transactions, (1_000, 6_000), strict=True):
        made = batch_of(scene, transaction.raw)
        scene.sent("l2-0", BatchMessage(encode(made)))
        watch._executed_ms["l1-0"] = now_ms
        host.disk.commit([BATCHES.put(BatchRow(made.header.digest, encode(made)))])
        scene.durable("l1-0", BatchPromise(1, 0, made.header.digest, 1, bitmap))
        signed = scene.deployment.validators[0].sign(
            batch_vote_statement(scene.chain.chain_id, 0, made.header.digest, 1, bitmap)
        )
        messages.append(BatchVoteMessage(BatchVote(1, 0, made.header.digest, 1, bitmap, 0, signed)))
    for message in reversed(messages) if late else messages:
        scene.sent("l1-0", message, "l2-0")
    assert [item.name for item in scene.monitor.violations] == (["S5"] if first_valid_s == 9 else [])


def test_a_proposal_with_a_proof_is_quiet() -> None:
    """R3 is quiet for a block over a nullified view with all that it needs."""
    scene = Scene()
    nullification = scene.certificate(NULLIFY, 1, ZERO_HASH)
    block = scene.block(2, just=Justification(1, (), (nullification,)))
    leader = scene.chain.rules.leader(2)
    scene.durable(f"l1-{leader}", NotarizePromise(1, 0, 2, block.hash, (block,)))
    scene.sent(f"l1-{leader}", ProposalMessage(encode(block)))
    scene.say(tuple(index for index in range(4) if index != leader), NOTARIZE, 2, block.hash)
    assert not scene.broken


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13, 100])
def test_roots_by_the_text_are_those_of_the_shipped_trees(count: int) -> None:
    """The second opinion on state and history roots agrees with what nodes compute."""
    hashes = [hash_transaction(bytes([place])) for place in range(count)]
    leaves = {account_leaf_id(made): bytes([place, 1]) for place, made in enumerate(hashes)}
    assert rebuilt_root(leaves) == QuadTrie(leaves).root
    assert history_root(hashes) == HistoryMMR(hashes).root
