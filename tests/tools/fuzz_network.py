"""A `FourTiers` network under attack: random faults, hostile messages, lies; afterwards it must be whole.

Theory of operation. `Fuzz` plays one seed: some seconds of random events, then everything is healed and `check` demands
that the network is whole: equal roots and blocks at every height, money conserved, every payment with exactly one fate,
and that a true one. What may never happen meanwhile, `fuzz_world` watches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

from four_tiers import GENESIS_MS, GRANT, FourTiers
from fuzz_nonsense import Nonsense
from fuzz_world import Violation, WatchedWorld

from supervm.protocol.batch import (
    NO_EDGE,
    Batch,
    BatchVote,
    batch_header,
    batch_vote_statement,
    bitmap_bytes,
    miner_statement,
)
from supervm.protocol.block import Block
from supervm.protocol.checkpoint import CertifiedCheckpoint
from supervm.protocol.codec import decode, encode
from supervm.protocol.execution import STATUS_EXECUTED, BlockReceipts
from supervm.protocol.genesis import Parameters
from supervm.protocol.hashing import ZERO_HASH
from supervm.protocol.keys import SigningKey
from supervm.protocol.transfer import sign_transfer
from supervm.protocol.votes import Vote, VoteKind, statement
from supervm.protocol.wire.directions import accepted_kinds
from supervm.protocol.wire.messages import (
    AnyMessage,
    BatchMessage,
    BatchVoteMessage,
    GetBatches,
    GetBlock,
    Message,
    Status,
    Submit,
    VoteMessage,
)
from supervm.sim.world import Host
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l4_mobile.messages import PaymentRow

FATES = {"R4", "refused", "expired", "cancelled"}
KINDS: tuple[type[Message], ...] = get_args(AnyMessage)


class WatchedTiers(FourTiers):
    """`FourTiers` in a `WatchedWorld`."""

    def __init__(self, *, chance: random.Random, **options: Any) -> None:
        super().__init__(**options)
        self.world: WatchedWorld = WatchedWorld(
            start_us=(GENESIS_MS + 1_000) * 1_000, verify=self.verify, keep_events=False
        )
        self._add_hosts()
        self.world.watch(self, chance)


class Fuzz:
    """One seed.

    Args:
        seed: decides everything.
        liars: whether one validator and one miner lie with their keys.
    """

    def __init__(self, seed: int, *, liars: bool = True) -> None:
        self.rng = random.Random(f"fuzz/{seed}")
        self.net = WatchedTiers(
            chance=random.Random(f"chance/{seed}"), seed=seed, accounts=3,
            parameters=Parameters(1, test_network=True, view_timeout_ms=self.rng.choice([50, 200])),
        )
        self.world = self.net.world
        self.nonsense = Nonsense(self.rng, self.world)
        self.off: dict[bytes, None] = {}
        self.cuts: list[tuple[bytes, bytes]] = []
        self.nodes = [node.public for node in (*self.net.l1, *self.net.l2, *self.net.l3, *self.net.l4)]
        self.tier = {node.public: tier for tier, nodes in enumerate(
            (self.net.l1, self.net.l2, self.net.l3, self.net.l4), start=1) for node in nodes}
        self.liar: int | None = None
        if liars:
            self.liar = self.rng.randrange(4)
            self.world.liars[self.net.l1[self.liar].public] = None
        self.batch = 0
        self.doubled: dict[str, None] = {}
        self.asked = 0
        self.history: list[str] = []

    def play(self, steps: int = 150) -> None:
        """Start, let `steps` random things happen, heal, and check."""
        self.net.start()
        weighted: list[tuple[int, Callable[[], None]]] = [
            (10, self._pay), (6, self._crash), (10, self._restart), (1, self._all_validators_crash),
            (4, self._cut), (4, self._mend), (2, self._slow), (3, self._conflict), (10, self._nonsense),
            (6, self._replay), (3, self._ask),
        ]
        if self.liar is not None:
            weighted += [(8, self._lying_votes), (3, self._lying_batch)]
        actions = self.rng.choices(
            [action for _, action in weighted], weights=[weight for weight, _ in weighted], k=steps
        )
        for action in actions:
            self.history.append(f"{self.world.now_us} {action.__name__}")
            action()
            self.world.run(self.rng.choice([100, 300, 700, 2_000, 20_000, 60_000, 250_000, 1_200_000]))
        self.heal()
        self.check()

    # --- what happens ---------------------------------------------------------------------------------------------

    def _running(self, tier: int | None = None) -> list[bytes]:
        return [node for node in self.nodes if node not in self.off and tier in (None, self.tier[node])]

    def _pay(self) -> None:
        phone = self.rng.randrange(len(self.net.l4))
        if self.net.l4[phone].public in self.off:
            return
        self.batch += 1
        rows = [
            PaymentRow(
                to=row.to, amount=self.rng.choice([row.amount, row.amount, GRANT // 3]), fee=row.fee,
                source=row.source, key=row.key, validity_ms=self.rng.choice([None, None, 8_000, 15_000]),
            )
            for row in self.net.random_rows(phone, self.rng.randrange(1, 8), self.rng, prefix=f"f{self.batch}")
        ]
        self.asked += len(self.net.pay(phone, rows))

    def _crash(self) -> None:
        running = self._running()
        if running:
            victim = self.rng.choice(running)
            self.world.crash(victim)
            self.off[victim] = None

    def _all_validators_crash(self) -> None:
        for node in self._running(1):
            self.world.crash(node)
            self.off[node] = None

    def _restart(self) -> None:
        for node in list(self.off)[: self.rng.randrange(1, 5)]:
            del self.off[node]
            self.world.start(node)

    def _cut(self) -> None:
        one, other = self.rng.sample(self.nodes, 2)
        self.world.cut(one, other)
        self.cuts.append((one, other))

    def _mend(self) -> None:
        while self.cuts and self.rng.random() < 0.7:
            self.world.mend(*self.cuts.pop(self.rng.randrange(len(self.cuts))))

    def _slow(self) -> None:
        one, other = self.rng.sample(self.nodes, 2)
        self.world.set_delay(one, other, self.rng.choice([1_000, 30_000, 300_000, 900_000]))

    def _send(self, sender: bytes, receiver: bytes, message: Message) -> None:
        if (sender, receiver) in self.world._links and receiver not in self.off:
            self.world.inject(sender, receiver, message)

    def _conflict(self) -> None:
        """The owner of an account signs two transfers for its next slot, beside the phone that has the account, too."""
        phone = self.rng.randrange(2)
        wallet = self.net.wallets[phone][2]
        host = self.world._hosts[self.net.l1[self.rng.randrange(4)].public]
        core = host.core
        if not isinstance(core, ValidatorNode):
            return
        account = core.ledger.accounts[wallet.public]
        self.doubled[self.net.address(phone, 2)] = None
        now_ms = self.world.now_us // 1000
        for edge in range(2):
            transfer = sign_transfer(
                wallet, chain_id=self.world.chain_id, seq=account.next_seq, prev=account.head,
                to=self.net.wallets[1 - phone][edge].public, amount=5 + edge, fee=1,
                valid_until_ms=now_ms + self.rng.choice([6_000, 9_000]),
            )
            for receiver in (self.net.l3[edge].public, self.net.l3[1 - edge].public)[: self.rng.randrange(1, 3)]:
                self._send(self.net.l4[edge].public, receiver, Submit((transfer.raw,)))

    def _nonsense(self) -> None:
        for _ in range(self.rng.randrange(1, 20)):
            links = [pair for pair in self.world._links if pair[1] not in self.off]
            if not links:
                return
            sender, receiver = self.rng.choice(links)
            kinds = [kind for kind in KINDS if kind in accepted_kinds(self.tier[sender], self.tier[receiver])]
            message = self.nonsense.message(self.rng.choice(kinds))
            if message is None or (self.tier[receiver] == 4 and isinstance(message, Status)):
                continue  # an edge's word on its own phones' payments is believed, by design
            self._send(sender, receiver, message)

    def _replay(self) -> None:
        """What was sent by one peer comes again from another of its tier."""
        for _ in range(self.rng.randrange(1, 12)):
            kind = self.rng.choice([kind for kind in KINDS if self.world.captured[kind]])
            sender, receiver, message = self.rng.choice(self.world.captured[kind])
            if kind is Status and self.tier[receiver] == 4:
                continue
            senders = [node for node in self.nodes if self.tier[node] == self.tier[sender]]
            receivers = [node for node in self.nodes if self.tier[node] == self.tier[receiver]]
            self._send(self.rng.choice(senders), self.rng.choice(receivers), message)

    def _ask(self) -> None:
        """Ask a validator for everything it may give away: nothing may leave before its record."""
        receiver = self.net.l1[self.rng.randrange(4)].public
        core = self.world._hosts[receiver].core
        for sender in [node.public for node in self.net.l1 if node.public != receiver]:
            if isinstance(core, ValidatorNode):
                for digest, block in list(core.simplex._tree._blocks.items()):
                    self._send(sender, receiver, GetBlock(block.header.view, digest))
        self._send(self.net.l1[0].public, receiver, GetBatches(tuple(self.world.transfers)[-64:]))

    # --- lies -----------------------------------------------------------------------------------------------------

    def _lying_votes(self) -> None:
        """The liar signs conflicting votes of every kind, and tells each validator something else."""
        assert self.liar is not None
        key: SigningKey = self.net.validators[self.liar]
        cores = [host.core for host in self.world._hosts.values() if isinstance(host.core, ValidatorNode)]
        if not cores:
            return
        core = self.rng.choice(cores)
        blocks = list(core.simplex._tree._blocks)
        for receiver in [node.public for node in self.net.l1]:
            votes = []
            for _ in range(self.rng.randrange(1, 8)):
                kind = self.rng.choice(list(VoteKind))
                number = max(0, (core.ledger.height if kind is VoteKind.CHECKPOINT else core.simplex.view)
                             + self.rng.randrange(-3, 10))
                digest = ZERO_HASH if kind is VoteKind.NULLIFY else (
                    self.rng.choice(blocks) if blocks and self.rng.random() < 0.6 else self.rng.randbytes(32))
                signed = key.sign(statement(self.world.chain_id, kind, self.net.chain.rules.epoch, number, digest))
                if self.rng.random() < 0.2:
                    signed = self.rng.randbytes(64)
                signer = self.liar if self.rng.random() < 0.9 else self.rng.randrange(4)
                votes.append(Vote(1, kind, self.net.chain.rules.epoch, number, digest, signer, signed))
            self._send(self.net.l1[self.liar].public, receiver, VoteMessage(tuple(votes)))

    def _lying_batch(self) -> None:
        """The first miner batches conflicting, repeated and future transfers; the liar votes for all of them."""
        assert self.liar is not None
        miner = self.net.l2[0]
        wallet = self.net.wallets[0][2]
        self.doubled[self.net.address(0, 2)] = None
        now_ms = self.world.now_us // 1000
        chain = self.net.chain
        raw: list[bytes] = []
        prev = ZERO_HASH
        for seq in range(self.rng.randrange(1, 5)):
            transfer = sign_transfer(
                wallet, chain_id=chain.chain_id, seq=seq, prev=prev, to=self.net.wallets[1][0].public,
                amount=1 + self.rng.randrange(3), fee=1, valid_until_ms=now_ms + 10_000,
            )
            raw.append(transfer.raw)
            prev = transfer.id
        known = [item.raw for items in self.world.transfers.values() for item in items]
        raw += self.rng.sample(known, min(3, len(known)))
        self.rng.shuffle(raw)
        edge_of = bytes([NO_EDGE]) * len(raw)
        header = batch_header(chain.chain_id, chain.rules.epoch, miner.public, (), tuple(raw), edge_of)
        batch = Batch(1, header, miner.sign(miner_statement(header.digest)), tuple(raw), edge_of)
        self.world.note_batch(encode(batch))
        for node in self.net.l1:
            if self.rng.random() < 0.8:
                self._send(miner.public, node.public, BatchMessage(encode(batch)))
        bitmap = bitmap_bytes((1 << len(raw)) - 1, len(raw))
        signature = self.net.validators[self.liar].sign(
            batch_vote_statement(chain.chain_id, chain.rules.epoch, header.digest, len(raw), bitmap))
        vote = BatchVote(1, chain.rules.epoch, header.digest, len(raw), bitmap, self.liar, signature)
        self._send(self.net.l1[self.liar].public, miner.public, BatchVoteMessage(vote))

    # --- the end --------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Mend every cut, make every link quick, switch everything on."""
        self.history.append(f"{self.world.now_us} heal")
        for pair in self.cuts:
            self.world.mend(*pair)
        for one in self.nodes:
            for other in self.nodes:
                self.world.set_delay(one, other, 1_000)
        self.halted()
        for node in list(self.off):
            self.world.start(node)
        self.off.clear()

    def honest(self, tier: int) -> list[Host]:
        """Hosts of a tier whose keys nobody else has used."""
        return [host for host in self.world._hosts.values()
                if host.tier == tier and host.node_id not in self.world.liars]

    def halted(self) -> None:
        """No honest node has stopped for good."""
        for tier in range(1, 5):
            for host in self.honest(tier):
                if host.halted is not None:
                    raise Violation(f"{host.address} halted: {host.halted}")

    def check(self, within_s: int = 150) -> None:
        """The network is whole again."""
        for _ in range(within_s):
            payments = self.net.payments()
            open_ones = [payment for payment in payments if not self._settled(payment)]
            if not open_ones:
                break
            self.world.run(1_000_000)
        self.halted()
        if open_ones:
            raise Violation(f"{len(open_ones)} of {len(payments)} payments have no fate, such as {open_ones[0]}")
        if len(payments) < self.asked:
            raise Violation(f"{self.asked} payments were accepted, {len(payments)} are known")
        self.world.run(3_000_000)
        self._check_chains()
        self._check_money()

    def _settled(self, payment: dict[str, Any]) -> bool:
        """A payment has its fate, or it is one whose owner filled its slot from elsewhere, so that nothing can tell."""
        if payment["status"] in FATES:
            return True
        return payment["from"] in self.doubled and "only its receipt can tell" in (payment["reason"] or "")

    def _check_chains(self) -> None:
        """Blocks, roots and certificates are equal at every height that two honest nodes have (S1, S2, S7, S8)."""
        by_height: dict[tuple[str, int], bytes] = {}
        tips = []
        for host in (*self.honest(1), *self.honest(2)):
            core = host.core
            assert isinstance(core, ValidatorNode | MinerNode)
            ledger = core.ledger if isinstance(core, ValidatorNode) else core.replica.ledger
            ledger.check_full_sum()
            tips.append(ledger.height)
            rows = [("header", key[0], value[0]) for key, value in host.disk.scan("headers")]
            if host.tier == 1:
                rows += [("block", key[0], decode(Block, value[0], bytes_max=8 << 20).hash)  # type: ignore[arg-type]
                         for key, value in host.disk.scan("blocks")]
                rows += [("certified", key[0], encode(decode(CertifiedCheckpoint, value[0]).header))  # type: ignore[arg-type]
                         for key, value in host.disk.scan("checkpoints")]
            for what, height, value in rows:
                assert isinstance(value, bytes)
                assert isinstance(height, int)
                if by_height.setdefault((what, height), value) != value:
                    raise Violation(f"{host.address} has another {what} at height {height}")
        for (what, height), value in by_height.items():
            if what == "certified" and by_height["header", height] != value:
                raise Violation(f"the certified header of height {height} is not the executed one")
        if max(tips) - min(tips) > 3:
            raise Violation(f"nodes stay behind: executed heights {tips}")

    def _check_money(self) -> None:
        """Nothing is executed twice, and each payment's fate is what the chain says."""
        host = self.honest(1)[0]
        executed: Counter[bytes] = Counter()
        for _, (raw,) in host.disk.scan("receipts"):
            assert isinstance(raw, bytes)
            for receipt in decode(BlockReceipts, raw, bytes_max=1 << 30).receipts:
                executed[receipt.transfer_id] += 1
                if receipt.status != STATUS_EXECUTED:
                    raise Violation(f"transfer {receipt.transfer_id.hex()} failed: solvency was broken")
        if any(count > 1 for count in executed.values()):
            raise Violation("a transfer was executed twice")
        for payment in self.net.payments():
            if payment["id"].startswith("row-"):
                continue
            done = executed[bytes.fromhex(payment["id"])]
            if (payment["status"] == "R4") != bool(done):
                raise Violation(f"payment {payment} was executed {done} times")
