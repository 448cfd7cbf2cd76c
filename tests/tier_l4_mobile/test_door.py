"""A node whose wallet is locked: it follows, proves and submits, and signs nothing until it is opened."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from chain_tools import test_key
from mobile_tools import SECOND_US, START_US, TERMS, Network

from supervm.common.contract.core import PeerUp, Received
from supervm.common.host.config import NodeConfig
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.common.wallet import WALLET_FILE, Stretching, change_passphrase, create_wallet, unlock_wallet
from supervm.common.wallet.tries import FREE_TRIES
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.keys import verify
from supervm.protocol.wire.payments import FeeTerms, LeafProofs, Submit, Subscribe
from supervm.tier_l4_mobile.config import mobile_options
from supervm.tier_l4_mobile.events import UnlockRefused, WalletLocked, WalletUnlocked
from supervm.tier_l4_mobile.messages import (
    Balance,
    Cancel,
    Flush,
    Info,
    Issue,
    IssueRow,
    Lock,
    Passwd,
    Pay,
    PayMany,
    PaymentRow,
    QueueList,
    ShowPayment,
    Unlock,
)
from supervm.tier_l4_mobile.node import MobileNode, Settings
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.vault import FileVault
from supervm.tier_l4_mobile.wallet.door import ChangeVault, OpenVault

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
SECRET = "correct horse"
CHEAP = Stretching(passes=1, memory_bytes=8 << 10)
EDGE, OTHER_EDGE = test_key("edge").public, test_key("other edge").public
BOB = encode_address(test_key("bob").public, test=False)
ROW = PaymentRow(to=BOB, amount=5, fee=1)


class Locker(HandDriver[MobileNode]):
    """A phone with a real wallet file; locked unless it is given the passphrase."""

    def __init__(self, network: Network, folder: Path, *, lock_after_s: int = 0) -> None:
        folder.mkdir()
        self.network, self.path = network, folder / WALLET_FILE
        self.configure("home", lock_after_s=lock_after_s)
        if not self.path.exists():
            create_wallet(self.path, SECRET, words=WORDS, entropy=None, cost=CHEAP)
        store = MemoryStore(TABLES, with_log=False)
        super().__init__(self._make(store), store, now_us=START_US)

    def _make(self, store: MemoryStore, passphrase: str | None = None) -> MobileNode:
        vault = FileVault(self.path, self.options)
        opened = None if passphrase is None else vault.open(passphrase, START_US)
        return MobileNode(
            self.network.chain,
            {} if opened is None else opened.keys,
            node_id=test_key("phone").public,
            peers=[(None, "127.0.0.1:9000")],
            reader=store,
            verify=verify,
            rng=random.Random(7),
            settings=Settings(
                {} if opened is None else opened.names,
                self.options.validity_ms,
                vault=vault,
                lock_after_us=self.options.lock_after_us,
            ),
        )

    def configure(self, *names: str, accounts: int = 1, lock_after_s: int = 0) -> None:
        """Set what the owner sets; it counts from the next start."""
        folder = self.path.parent
        (folder / "names.txt").write_text("".join(f"{name}\n" for name in names))
        values = {"accounts": accounts, "names": "names.txt", "lock_after_s": lock_after_s}
        config = NodeConfig(tier=4, directory=folder, genesis=folder / "genesis.cbor", tier_options=values)
        self.options = mobile_options(config)

    def again(self, passphrase: str | None = None) -> None:
        """Lose power and start again, locked or open."""
        self.restart(lambda store: self._make(store, passphrase))

    def connect(self, edge: bytes = EDGE, terms: FeeTerms = TERMS) -> None:
        self.step(PeerUp(edge, 3, (), 0, "127.0.0.1:9000"))
        self.step(Received(edge, terms))
        self.prove(edge)

    def prove(self, edge: bytes = EDGE) -> None:
        self.step(Received(edge, self.network.proofs(self.core.queue.lanes)))

    def refusal(self, request: object) -> str:
        token = self.ask(request)
        self.work()
        reply = self.replies.pop(token)
        assert reply.error is not None, reply
        return reply.error

    def submitted(self) -> list[bytes]:
        return [raw for message in self.take(Submit) for raw in message.transactions]


@pytest.fixture
def own(tmp_path) -> bytes:
    create_wallet(tmp_path / "w", SECRET, words=WORDS, entropy=None, cost=CHEAP)
    return unlock_wallet(tmp_path / "w", SECRET).account(0).public


@pytest.fixture
def network(own, monkeypatch) -> Network:
    found = Network(alice=1_000_000)
    found.seal([_pay(found, own)])
    return found


def _pay(network: Network, to: bytes) -> bytes:
    from supervm.protocol.money.transaction import sign_transfer

    state = network.proved(network.account("alice")).account
    return sign_transfer(
        network.key("alice"),
        chain_id=network.chain.chain_id,
        seq=state.next_seq,
        prev=state.head,
        to=to,
        amount=100_000,
        fee=1,
        valid_until_ms=START_US // 1000 + 3_600_000,
    ).raw


@pytest.fixture
def phone(network, tmp_path) -> Locker:
    return Locker(network, tmp_path / "phone")


def test_the_first_unlocking_makes_the_accounts_known_and_they_stay_known(phone, own):
    phone.connect()
    info = phone.call(Info())
    assert (info["locked"], info["accounts"]) == (True, [])
    assert any("never opened" in text for text in info["problems"])
    assert "never unlocked" in phone.refusal(Pay(ROW))
    assert phone.call(Unlock(SECRET)) == {"locked": False, "locks_in_s": None}
    assert phone.told(WalletUnlocked)
    assert phone.take(Subscribe)[-1].accounts == (own,)
    phone.prove()
    assert phone.call(Pay(ROW))["seq"] == 0
    phone.again()
    info = phone.call(Info())
    assert (info["locked"], [item["address"] for item in info["accounts"]]) == (True, [_text(own)])
    assert info["accounts"][0]["proved"] is True


def _text(account: bytes) -> str:
    return encode_address(account, test=False)


def test_a_locked_node_proves_and_submits_what_is_signed_and_takes_its_fate(phone, network):
    phone.again(SECRET)
    phone.connect()
    phone.down(EDGE)
    paid = phone.call(Pay(ROW))
    assert paid["status"] == "queued"
    phone.again()
    assert phone.core.queue.is_locked
    phone.connect()
    [raw] = phone.submitted()
    assert network.parse(raw).id.hex() == paid["id"]
    network.seal([raw])
    phone.prove()
    assert phone.call(ShowPayment(paid["id"]))["status"] == "R4"
    token = phone.ask(Balance())
    phone.prove()
    value = phone.replies[token].value
    assert (value["balance"], value["proof_verified"]) == (99_994, True)


def test_what_needs_a_key_says_so_and_logs_nothing(phone):
    phone.again(SECRET)
    phone.connect()
    known = phone.call(Pay(PaymentRow(to=BOB, amount=5, fee=1, key="k")))
    assert phone.call(Lock()) == {"locked": True, "locks_in_s": None}
    assert [event.reason for event in phone.told(WalletLocked)] == ["its owner locked it"]
    for request in (Pay(ROW), Issue(IssueRow(supply=5, fee=1)), PayMany((ROW, ROW))):
        assert phone.refusal(request).startswith("the wallet is locked, and a payment needs its key: unlock it")
    assert phone.call(PayMany((PaymentRow(to=BOB, amount=5, fee=1, key="k"),)))["payments"][0]["id"] == known["id"]
    assert phone.call(QueueList())["total"] == 1
    assert phone.call(Flush())["open"] == 1


def test_what_must_be_signed_again_waits_for_the_key(phone, network):
    phone.again(SECRET)
    phone.connect()
    phone.down(EDGE)
    first, second = (phone.call(Pay(ROW, offline=True)) for _ in range(2))
    phone.call(Lock())
    assert phone.call(Cancel(first["id"]))["status"] == "cancelled"
    waiting = phone.call(QueueList(statuses=("queued",)))["payments"][0]
    assert (waiting["seq"], waiting["reason"]) == (None, "it waits to be signed until the wallet is unlocked")
    assert any("1 payments wait to be signed" in text for text in phone.call(Info())["problems"])
    phone.again()
    phone.connect()
    phone.call(Flush())
    assert phone.submitted() == []
    phone.call(Unlock(SECRET))
    [raw] = phone.submitted()
    shown = phone.call(ShowPayment(second["id"]))
    assert (shown["id"], shown["seq"], shown["reason"]) == (network.parse(raw).id.hex(), 0, None)


def test_a_locked_node_takes_what_is_signed_to_another_edge_as_it_is(phone, network):
    phone.again(SECRET)
    phone.connect()
    phone.down(EDGE)
    paid = phone.call(Pay(ROW))
    phone.call(Lock())
    other = FeeTerms(test_key("other payout").public, TERMS.fees)
    phone.connect(OTHER_EDGE, other)
    [raw] = phone.submitted()
    assert network.parse(raw).id.hex() == paid["id"]


def test_a_wrong_passphrase_is_refused_said_without_it_and_has_to_wait(phone):
    for _ in range(FREE_TRIES):
        assert "does not open" in phone.refusal(Unlock("wrong secret"))
    assert "in 30 s" in phone.refusal(Unlock(SECRET))
    phone.again()
    assert "in 30 s" in phone.refusal(Unlock(SECRET))
    phone.wait(30 * SECOND_US)
    phone.call(Unlock(SECRET))
    told = phone.told(UnlockRefused)
    assert told
    for event in (*told, *phone.told(WalletUnlocked)):
        assert SECRET not in repr(event)
        assert "wrong secret" not in repr(event)
    for hidden in (Unlock(SECRET), Passwd(SECRET, SECRET), OpenVault((("v", SECRET, 0),)), ChangeVault(())):
        assert SECRET not in repr(hidden)


def test_one_try_at_a_time(phone):
    phone.work_at_once = False
    first, second = phone.ask(Unlock(SECRET)), phone.ask(Unlock("wrong"))
    assert "being tried" in phone.replies[second].error
    assert first not in phone.replies
    phone.work()
    assert phone.replies[first].value["locked"] is False


def test_it_locks_by_itself_when_it_is_not_used(network, tmp_path):
    phone = Locker(network, tmp_path / "p", lock_after_s=60)
    assert phone.call(Unlock(SECRET))["locks_in_s"] == 60
    phone.wait(59 * SECOND_US)
    phone.call(Pay(ROW))
    phone.wait(59 * SECOND_US)
    assert phone.call(Info())["locks_in_s"] == 1
    assert not phone.core.queue.is_locked
    phone.wait(SECOND_US)
    assert phone.core.queue.is_locked
    assert [event.reason for event in phone.told(WalletLocked)] == ["it was not used"]
    phone.again(SECRET)
    phone.wait(60 * SECOND_US)
    assert phone.core.queue.is_locked


def test_another_passphrase_by_request_and_beside_the_running_node(phone):
    assert phone.call(Passwd(SECRET, "battery staple"))["locked"] is True
    assert "does not open" in phone.refusal(Unlock(SECRET))
    assert "does not open" in phone.refusal(Passwd(SECRET, "another one"))
    change_passphrase(phone.path, "battery staple", "a third phrase", cost=CHEAP)
    phone.call(Unlock("a third phrase"))


def test_another_wallet_in_its_place_is_not_taken(phone):
    phone.call(Unlock(SECRET))
    phone.call(Lock())
    phone.path.unlink()
    create_wallet(phone.path, SECRET, words=None, entropy=bytes(32), cost=CHEAP)
    assert "another wallet than the one" in phone.refusal(Unlock(SECRET))
    assert phone.core.queue.is_locked


def test_more_accounts_than_were_known_are_followed_once_it_is_open(phone, network):
    phone.call(Unlock(SECRET))
    phone.configure("home", "shop", accounts=3)
    phone.again()
    phone.connect()
    phone.take(Subscribe)
    phone.call(Unlock(SECRET))
    assert [item["name"] for item in phone.call(Info())["accounts"]] == ["home", "shop", None]
    assert [len(message.accounts) for message in phone.take(Subscribe)] == [2]
    phone.configure("home")
    phone.again(SECRET)
    phone.again()
    assert len(phone.call(Info())["accounts"]) == 1


def test_a_node_that_was_given_its_keys_has_nothing_to_unlock(network):
    from mobile_tools import Phone

    phone = Phone(network)
    for request in (Unlock(SECRET), Lock(), Passwd(SECRET, SECRET)):
        token = phone.ask(request)
        assert "given its keys" in phone.replies[token].error


def test_a_first_proof_while_locked_signs_nothing(phone, network):
    phone.again(SECRET)
    phone.call(Pay(ROW))
    phone.again()
    phone.connect()
    assert phone.core.queue.lanes[next(iter(phone.core.queue.lanes))].proved is not None
    assert phone.submitted() == []
    assert isinstance(network.proofs(phone.core.queue.lanes), LeafProofs)
    phone.call(Unlock(SECRET))
    assert len(phone.submitted()) == 1
