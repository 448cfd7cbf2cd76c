"""Every invariant is broken once by hand and must be seen; a good run breaks none (consensus.md 6)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from supervm.common.core import Publish, Reply
from supervm.common.records import Append, Put
from supervm.protocol.account import decode_account, encode_account
from supervm.protocol.batch import BatchVote, batch_vote_statement, bitmap_bytes
from supervm.protocol.block import Block, BlockBody, BlockHeader, CheckpointRef, Justification
from supervm.protocol.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.codec import decode, encode
from supervm.protocol.evidence import double_vote
from supervm.protocol.execution import BlockReceipts
from supervm.protocol.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.transfer import sign_transfer
from supervm.protocol.votes import Certificate, Vote, VoteKind, make_certificate, statement
from supervm.protocol.wire.messages import (
    BatchMessage,
    BatchVoteMessage,
    CertificateMessage,
    CheckpointMessage,
    Message,
    ProposalMessage,
    Submit,
    VoteMessage,
)
from supervm.sim.exact import Deployment, HostStarted, HostStopped, Persisted, Sent, Stepped, key
from supervm.sim.invariants import RULES, Monitor, accuse, scan_cores
from supervm.sim.invariants import liveness as liveness_module
from supervm.sim.invariants.determinism import faults_in
from supervm.tier_l1_super.simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    FinalizePromise,
    HeldCertificate,
    NotarizePromise,
    NullifyPromise,
    encode_promise,
)

NOTARIZE, NULLIFY, FINALIZE, CHECKPOINT = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT
Tamper = Callable[[Any], Any]
Change = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]
"""(key, value) of a row -> another value."""


@pytest.fixture(scope="module")
def good() -> tuple[Deployment, list[Any], Monitor]:
    """A run of ten seconds with payments, all its events, and what the monitor made of it."""
    deployment = Deployment(seed=5)
    monitor = Monitor(deployment)
    events: list[Any] = []
    deployment.world.observe(lambda event: events.append(event) if type(event) in (Sent, Persisted) else None)
    deployment.start(1_000_000)
    rng = random.Random(7)
    for phone in range(2):
        deployment.pay(phone, deployment.random_rows(phone, 12, rng))
    for _ in range(8):
        deployment.world.run(1_000_000)
        monitor.sample()
    return deployment, events, monitor


def test_a_good_run_breaks_nothing(good: tuple[Deployment, list[Any], Monitor]) -> None:
    """All invariants are quiet on a run without faults, and the monitor has looked at all of it."""
    deployment, _, monitor = good
    assert monitor.finish() == []
    monitor.liveness.failure_free(1_300)
    assert monitor.violations == []
    assert monitor.reference.height > 10
    assert len(monitor.reference.executed_at) == 24
    assert deployment.statuses() == {"R4": 24}
    assert monitor.liveness.r3_us


def test_watching_changes_nothing() -> None:
    """With and without a monitor a run has the same digest."""
    digests = []
    for watched in (True, False):
        deployment = Deployment(seed=9)
        if watched:
            Monitor(deployment)
        deployment.start()
        digests.append(deployment.world.digest)
    assert digests[0] == digests[1]


# --- tampered records of a good run -----------------------------------------------------------------------------------


def replayed(good: tuple[Deployment, list[Any], Monitor], tamper: Tamper) -> set[str]:
    """Show a monitor the events of the good run, as `tamper` changes them; return the rules that it says are broken."""
    monitor = Monitor(Deployment(seed=5))
    for event in good[1]:
        monitor._on(tamper(event))
    return {violation.name for violation in monitor.violations}


def rows(host: str, table: str, change: Change, nth: int = 1) -> Tamper:
    """Change the value of the nth row of a table that a host writes."""
    seen = [0]

    def tamper(event: Any) -> Any:
        if type(event) is not Persisted or event.host.name != host:
            return event
        records = []
        for record in event.records:
            if type(record) is Put and record.table == table:
                seen[0] += 1
                if seen[0] == nth:
                    record = Put(table, record.key, change(record.key, record.value))
            records.append(record)
        return replace(event, records=tuple(records))

    return tamper


def leaf(**changes: Any) -> Change:
    """Change fields of an account's leaf; a callable gets the old value."""
    def change(_: tuple[Any, ...], value: tuple[Any, ...]) -> tuple[Any, ...]:
        account = decode_account(value[0])
        return (encode_account(account._replace(**{
            name: new(getattr(account, name)) if callable(new) else new for name, new in changes.items()})),)

    return change


def header(**changes: Any) -> Change:
    """Change fields of a checkpoint header."""
    return lambda _, value: (
        encode(msgspec.structs.replace(decode(CheckpointHeader, value[0]), **changes)), value[1])


def twice(_: tuple[Any, ...], value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Repeat the first receipt."""
    receipts = decode(BlockReceipts, value[0], bytes_max=1 << 20).receipts
    return (encode(BlockReceipts(1, (*receipts, receipts[0]))),)


def false_receipt(_: tuple[Any, ...], value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Say that the first transfer failed."""
    receipts = decode(BlockReceipts, value[0], bytes_max=1 << 20).receipts
    return (encode(BlockReceipts(1, (msgspec.structs.replace(receipts[0], status=0), *receipts[1:]))),)


def other_header(_: tuple[Any, ...], value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Put another checkpoint into a certified one."""
    checkpoint = decode(CertifiedCheckpoint, value[0], bytes_max=1 << 20)
    changed = msgspec.structs.replace(checkpoint.header, ts_ms=checkpoint.header.ts_ms + 1)
    return (encode(CertifiedCheckpoint(1, changed, checkpoint.signatures)),)


def other_parent(_: tuple[Any, ...], value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Hang a block onto something else."""
    block = decode(Block, value[0], bytes_max=1 << 20)
    changed = msgspec.structs.replace(block.header, parent_hash=bytes([7]) * 32)
    return (encode(msgspec.structs.replace(block, header=changed)), value[1])


def no_append(host: str) -> Tamper:
    """Lose a host's write-ahead records."""
    return lambda event: event if type(event) is not Persisted or event.host.name != host else replace(
        event, records=tuple(record for record in event.records if type(record) is not Append))


def no_release(event: Any) -> Any:
    """Lose the rows of a phone's payments."""
    return event if type(event) is not Persisted or event.host.name != "l4-0" else replace(event, records=())


ACCOUNTS_OF_GENESIS = 6


@pytest.mark.parametrize(("rule", "tamper"), [
    ("S7", lambda: rows("l1-1", "headers", header(state_root=bytes(32)), 3)),
    ("S7", lambda: rows("l2-0", "headers", header(receipts_root=bytes([1]) * 32), 4)),
    ("C1", lambda: rows("l1-0", "headers", header(supply=1), 1)),
    ("C2", lambda: rows("l1-2", "accounts", leaf(balance=lambda old: old + 1), ACCOUNTS_OF_GENESIS + 1)),
    ("C3", lambda: rows("l2-1", "accounts", leaf(balance=lambda old: old - 1), ACCOUNTS_OF_GENESIS + 2)),
    ("S11", lambda: rows("l1-3", "accounts", leaf(next_seq=lambda old: old + 1), ACCOUNTS_OF_GENESIS + 1)),
    ("S12", lambda: rows("l1-0", "receipts", twice)),
    ("C5", lambda: rows("l1-0", "receipts", false_receipt)),
    ("S8", lambda: rows("l1-1", "checkpoints", other_header, 2)),
    ("N4", lambda: rows("l1-1", "checkpoints", other_header, 2)),
    ("S1", lambda: rows("l1-2", "blocks", other_parent, 2)),
    ("S2", lambda: rows("l1-0", "blocks", other_parent, 2)),
    ("S6", lambda: no_append("l1-0")),
    ("T16", lambda: no_release),
    ("", lambda: lambda event: event),
], ids=lambda item: item if isinstance(item, str) else "")
def test_what_nodes_write_is_held_against_the_rules(
    good: tuple[Deployment, list[Any], Monitor], rule: str, tamper: Callable[[], Tamper]
) -> None:
    """A record that is not as the rules say breaks the rule that it is about; the untampered run breaks none."""
    broken = replayed(good, tamper())
    assert rule in broken if rule else not broken


def test_a_negative_balance_is_seen(
    good: tuple[Deployment, list[Any], Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: the encoding cannot hold one, so the decoder stands in for a node whose encoding could."""
    original = decode_account
    name = "supervm.sim.invariants.execution.decode_account"
    monkeypatch.setattr(name, lambda value: original(value)._replace(balance=-1))
    assert "C4" in replayed(good, lambda event: event)


def test_a_replay_that_gives_another_root_is_seen(good: tuple[Deployment, list[Any], Monitor]) -> None:
    """S16."""
    deployment, events, _ = good
    monitor = Monitor(Deployment(seed=5))
    for event in events:
        monitor._on(event)
    host = deployment.host("l1-0")
    assert monitor.execution.replay(host) > 10
    assert not monitor.broken
    monitor.facts.headers[4] = b"another"
    monitor.execution.replay(host)
    assert [violation.name for violation in monitor.violations] == ["S16"]


# --- hand-made signatures ---------------------------------------------------------------------------------------------


class Scene:
    """A deployment that is switched off, and a monitor to which things are said."""

    def __init__(self, **options: Any) -> None:
        self.deployment = Deployment(seed=1, **options)
        self.monitor = Monitor(self.deployment)
        self.chain = self.deployment.chain

    @property
    def broken(self) -> set[str]:
        return {violation.name for violation in self.monitor.violations}

    def sent(self, sender: str, message: Message, receiver: str = "l1-0") -> None:
        host = self.deployment.host
        self.monitor._on(Sent(1, host(sender), host(receiver), message, b""))

    def durable(self, name: str, *payloads: Any) -> None:
        self.monitor._on(Persisted(
            1, self.deployment.host(name), 1, tuple(Append(encode_promise(payload)) for payload in payloads)))

    def vote(
        self, signer: int, kind: VoteKind, number: int, digest: bytes = ZERO_HASH, *, recorded: bool = True
    ) -> Vote:
        promise: Any = {
            NOTARIZE: NotarizePromise(1, 0, number, digest, ()), NULLIFY: NullifyPromise(1, 0, number),
            FINALIZE: FinalizePromise(1, 0, number, digest), CHECKPOINT: CheckpointPromise(1, number, digest),
        }[kind]
        if recorded:
            self.durable(f"l1-{signer}", promise)
        signed = self.deployment.validators[signer].sign(statement(self.chain.chain_id, kind, 0, number, digest))
        return Vote(1, kind, 0, number, digest, signer, signed)

    def say(self, signers: range | tuple[int, ...], kind: VoteKind, number: int, digest: bytes = ZERO_HASH) -> None:
        for signer in signers:
            self.sent(f"l1-{signer}", VoteMessage((self.vote(signer, kind, number, digest),)), "l1-3")

    def certificate(
        self, kind: VoteKind, number: int, digest: bytes, signers: tuple[int, ...] = (0, 1, 2)
    ) -> Certificate:
        return make_certificate(kind, 0, number, digest, {
            signer: self.deployment.validators[signer].sign(statement(self.chain.chain_id, kind, 0, number, digest))
            for signer in signers
        })

    def block(self, view: int, parent: Block | None = None, just: Justification | None = None, ts: int = 0) -> Block:
        body = BlockBody(1, (), ())
        above: BlockHeader = self.chain.genesis_header if parent is None else parent.header
        if just is None:
            certificate = () if parent is None else (self.certificate(NOTARIZE, above.view, above.hash),)
            skipped = tuple(self.certificate(NULLIFY, number, ZERO_HASH) for number in range(above.view + 1, view))
            just = Justification(1, certificate, skipped)
        leader = self.chain.rules.leader(view)
        made = BlockHeader(
            1, self.chain.chain_id, 0, view, above.height + 1, above.hash, above.view, leader, above.ts_ms + 1 + ts,
            hash_justification(encode(just)), hash_block_body(encode(body)),
            CheckpointRef(1, 0, self.chain.anchor.hash))
        signature = self.deployment.validators[leader].sign(
            statement(self.chain.chain_id, NOTARIZE, 0, view, made.hash))
        block = Block(1, made, just, body, signature)
        self.monitor.facts.blocks[block.hash] = block
        return block


A, B = bytes([1]) * 32, bytes([2]) * 32


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


def batch_scene(scene: Scene, *, signers: tuple[int, ...], two_of_one: bool) -> None:
    from supervm.protocol.batch import Batch, batch_header, miner_statement

    wallet, miner, chain = scene.deployment.wallets[0][0], scene.deployment.l2[0], scene.chain
    for amount in (1, 2):
        transfer = sign_transfer(
            wallet, chain_id=chain.chain_id, seq=0, prev=ZERO_HASH, to=scene.deployment.wallets[1][0].public,
            amount=amount, fee=1, valid_until_ms=1 << 50)
        made = batch_header(chain.chain_id, 0, miner.public, (), (transfer.raw,), b"\xff")
        batch = Batch(1, made, miner.sign(miner_statement(made.digest)), (transfer.raw,), b"\xff")
        scene.sent("l2-0", BatchMessage(encode(batch)))
        bitmap = bitmap_bytes(1, 1)
        for signer in signers if amount == 1 or two_of_one else tuple(3 - index for index in signers):
            scene.durable(f"l1-{signer}", BatchPromise(1, 0, made.digest, 1, bitmap))
            signed = scene.deployment.validators[signer].sign(
                batch_vote_statement(chain.chain_id, 0, made.digest, 1, bitmap))
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


def two_transfers_of_a_phone(scene: Scene) -> None:
    from supervm.tier_l4_mobile.payments import Payment
    from supervm.tier_l4_mobile.tables import payment_row

    for amount in (1, 2):
        raw = sign_transfer(
            scene.deployment.wallets[0][0], chain_id=scene.chain.chain_id, seq=0, prev=ZERO_HASH, to=key(5).public,
            amount=amount, fee=1, valid_until_ms=1 << 50).raw
        payment = Payment(amount, b"a", b"b", amount, 1, b"", 0, "", 0, raw=raw, released=True)
        scene.monitor._on(Persisted(1, scene.deployment.host("l4-0"), 1, (payment_row(payment),)))
        scene.sent("l4-0", Submit((raw,)), "l3-0")


def two_fates(scene: Scene) -> None:
    from supervm.tier_l4_mobile.payments import CLOSED, Payment
    from supervm.tier_l4_mobile.tables import payment_row

    for status in ("expired", "R4"):
        payment = Payment(1, b"a", b"b", 1, 1, b"", 0, "", 0, place=CLOSED, status=status)
        scene.monitor._on(Persisted(1, scene.deployment.host("l4-0"), 1, (payment_row(payment),)))


def false_balance(scene: Scene) -> None:
    scene.deployment.world.start(scene.deployment.id_of("l4-0"))
    address = scene.deployment.address(0, 0)
    value = {"address": address, "balance": 5, "height": 0, "next_seq": 0, "proof_verified": True}
    scene.monitor._on(Stepped(1, scene.deployment.host("l4-0"), 1, None, (Reply(1, value),)))  # type: ignore[arg-type]
    scene.monitor.wallets.judge()


def header_of_no_chain(scene: Scene) -> None:
    scene.monitor.wallets._headers.append(("l4-0", msgspec.structs.replace(scene.chain.anchor, supply=1)))
    scene.monitor.wallets.judge()


def published(name: str, **fields: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.monitor._on(
        Stepped(1, scene.deployment.host("l1-0"), 1, None, (Publish(name, fields),)))  # type: ignore[arg-type]


def halted(scene: Scene) -> None:
    scene.monitor._on(HostStopped(1, scene.deployment.host("l1-0"), "halted: divergence", True))


@pytest.mark.parametrize(("rule", "scene"), [
    ("S1", two_blocks_at_one_height), ("S3", finalized_and_nullified), ("S4", two_notarized), ("S5", two_notarizes),
    ("S5", nullify_and_finalize), ("S6", vote_without_record), ("S6", vote_of_an_amnesiac),
    ("S6", bits_without_record), ("S8", two_checkpoints), ("S9", two_certified_for_one_slot),
    ("S5", two_promises_for_one_slot), ("R3", no_proof_of_place),
    ("N4", forged_certificate), ("N4", held_certificate_of_two), ("N4", passed_on_checkpoint),
    ("S14", two_epochs_from_two_blocks), ("T16", two_transfers_of_a_phone), ("N1", two_fates), ("S15", false_balance),
    ("S15", header_of_no_chain), ("S13", published("solvency", transfer="00")),
    ("A1", published("evidence", kind="E1", validator=1, evidence="")),
    ("A2", published("evidence", kind="E1", validator=77)), ("A3", published("evidence", kind="E7", validator=2)),
    ("A2", published("evidence", kind="E1", validator=1, evidence="no hexadecimal digits")),
    ("HALT", halted),
], ids=lambda item: item if isinstance(item, str) else getattr(item, "__name__", "scene"))
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
    published("evidence", kind="E1", validator=1, evidence=encode(double_vote(one, two)).hex())(scene)
    assert not scene.broken
    published("evidence", kind="E1", validator=1, evidence=encode(double_vote(one, one)).hex())(scene)
    assert scene.broken == {"A2"}


@pytest.mark.parametrize("fields", [{"kind": "E2", "validator": 1}, {"kind": "E1", "validator": 2}], ids=str)
def test_evidence_of_something_else_is_none(fields: dict[str, Any]) -> None:
    """A2: the object must prove what the event says, of whom it says it."""
    scene = Scene(actors={"l1-1": "equivocator", "l1-2": "equivocator"})
    pair = double_vote(scene.vote(1, NOTARIZE, 3, A), scene.vote(1, NOTARIZE, 3, B))
    published("evidence", **fields, evidence=encode(pair).hex())(scene)
    assert scene.broken == {"A2"}


@pytest.mark.parametrize(("host", "actor", "kind"), [
    ("l1-1", "finalize-nullifier", "E2"), ("l1-1", "bad-justification-leader", "E1"),
    ("l1-1", "bad-justification-leader", "E6"), ("l2-0", "bad-signature-miner", "E7"),
])
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


# --- forks ------------------------------------------------------------------------------------------------------------


def verdict(scene: Scene, one: Certificate, two: Certificate) -> Any:
    return accuse(one, two, scene.monitor.facts.blocks, scene.monitor.finality.signers, scene.monitor.facts.genuine)


def test_forensics_name_double_notarizers() -> None:
    """A1: two blocks of one view: validators 1 and 2 notarized both (E1)."""
    scene = Scene()
    a, b = scene.block(1), scene.block(1, ts=9)
    for block, signers in ((a, (0, 1, 2)), (b, (1, 2, 3))):
        for signer in signers:
            scene.monitor.finality.vote(NOTARIZE, 0, 1, block.hash, signer)
    found = verdict(
        scene, scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 1, b.hash, (1, 2, 3)))
    assert (found.kind, found.view, found.culprits) == ("E1", 1, (1, 2))


def test_forensics_name_who_nullified_what_they_finalized() -> None:
    """A1: the other chain skips the finalized view with a nullification (E2)."""
    scene = Scene()
    a = scene.block(1)
    nullification = scene.certificate(NULLIFY, 1, ZERO_HASH, (1, 2, 3))
    b = scene.block(2, just=Justification(1, (), (nullification,)), ts=9)
    c = scene.block(3, parent=b)
    found = verdict(
        scene, scene.certificate(FINALIZE, 3, c.hash, (1, 2, 3)), scene.certificate(FINALIZE, 1, a.hash))
    assert (found.kind, found.view, found.culprits) == ("E2", 1, (1, 2))


def test_forensics_name_who_notarized_without_proof() -> None:
    """A1: the other chain skips the finalized view without a nullification (E6)."""
    scene = Scene()
    a, b = scene.block(1), scene.block(2, just=Justification(1, (), ()), ts=9)
    for signer in (1, 2, 3):
        scene.monitor.finality.vote(NOTARIZE, 0, 2, b.hash, signer)
    found = verdict(scene, scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 2, b.hash, (1, 2, 3)))
    assert (found.kind, found.culprits) == ("E6", (1, 2, 3))


def test_forensics_find_nothing_in_one_chain() -> None:
    """A1: two finalizations of one chain accuse nobody."""
    scene = Scene()
    a = scene.block(1)
    b = scene.block(2, parent=a)
    assert verdict(scene, scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 2, b.hash)) is None


def test_the_monitor_finds_a_fork_and_its_culprits() -> None:
    """A1: with two of four faulty a fork is possible; the monitor finds it in the signatures and names those two."""
    scene = Scene(actors={"l1-1": "equivocator", "l1-2": "equivocator"})
    a, b = scene.block(1), scene.block(1, ts=9)
    for block, signers in ((a, (0, 1, 2)), (b, (1, 2, 3))):
        for kind in (NOTARIZE, FINALIZE):
            for signer in signers:
                scene.monitor.finality.vote(kind, 0, 1, block.hash, signer)
    scene.monitor.finality.certified[FINALIZE, 0, 1] = b.hash
    assert "S1" in scene.broken
    two = scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 1, b.hash, (1, 2, 3))
    found = scene.monitor.accuse(*two)
    assert found is not None
    assert found.culprits == (1, 2)
    assert "A1" not in scene.broken


def test_naming_an_honest_node_is_a_violation() -> None:
    """A1: the same fork where nobody is known to be faulty."""
    scene = Scene()
    a, b = scene.block(1), scene.block(1, ts=9)
    for block, signers in ((a, (0, 1, 2)), (b, (1, 2, 3))):
        for signer in signers:
            scene.monitor.finality.vote(NOTARIZE, 0, 1, block.hash, signer)
    scene.monitor.accuse(
        scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 1, b.hash, (1, 2, 3)))
    assert "A1" in scene.broken


# --- progress and bounds ----------------------------------------------------------------------------------------------


def stuck(names: tuple[str, ...], seconds: int) -> Monitor:
    """Run only some hosts, and demand progress of them."""
    deployment = Deployment(seed=2)
    monitor = Monitor(deployment)
    for name in names:
        deployment.world.start(deployment.id_of(name))
    deployment.world.run(1_000_000)
    monitor.calm(names)
    host = deployment.host("l4-0")
    if host.core is not None:
        deployment.pay(0, deployment.random_rows(0, 2, random.Random(1)))
    for _ in range(seconds):
        deployment.world.run(1_000_000)
        monitor.sample()
    monitor.finish()
    return monitor


def test_standing_still_in_a_calm_time_is_seen() -> None:
    """L1, L2, L3, N5: two of four validators can do nothing, and are told so."""
    monitor = stuck(("l1-0", "l1-1", "l2-0", "l3-0", "l4-0"), 600)
    names = {violation.name for violation in monitor.violations}
    assert {"L1", "L2", "L3", "N5"} <= names


def test_a_node_that_stays_behind_is_seen() -> None:
    """L7: a validator that is cut off without anybody knowing."""
    deployment = Deployment(seed=3)
    monitor = Monitor(deployment)
    deployment.start()
    one = deployment.id_of("l1-3")
    for name in ("l1-0", "l1-1", "l1-2"):
        deployment.world.cut(one, deployment.id_of(name))
    monitor.calm(deployment.names(1))
    deployment.world.run(10_000_000)
    assert not monitor.liveness.caught_up()
    monitor.finish()
    assert "L7" in {violation.name for violation in monitor.violations}


def test_a_nullified_view_in_a_failure_free_run_is_seen() -> None:
    """L8: a run that is said to be free of failures and is not; and one whose batches are late."""
    deployment = Deployment(seed=4)
    monitor = Monitor(deployment)
    deployment.start()
    deployment.world.crash(deployment.id_of("l1-2"))
    deployment.world.run(5_000_000)
    monitor.liveness.failure_free(1_000)
    monitor.liveness.r3_us.append(10_000_000)
    monitor.liveness.failure_free(1_000)
    assert [violation.name for violation in monitor.violations] == ["L8", "L8", "L8"]


@pytest.mark.parametrize(("rule", "name"), [
    ("N2", "ITEMS_MAX"), ("L9", "EGRESS_BYTES_PER_S_MAX")])
def test_a_bound_that_is_passed_is_seen(monkeypatch: pytest.MonkeyPatch, rule: str, name: str) -> None:
    """N2, L9: with a bound of one a sound node passes it; with the shipped one it does not (the good run)."""
    monkeypatch.setattr(liveness_module, name, 1)
    deployment = Deployment(seed=4)
    monitor = Monitor(deployment)
    deployment.start(0)
    for _ in range(liveness_module.EGRESS_WINDOW_S):
        deployment.world.run(1_000_000)
        monitor.sample()
    monitor.finish()
    assert rule in {violation.name for violation in monitor.violations}


def test_an_epoch_that_does_not_end_and_a_certificate_that_waits_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6, L4: an epoch longer than allowed, and a certificate that could execute and does not."""
    deployment = Deployment(seed=6)
    monitor = Monitor(deployment)
    deployment.start()
    monitor.calm(deployment.names(1))
    monitor.liveness.epoch_ms_max = 1_000
    monitor.liveness._grace_us = 0
    deployment.world.run(3_000_000)
    monitor.sample()
    assert [violation.name for violation in monitor.violations] == ["L6"]
    deployment.pay(0, deployment.random_rows(0, 3, random.Random(3)))
    held: dict[bytes, Any] = {}
    core: Any = deployment.host("l1-0").core
    for _ in range(200):
        deployment.world.run(2_000)
        held.update(core.pool.held)
    monkeypatch.setattr(liveness_module, "HELD_US_MAX", 0)
    core.pool.held.update(held)
    monitor.reference.accounts.update(deployment.chain.accounts)  # as if nothing had been executed
    monitor.finish()
    assert "L4" in {violation.name for violation in monitor.violations}


def test_cores_use_no_clock_randomness_or_set_order() -> None:
    """D2: by reading every core's text; and the reader finds what is planted."""
    assert scan_cores() == []
    planted = "import time\nimport random\nx = random.choice([1])\nfor a in {1, 2}:\n    pass\ny = [b for b in set(x)]"
    assert len(faults_in(planted, "planted.py")) == 4
    assert faults_in("import random\nr = random.Random(3)\nfor a in sorted({1, 2}):\n    pass\n", "fine.py") == []


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
