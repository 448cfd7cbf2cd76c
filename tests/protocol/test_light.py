"""The light client believes only what a quorum of its anchor's validators signed (consensus.md 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cbor2
import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain, test_key
from kept_history import KeptHistory

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import VoteKind, statement
from supervm.protocol.light.client import (
    AccountAnswer,
    Anchor,
    LightClient,
    ReceiptProof,
    account_answer,
    anchor_of,
    receipt_proof,
)
from supervm.protocol.money.execution import Receipt, execute_block
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import NATIVE, account_leaf_id, balance_leaf_id
from supervm.protocol.state.receipts import RECEIPTS, merkle_path, merkle_root, path_sides, sided_root
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_proof import TrieProof

ALICE, BOB, NOBODY = (test_key(name).public for name in ("alice", "bob", "nobody"))
NOW_MS = GENESIS_TIME_MS + 10_000


class Chainlet:
    """A chain executed by the protocol's own pieces; every height's header, tree and receipts are kept."""

    def __init__(self, **more: object) -> None:
        self.tools: TestChain = make_test_chain(4, {"alice": 1_000_000, "bob": 5, "carol": 7}, **more)
        chain = self.tools.chain
        self.state = chain.first_state()
        self.trie = QuadTrie(dict(self.state.leaves()))
        self.history = KeptHistory()
        self.headers: list[CheckpointHeader] = [chain.anchor]
        self.views = [self.trie.snapshot()]
        self.receipts: list[Sequence[Receipt]] = [()]

    def add(self, transactions: Sequence[SignedTransaction] = (), *, ts_ms: int | None = None) -> CheckpointHeader:
        chain, last = self.tools.chain, self.headers[-1]
        ts_ms = last.ts_ms + 1_000 if ts_ms is None else ts_ms
        batches = [self.tools.certified(self.tools.batch(transactions))] if transactions else []
        result = execute_block(
            self.state,
            batches,
            ts_ms=ts_ms,
            payout_of_miner=chain.payout_of_miner,
            fee_shares_bps=chain.parameters.fee_shares_bps,
        )
        self.state.apply(result.change)
        self.trie.update(result.change.leaves())
        self.history.append(last.hash)
        header = CheckpointHeader(
            1,
            chain.chain_id,
            0,
            last.height + 1,
            bytes([last.height + 1]) * 32,
            last.hash,
            ts_ms,
            self.trie.root,
            result.receipts_root,
            self.history.root,
            chain.validators.hash,
            ZERO_HASH,
            chain.supply,
        )
        self.headers.append(header)
        self.views.append(self.trie.snapshot())
        self.receipts.append(result.receipts)
        return header

    def certified(self, height: int = -1, signers: Sequence[int] | None = None) -> CertifiedCheckpoint:
        return self.tools.certify_checkpoint(self.headers[height], signers)

    def proof(self, account: bytes, height: int = -1, asset: bytes = NATIVE) -> TrieProof:
        return self.views[height].prove(balance_leaf_id(account, asset))

    def answer(self, account: bytes, height: int = -1, asset: bytes = NATIVE) -> AccountAnswer:
        return AccountAnswer(2, self.certified(height), account, asset, self.proof(account, height, asset))

    def receipt(self, height: int, position: int, newest: int = -1) -> ReceiptProof:
        receipts, checkpoint = self.receipts[height], self.certified(newest)
        same = self.headers[height] is checkpoint.header
        data = receipt_proof(
            receipts=receipts,
            position=position,
            header=self.headers[height],
            checkpoint=checkpoint,
            path=merkle_path([encode(item) for item in receipts], position, RECEIPTS),
            history=None if same else self.history.prove(height, checkpoint.header.height),
        )
        return decode(ReceiptProof, data)


@pytest.fixture
def chain() -> Chainlet:
    chain = Chainlet()
    chain.add([chain.tools.transaction("alice", BOB, 100, 10), chain.tools.transaction("alice", BOB, 1, 1)])
    chain.add([chain.tools.transaction("alice", NOBODY, 2, 1)])
    chain.add()
    return chain


@pytest.fixture
def client(chain: Chainlet) -> LightClient:
    return LightClient(anchor_of(chain.tools.chain), verify)


def test_balances_absence_and_heads_are_proved(chain, client):
    alice = client.check_answer(encode(chain.answer(ALICE)), NOW_MS)
    assert (alice.account, alice.asset, alice.state) == (ALICE, NATIVE, chain.state.accounts[ALICE])
    assert (alice.exists, alice.amount, alice.header.height) == (True, chain.state.accounts[ALICE].balance, 3)
    assert alice.state.next_seq == 3
    nobody = client.check_answer(encode(chain.answer(test_key("ghost").public)), NOW_MS)
    assert (nobody.exists, nobody.amount, nobody.state.next_seq) == (False, 0, 0)


def test_the_anchor_itself_needs_no_certificate_and_is_the_floor(chain, client):
    assert client.header == chain.tools.chain.anchor
    assert client.age_ms(GENESIS_TIME_MS + 5) == 5
    assert client.age_ms(GENESIS_TIME_MS - 5) == 0


def test_a_repeated_checkpoint_costs_no_signature_checks(chain):
    calls: list[bytes] = []

    def counting(public: bytes, message: bytes, signature: bytes) -> bool:
        calls.append(public)
        return verify(public, message, signature)

    client = LightClient(anchor_of(chain.tools.chain), counting)
    data = encode(chain.certified())
    client.accept_checkpoint(data, NOW_MS)
    before = len(calls)
    client.accept_checkpoint(data, NOW_MS)
    assert len(calls) == before == 3


# --- attacks on an answer ---

Attack = Callable[[Chainlet], bytes]


def with_value(answer: AccountAnswer, value: bytes) -> bytes:
    return encode(msgspec.structs.replace(answer, proof=msgspec.structs.replace(answer.proof, value=value)))


def with_signatures(chain: Chainlet, signatures: Sequence[tuple[int, bytes]], account: bytes = ALICE) -> bytes:
    answer = chain.answer(account)
    forged = CertifiedCheckpoint(1, answer.checkpoint.header, tuple(signatures))
    # built by hand, since the honest builder refuses what the attacker writes
    raw = cbor2.loads(encode(answer))
    raw[2] = msgspec.to_builtins(forged, builtin_types=(bytes,))
    return cbor2.dumps(raw)


def forged_balance(chain: Chainlet) -> bytes:
    return with_value(chain.answer(ALICE), encode_account(Account(10**9, 3, chain.state.accounts[ALICE].head, 0)))


def state_root_of_the_liar(chain: Chainlet) -> bytes:
    leaf = account_leaf_id(ALICE)
    rich = QuadTrie({leaf: encode_account(Account(10**9, 0, ZERO_HASH, 0)), account_leaf_id(BOB): b"x"})
    header = msgspec.structs.replace(chain.headers[-1], state_root=rich.root)
    honest = chain.certified()
    forged = CertifiedCheckpoint(1, header, honest.signatures)
    return encode(AccountAnswer(2, forged, ALICE, NATIVE, rich.prove(leaf)))


def too_few(chain: Chainlet) -> bytes:
    return with_signatures(chain, chain.certified(signers=(0, 3)).signatures)


def counted_twice(chain: Chainlet) -> bytes:
    one, two, _ = chain.certified().signatures
    return with_signatures(chain, (one, two, two))


def out_of_order(chain: Chainlet) -> bytes:
    one, two, three = chain.certified().signatures
    return with_signatures(chain, (two, one, three))


def one_key_for_all(chain: Chainlet) -> bytes:
    (_, signature), *_ = chain.certified().signatures
    return with_signatures(chain, tuple((index, signature) for index in range(3)))


def key_outside_the_set(chain: Chainlet) -> bytes:
    one, two, _ = chain.certified().signatures
    header = chain.headers[-1]
    message = statement(chain.tools.chain_id, VoteKind.CHECKPOINT, 0, header.height, header.hash)
    return with_signatures(chain, (one, two, (2, test_key("stranger").sign(message))))


def index_outside_the_set(chain: Chainlet) -> bytes:
    one, two, (_, third) = chain.certified().signatures
    return with_signatures(chain, (one, two, (9, third)))


def votes_of_another_kind(chain: Chainlet) -> bytes:
    header = chain.headers[-1]
    finalize = chain.tools.certificate(VoteKind.FINALIZE, header.height, header.hash)
    return with_signatures(chain, finalize.signatures)


def votes_for_another_height(chain: Chainlet) -> bytes:
    return with_signatures(chain, chain.certified(-2).signatures)


def absence_forged_from_nothing(chain: Chainlet) -> bytes:
    empty = TrieProof(1, b"", b"", b"", b"", b"")
    return encode(AccountAnswer(2, chain.certified(), ALICE, NATIVE, empty))


def absence_of_another(chain: Chainlet) -> bytes:
    ghost = test_key("ghost").public
    return encode(AccountAnswer(2, chain.certified(), ALICE, NATIVE, chain.proof(ghost)))


def absence_by_dropping_the_value(chain: Chainlet) -> bytes:
    return with_value(chain.answer(ALICE), b"")


def proof_of_an_older_state(chain: Chainlet) -> bytes:
    return encode(AccountAnswer(2, chain.certified(), ALICE, NATIVE, chain.proof(ALICE, 1)))


def proof_of_another_account(chain: Chainlet) -> bytes:
    return encode(AccountAnswer(2, chain.certified(), ALICE, NATIVE, chain.proof(BOB)))


def with_a_long_integer(chain: Chainlet) -> bytes:
    data = encode(chain.answer(ALICE))
    place = data.index(b"\x66answer\x02") + 7
    return data[:place] + b"\x18\x02" + data[place + 1 :]


def another_chain(_chain: Chainlet) -> bytes:
    other = Chainlet(miners=2)
    other.add()
    return encode(other.answer(ALICE))


def another_validator_set(chain: Chainlet) -> bytes:
    keys = [test_key(f"mallory{index}") for index in range(4)]
    members = tuple(
        msgspec.structs.replace(member, key=key.public, node_id=key.public)
        for member, key in zip(chain.tools.validators.members, keys, strict=True)
    )
    header = msgspec.structs.replace(chain.headers[-1], validators_hash=ValidatorSet(members).hash)
    message = statement(chain.tools.chain_id, VoteKind.CHECKPOINT, 0, header.height, header.hash)
    forged = CertifiedCheckpoint(1, header, tuple((index, key.sign(message)) for index, key in enumerate(keys)))
    return encode(AccountAnswer(2, forged, ALICE, NATIVE, chain.proof(ALICE)))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (forged_balance, None),
        (state_root_of_the_liar, "bad-certificate"),
        (too_few, "bad-certificate"),
        (counted_twice, "bad-certificate"),
        (out_of_order, "bad-certificate"),
        (one_key_for_all, "bad-certificate"),
        (key_outside_the_set, "bad-certificate"),
        (index_outside_the_set, "bad-certificate"),
        (votes_of_another_kind, "bad-certificate"),
        (votes_for_another_height, "bad-certificate"),
        (absence_forged_from_nothing, None),
        (absence_of_another, None),
        (absence_by_dropping_the_value, None),
        (proof_of_an_older_state, None),
        (proof_of_another_account, None),
        (with_a_long_integer, "malformed"),
        (another_chain, "wrong-chain"),
        (another_validator_set, "unknown-set"),
        (lambda chain: encode(chain.answer(ALICE)) + b"\x00", "malformed"),
        (lambda chain: encode(chain.answer(ALICE))[:-1], "malformed"),
        (lambda chain: b"", "malformed"),
        (lambda chain: b"\x9f" * 100_000, "malformed"),
        (lambda chain: bytes((1 << 20) + 1), "malformed"),
    ],
)
def test_a_forged_answer_is_refused(chain, client, attack, code):
    with pytest.raises(RemoteProtocolError) as caught:
        client.check_answer(attack(chain), NOW_MS)
    assert code is None or caught.value.code == code
    assert client.check_answer(encode(chain.answer(ALICE)), NOW_MS).state == chain.state.accounts[ALICE]


@pytest.mark.parametrize("place", range(3))
def test_any_flipped_bit_of_a_header_is_refused(chain, client, place):
    data = bytearray(encode(chain.certified()))
    end = data.index(bytes([3]) * 32)  # the header's fields stand before and around its block hash
    data[end + place * 40] ^= 1
    with pytest.raises(RemoteProtocolError):
        client.accept_checkpoint(bytes(data), NOW_MS)


def test_a_header_beyond_the_age_is_no_current_balance(chain, client):
    header = chain.headers[-1]
    data = encode(chain.answer(ALICE))
    client.check_answer(data, header.ts_ms + 30_000)
    with pytest.raises(RemoteProtocolError, match="30001 ms old") as caught:
        client.check_answer(data, header.ts_ms + 30_001)
    assert caught.value.code == "too-old"


def test_a_header_from_the_future_is_refused_up_to_the_drift(chain, client):
    header = chain.headers[-1]
    with pytest.raises(RemoteProtocolError) as caught:
        client.accept_checkpoint(encode(chain.certified()), header.ts_ms - 2_001)
    assert caught.value.code == "future"
    assert client.header.height == 0
    assert client.accept_checkpoint(encode(chain.certified()), header.ts_ms - 2_000) == header


def test_never_below_the_highest_height_seen(chain, client):
    client.accept_checkpoint(encode(chain.certified(3)), NOW_MS)
    with pytest.raises(RemoteProtocolError) as caught:
        client.accept_checkpoint(encode(chain.certified(2)), NOW_MS)
    assert (caught.value.code, caught.value.penalty) == ("stale", 0)
    assert client.header.height == 3


def test_the_same_height_may_be_certified_by_others(chain, client):
    client.accept_checkpoint(encode(chain.certified(signers=(0, 1, 2))), NOW_MS)
    client.accept_checkpoint(encode(chain.certified(signers=(1, 2, 3))), NOW_MS)


def test_two_certified_headers_of_one_height_are_a_fork(chain, client):
    """Whoever brings the second of them is not to blame, and neither of the two is believed any more."""
    client.accept_checkpoint(encode(chain.certified()), NOW_MS)
    other = msgspec.structs.replace(chain.headers[-1], block_hash=bytes(32))
    receipt = chain.receipts[1][0]
    for use in (
        lambda: client.accept_checkpoint(encode(chain.tools.certify_checkpoint(other)), NOW_MS),
        lambda: client.accept_checkpoint(encode(chain.certified()), NOW_MS),
        lambda: client.check_answer(encode(chain.answer(ALICE)), NOW_MS),
        lambda: client.check_receipt(encode(chain.receipt(1, 0, 3)), receipt.transaction_id, NOW_MS),
    ):
        with pytest.raises(RemoteProtocolError, match="two certified headers exist at height 3") as caught:
            use()
        assert (caught.value.code, caught.value.penalty) == ("fork", 0)
    assert client.header == chain.headers[-1]


def test_a_receipt_of_a_header_that_contradicts_a_remembered_one_is_refused(chain, client):
    """A later header can prove another past only if its validators lie; what was seen of that past stands."""
    client.accept_checkpoint(encode(chain.certified(1)), NOW_MS)
    liar = Chainlet()
    liar.add([liar.tools.transaction("alice", BOB, 777, 10)])
    liar.add()
    liar.add()
    receipt = liar.receipts[1][0]
    with pytest.raises(RemoteProtocolError, match="contradicts one that was certified"):
        client.check_receipt(encode(liar.receipt(1, 0, 3)), receipt.transaction_id, NOW_MS)


def test_an_anchor_whose_validators_are_not_its_headers_is_refused(chain):
    honest = anchor_of(chain.tools.chain)
    fewer = ValidatorList(1, honest.validators.members[:3])
    with pytest.raises(RemoteProtocolError) as caught:
        LightClient(Anchor(1, honest.header, fewer), verify)
    assert caught.value.code == "bad-anchor"


def test_weights_decide_a_quorum_not_heads():
    chain = Chainlet(weights=(1, 1, 1, 10))
    chain.add()
    client = LightClient(anchor_of(chain.tools.chain), verify)
    with pytest.raises(RemoteProtocolError, match="weight 3"):
        client.accept_checkpoint(encode(chain.certified(signers=(0, 1, 2))), NOW_MS)
    client.accept_checkpoint(encode(chain.certified(signers=(3,))), NOW_MS)


def test_an_answer_is_put_together_from_its_parts(chain):
    answer = chain.answer(BOB)
    data = account_answer(encode(answer.checkpoint), BOB, NATIVE, encode(answer.proof))
    assert decode(AccountAnswer, data) == answer


# --- receipts ---


@pytest.mark.parametrize(("height", "position", "newest"), [(1, 0, 1), (1, 1, 3), (2, 0, 3), (2, 0, 2)])
def test_a_receipt_is_proved_under_its_own_or_a_later_header(chain, client, height, position, newest):
    receipt = chain.receipts[height][position]
    data = encode(chain.receipt(height, position, newest))
    assert client.check_receipt(data, receipt.transaction_id, NOW_MS) == receipt


def replaced(proof: ReceiptProof, **fields: object) -> ReceiptProof:
    return msgspec.structs.replace(proof, **fields)


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (
            lambda c, p: replaced(p, receipt=msgspec.structs.replace(p.receipt, status=1 - p.receipt.status)),
            "bad-receipt",
        ),
        (lambda c, p: replaced(p, receipt=msgspec.structs.replace(p.receipt, position=1)), "bad-receipt"),
        (lambda c, p: replaced(p, receipt=c.receipts[1][1]), "bad-receipt"),
        (lambda c, p: replaced(p, sides=1), "bad-receipt"),
        (lambda c, p: replaced(p, sides=2), "bad-receipt"),
        (lambda c, p: replaced(p, sides=2**63 - 1), "bad-receipt"),
        (lambda c, p: replaced(p, path=()), None),
        (lambda c, p: replaced(p, path=(*p.path, bytes(32))), None),
        (lambda c, p: replaced(p, header=c.headers[2]), None),
        (lambda c, p: replaced(p, history=()), "bad-receipt"),
        (lambda c, p: replaced(p, history=p.history * 2), "bad-receipt"),
        (lambda c, p: replaced(p, history=c.receipt(2, 0, 3).history), None),
        (lambda c, p: replaced(p, checkpoint=c.certified(2)), None),
        (lambda c, p: replaced(p, checkpoint=c.certified(1)), "bad-receipt"),
        (lambda c, p: replaced(p, checkpoint=c.certified(3, (0, 1))), "bad-certificate"),
        (lambda c, p: replaced(p, header=msgspec.structs.replace(p.header, receipts_root=bytes(32))), None),
    ],
)
def test_a_forged_receipt_is_refused(chain, client, attack, code):
    honest = chain.receipt(1, 0, 3)
    with pytest.raises(RemoteProtocolError) as caught:
        client.check_receipt(encode(attack(chain, honest)), chain.receipts[1][0].transaction_id, NOW_MS)
    assert code is None or caught.value.code == code


@pytest.mark.parametrize("size", range(1, 18))
def test_a_receipt_has_one_proof_whatever_the_number_of_receipts(size):
    """Nothing in a proof is free: every other `sides` of any length, or path, leads elsewhere."""
    leaves = [bytes([number]) for number in range(size)]
    root = merkle_root(leaves, RECEIPTS)
    for index in range(size):
        path, leaf = merkle_path(leaves, index, RECEIPTS), RECEIPTS.leaf_hash(leaves[index])
        good = [sides for sides in range(64) if sided_root(leaf, sides, path, RECEIPTS) == root]
        assert good == [path_sides(index, size)]
        assert sided_root(leaf, good[0], [*path, bytes(32)], RECEIPTS) != root
        assert not path or sided_root(leaf, good[0], path[:-1], RECEIPTS) != root
        assert not path or sided_root(leaf, good[0], [path[0][:31], *path[1:]], RECEIPTS) is None


def test_a_receipt_for_another_transaction_is_refused(chain, client):
    with pytest.raises(RemoteProtocolError) as caught:
        client.check_receipt(encode(chain.receipt(1, 0)), chain.receipts[1][1].transaction_id, NOW_MS)
    assert caught.value.code == "bad-receipt"


def test_a_receipt_under_a_checkpoint_of_the_future_is_refused(chain, client):
    with pytest.raises(RemoteProtocolError) as caught:
        client.check_receipt(encode(chain.receipt(1, 0)), chain.receipts[1][0].transaction_id, GENESIS_TIME_MS - 10_000)
    assert caught.value.code == "future"
