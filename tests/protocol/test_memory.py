"""With a memory every answer is the same, and computed once; nothing that can change or was refused is kept."""

from __future__ import annotations

import msgspec
import pytest
from protocol_samples import agreed_samples
from reach_samples import reach_agreed

from supervm.protocol.base import memory as module
from supervm.protocol.base.codec import Agreed, decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.base.memory import Half, Memory, remembering
from supervm.protocol.chain.validators import Validator, ValidatorSet
from supervm.protocol.chain.votes import VoteKind, check_certificate, make_certificate, statement
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import Account, AccountLeaf, encode_account
from supervm.protocol.state.trie import QuadTrie

SAMPLES = agreed_samples() | reach_agreed()
LEAF = AccountLeaf(1, 5, 6, bytes(32), 0)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_an_object_is_read_once_and_its_bytes_are_those_that_were_read(sample: Agreed) -> None:
    data, kind = encode(sample), type(sample)
    with remembering(Memory()):
        value = decode(kind, data)
        assert value == sample
        assert decode(kind, bytes(bytearray(data))) is value
        assert encode(value) is data
        assert encode(sample) == data
        assert encode(sample) is encode(sample)
    assert decode(kind, data) is not value


def test_kinds_are_told_apart_and_refusals_are_not_remembered() -> None:
    data = encode(LEAF)
    with remembering(Memory()):
        assert decode(AccountLeaf, data) == LEAF
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                decode(Transfer, data)
            with pytest.raises(RemoteProtocolError):
                decode(AccountLeaf, data + b"\0")
        with pytest.raises(RemoteProtocolError, match="at most 3"):
            decode(AccountLeaf, data, bytes_max=3)


def test_the_older_half_is_forgotten_and_answers_never_change() -> None:
    memory = Memory(bytes_max=2_000, accounts_max=20)
    leaves = [AccountLeaf(1, number, 6, bytes(32), 0) for number in range(1_000)]
    with remembering(memory):
        written = [encode(leaf) for leaf in leaves]
        assert [encode(leaf) for leaf in leaves] == written
        assert memory.written(leaves[0]) is None
        assert memory.written(leaves[-1]) == written[-1]
        assert [decode(AccountLeaf, data) for data in written] == leaves
        assert memory.read(AccountLeaf, written[0]) is None
        accounts = [Account(number, 6, bytes(32), 0) for number in range(1_000)]
        assert [encode_account(account) for account in accounts] == written


def test_what_is_asked_for_again_is_kept() -> None:
    half: Half[int] = Half(10)
    half.put("old", 1, 1)
    for number in range(100):
        half.put(number, number, 1)
        assert half.get("old") == 1
    assert half.get(0) is None
    assert half.get("new") is None


def test_what_can_change_is_not_kept() -> None:
    class Mutable(msgspec.Struct, array_like=True):
        number: int

    item = Mutable(1)
    with remembering(Memory()):
        before = encode(item)
        item.number = 2
        assert encode(item) != before


def test_equal_updates_of_equal_trees_share_one_tree() -> None:
    steps = [
        {bytes([number]) * 33: b"value" for number in range(40)},
        {bytes([3]) * 33: b"", bytes([90]) * 65: b"more"},
        {bytes([3]) * 33: b"again"},
    ]
    alone, one, other = QuadTrie(), QuadTrie(), QuadTrie()
    with remembering(Memory()):
        for changes in steps:
            undo = one.update(changes)
            other.update(dict(changes))
            assert one._view._tree is other._view._tree
            assert len(one) == len(other)
        with pytest.raises(LocalProtocolError):
            one.update({b"short": b"value"})
        one.revert(undo)
    for changes in steps:
        alone.update(changes)
    assert list(alone.items()) == list(other.items())
    assert (alone.root, len(alone)) == (other.root, len(other))
    assert one.root != other.root


def test_a_certificate_is_checked_once_for_each_set_and_rule_and_whoever_counts_is_told() -> None:
    keys = [SigningKey(bytes([number]) * 32) for number in range(1, 5)]
    members = [Validator(1, key.public, bytes([90 + index]) * 32, 1, bytes(32)) for index, key in enumerate(keys)]
    validators, others = ValidatorSet(members), ValidatorSet(members[::-1])
    chain_id, digest = bytes(32), bytes([7]) * 32
    said = statement(chain_id, VoteKind.NOTARIZE, 0, 3, digest)
    signatures = {index: key.sign(said) for index, key in enumerate(keys[:3])}
    good = make_certificate(VoteKind.NOTARIZE, 0, 3, digest, signatures)
    bad = make_certificate(VoteKind.NOTARIZE, 0, 3, digest, signatures | {2: bytes(64)})
    checks: list[bytes] = []
    spared: list[int] = []

    def counted(public: bytes, message: bytes, signature: bytes) -> bool:
        checks.append(public)
        return verify(public, message, signature)

    with remembering(Memory(spared=spared.append)):
        for _ in range(3):
            check_certificate(good, chain_id, validators, counted)
        assert (len(checks), spared) == (3, [3, 3])
        with pytest.raises(RemoteProtocolError, match="required"):
            check_certificate(good, chain_id, validators, counted, kind=VoteKind.NULLIFY)
        for set_, chain, certificate in (
            (others, chain_id, good),
            (validators, bytes([1]) * 32, good),
            (validators, chain_id, bad),
            (validators, chain_id, bad),
        ):
            with pytest.raises(RemoteProtocolError, match="is invalid"):
                check_certificate(certificate, chain, set_, counted)
        with pytest.raises(RemoteProtocolError, match="is invalid"):
            check_certificate(good, chain_id, validators, lambda *_: False)
    assert spared == [3, 3]
    check_certificate(good, chain_id, validators, counted)
    assert spared == [3, 3]


def test_a_memory_is_in_use_only_inside() -> None:
    outer, inner = Memory(), Memory()
    assert module.active is None
    with remembering(outer):
        with remembering(inner):
            assert module.active is inner
        assert module.active is outer
        with remembering(None):
            assert module.active is None
    assert module.active is None
