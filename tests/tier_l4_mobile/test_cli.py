"""The commands of L4, run in this process: their documents, exit statuses and errors (surface.md).

The edge that the online ones meet is a core on the real driver and loopback, in a thread, before a real ledger.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import trio
from chain_tools import TestChain, make_test_chain, test_key
from click.testing import CliRunner
from mobile_tools import PAYOUT, TERMS, Network

from supervm.common.contract.core import Effect, Input, Outbox, PeerUp, Received
from supervm.common.driver import Driver, Identity
from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE, NodeConfig, PeerAddress
from supervm.common.host.config_writer import write_config
from supervm.common.host.keyfile import NODE_KEY_FILE, make_key_file
from supervm.common.link.connection import LocalNode
from supervm.common.storage.memory import MemoryStore
from supervm.common.wallet import WALLET_FILE, Stretching, bip39_seed, create_wallet
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import encode
from supervm.protocol.base.derivation import account_seed
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.genesis import Chain, Parameters, genesis_asset_id, make_genesis
from supervm.protocol.wire.payments import LEVEL_R0, Status, StatusItem, Submit
from supervm.tier_l4_mobile.cli.access import NoOwner, ask_offline
from supervm.tier_l4_mobile.cli.balance import balance
from supervm.tier_l4_mobile.cli.issue import issue
from supervm.tier_l4_mobile.cli.pay import pay
from supervm.tier_l4_mobile.cli.queue import queue
from supervm.tier_l4_mobile.cli.run import l4
from supervm.tier_l4_mobile.cli.verify import verify as verify_command
from supervm.tier_l4_mobile.cli.wallet import wallet
from supervm.tier_l4_mobile.commands import COMMANDS
from supervm.tier_l4_mobile.options import OPTIONS

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
FAST = Stretching(passes=1, memory_bytes=8 << 10)
OWN = SigningKey(account_seed(bip39_seed(WORDS), 0)).public
BOB = encode_address(test_key("bob").public, test=True)
EDGE_KEY = test_key("edge")
GOLD = genesis_asset_id("gold")


def rich_network(name: str = "test") -> Network:
    """Return a network, a minute old, on which the wallet's first account has money."""
    known = make_test_chain(4)
    genesis, ordered = make_genesis(
        name=name,
        time_ms=time.time_ns() // 1_000_000 - 60_000,
        validators=known.chain.genesis.validators,
        miners=known.chain.genesis.miners,
        allocations=(Allocation(OWN, 1_000_000), Allocation(OWN, 500, GOLD)),
        assets=[("gold", test_key("mint").public)],
        parameters=Parameters(2, test_network=True),
    )
    tools = TestChain(Chain(genesis, verify, lambda: ordered), known.validator_keys, known.node_keys, known.miner_keys)
    return Network(tools=tools)


class EdgeCore:
    """An edge that executes at once what it is given."""

    deadline_us = None

    def __init__(self, network: Network) -> None:
        self.network = network
        self.outbox = Outbox()

    def step(self, now_us: int, event: Input) -> list[Effect]:
        if isinstance(event, PeerUp):
            self.outbox.send(event.peer, TERMS)
        if isinstance(event, Received):
            ts_ms = max(now_us // 1000, self.network.ledger.header.ts_ms + 1)  # two blocks of one time are a fork
            if isinstance(event.message, Submit):
                raws = event.message.transactions
                self.network.seal(raws, ts_ms=ts_ms)
                ids = [self.network.parse(raw).id for raw in raws]
                self.outbox.send(event.peer, Status(tuple(StatusItem(i, LEVEL_R0, "") for i in ids)))
                self.outbox.send(event.peer, self.network.proofs([OWN]))
            else:
                self.network.seal(ts_ms=ts_ms)
                for answer in self.network.answer(event.message):
                    self.outbox.send(event.peer, answer)
        return self.outbox.drain()


@pytest.fixture
def network() -> Network:
    return rich_network()


@pytest.fixture
def edge(network: Network) -> Iterator[str]:
    """Run an edge in a thread; give its address."""
    driver = Driver(
        EdgeCore(network),
        store=MemoryStore((), with_log=False),
        identity=Identity(EDGE_KEY, os.urandom(32), network.chain.chain_id),
        local=LocalNode(3, (), "edge", {}),
        listen="127.0.0.1:0",
    )
    found: list[str] = []
    ready, ended = threading.Event(), trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            found.extend(await nursery.start(driver.run))
            tokens.append(trio.lowlevel.current_trio_token())
            ready.set()
            await ended.wait()
            await driver.stop()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert ready.wait(10)
    yield found[0]
    tokens[0].run_sync_soon(ended.set)
    thread.join(10)


def make_folder(path: Path, network: Network, peers: tuple[PeerAddress, ...] = ()) -> Path:
    path.mkdir()
    (path / "genesis.cbor").write_bytes(encode(network.chain.genesis))
    make_key_file(path / NODE_KEY_FILE, bytes(range(32)))
    create_wallet(path / WALLET_FILE, "secret", words=WORDS, entropy=None, cost=FAST)
    config = NodeConfig(tier=4, directory=path, genesis=path / "genesis.cbor", peers=peers)
    write_config(path / CONFIG_FILE, config, OPTIONS, test_network=True)
    return path


@pytest.fixture
def folder(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUPERVM_PASSPHRASE", "secret")
    return make_folder(tmp_path / "phone", network)


@pytest.fixture
def online_folder(tmp_path: Path, network: Network, edge: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUPERVM_PASSPHRASE", "secret")
    return make_folder(tmp_path / "phone", network, (PeerAddress(EDGE_KEY.public, edge),))


def run(command: click.Command, *args: object) -> tuple[int, dict]:
    """Run a command with --json; return its exit status and its document."""
    result = CliRunner().invoke(command, [*map(str, args), "--json"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, json.loads(result.stdout)


def test_every_offer_is_a_command():
    for offer in COMMANDS:
        assert isinstance(offer.load(), click.Command)


def test_a_payment_can_be_queued_listed_and_cancelled_without_any_network(folder):
    status, paid = run(pay, "--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1, "--offline")
    assert (status, paid["status"]) == (0, "queued")
    status, listed = run(queue, "--dir", folder, "list")
    assert [p["id"] for p in listed["payments"]] == [paid["id"]]
    status, cancelled = run(queue, "--dir", folder, "cancel", paid["id"])
    assert (status, cancelled["status"]) == (0, "cancelled")
    status, again = run(queue, "cancel", "--dir", folder, paid["id"])
    assert status == 1
    assert "cannot be cancelled" in again["reason"]
    assert run(queue, "--dir", folder)[1]["total"] == 1


def test_flush_and_balance_say_no_when_no_edge_is_there(folder):
    run(pay, "--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1, "--offline")
    assert run(queue, "--dir", folder, "flush", "--timeout", 1)[0] == 1
    status, value = run(balance, "--dir", folder, "--timeout", 1)
    assert (status, value["proof_verified"], value["balance"]) == (1, False, None)


def test_paying_online_waits_for_the_edge_and_the_balance_is_proved(online_folder, tmp_path):
    status, paid = run(pay, "--dir", online_folder, "--to", BOB, "--amount", 5, "--fee", 1)
    assert status == 0
    assert paid["status"] in ("R0", "R4")
    assert len(paid["id"]) == 64
    answer = tmp_path / "own.answer"
    status, value = run(balance, "--dir", online_folder, "--answer", answer)
    assert (status, value["balance"], value["proof_verified"]) == (0, 999_994, True)
    assert value["age_s"] < 30
    status, checked = run(verify_command, answer, "--anchor", online_folder / "genesis.cbor")
    assert (status, checked["valid"], checked["balance"]) == (0, True, 999_994)
    assert checked["address"] == encode_address(OWN, test=True)
    late = int(time.time()) + 40
    status, checked = run(verify_command, answer, "--anchor", online_folder / "genesis.cbor", "--now", late)
    assert (status, checked["valid"], checked["code"]) == (1, False, "too-old")


def test_an_answer_is_checked_with_an_exported_anchor_and_refused_by_another_network(online_folder, tmp_path):
    answer, anchor, other = tmp_path / "answer", tmp_path / "anchor", tmp_path / "other"
    run(balance, "--dir", online_folder, BOB, "--answer", answer)
    run(l4, "export-anchor", online_folder / "genesis.cbor", "--out", anchor)
    status, checked = run(verify_command, answer, "--anchor", anchor)
    assert (status, checked["balance"], checked["exists"], checked["address"]) == (0, 0, False, None)
    other.write_bytes(encode(rich_network("other").chain.genesis))
    status, checked = run(verify_command, answer, "--anchor", other)
    assert (status, checked["code"]) == (1, "wrong-chain")
    answer.write_bytes(answer.read_bytes()[:-1])
    assert run(verify_command, answer, "--anchor", anchor)[0] == 1


def test_what_was_queued_offline_is_flushed_online(online_folder):
    for amount in (1, 2, 3):
        run(pay, "--dir", online_folder, "--to", BOB, "--amount", amount, "--fee", 1, "--offline")
    status, answer = run(queue, "--dir", online_folder, "flush")
    assert (status, answer["open"]) == (0, 3)
    statuses = [p["status"] for p in run(queue, "--dir", online_folder)[1]["payments"]]
    assert set(statuses) <= {"queued", "R4"}  # a claim is not kept over a restart, a proof is


def test_an_overdraft_is_refused_with_exit_status_one(online_folder):
    run(balance, "--dir", online_folder)
    status, paid = run(pay, "--dir", online_folder, "--to", BOB, "--amount", 10**9, "--fee", 1)
    assert (status, paid["status"]) == (1, "refused")
    assert "overdraft" in paid["reason"]


def test_an_asset_is_paid_issued_listed_and_its_balance_verified(online_folder, tmp_path):
    args = ("--dir", online_folder, "--to", BOB, "--amount", 20, "--asset", GOLD.hex(), "--fee", 1)
    status, paid = run(pay, *args)
    assert (status, len(paid["id"])) == (0, 64)
    status, made = run(issue, "--dir", online_folder, "--supply", 77, "--fee", 2, "--name", "tin")
    assert (status, made["asset"], made["supply"]) == (0, made["id"], 77)
    [first, second] = run(queue, "--dir", online_folder)[1]["payments"]
    assert (first["kind"], first["asset"], first["fee_asset"]) == ("transfer", GOLD.hex(), "svm")
    assert (second["kind"], second["asset"], second["amount"]) == ("issue", made["asset"], 77)
    status, all_ = run(balance, "--dir", online_folder)
    assert (status, all_["asset"], all_["balance"]) == (0, "svm", 1_000_000 - 3)
    held = {item["asset"]: item["balance"] for item in all_["holdings"]}
    assert held == {GOLD.hex(): 480, made["asset"]: 77}
    answer = tmp_path / "gold.answer"
    status, one = run(balance, "--dir", online_folder, "--asset", GOLD.hex(), "--answer", answer)
    assert (status, one["asset"], one["balance"], "holdings" in one) == (0, GOLD.hex(), 480, False)
    status, checked = run(verify_command, answer, "--anchor", online_folder / "genesis.cbor")
    assert (status, checked["asset"], checked["balance"], checked["next_seq"]) == (0, GOLD.hex(), 480, None)
    text = CliRunner().invoke(
        verify_command, [str(answer), "--anchor", str(online_folder / "genesis.cbor")], standalone_mode=False
    )
    assert f"has 480 of {GOLD.hex()} at height" in text.stdout
    assert run(balance, "--dir", online_folder, "--asset", "ab" * 32)[1]["balance"] == 0


def test_a_fee_that_the_edge_does_not_take_has_exit_status_one_also_offline(online_folder):
    run(balance, "--dir", online_folder)
    args = ("--dir", online_folder, "--fee", 1, "--fee-asset", GOLD.hex())
    for command in (
        (pay, *args, "--to", BOB, "--amount", 5),
        (pay, *args, "--to", BOB, "--amount", 5, "--offline"),
        (issue, *args, "--supply", 5, "--offline"),
    ):
        status, value = run(*command)
        assert (status, value["status"]) == (1, "refused")
        assert value["reason"].startswith("fee-not-taken")
        assert "takes at least 1 of svm" in value["reason"]
    assert run(queue, "--dir", online_folder)[1]["total"] == 0


def test_what_is_queued_offline_names_the_edge_that_was_used_last(online_folder, network):
    run(balance, "--dir", online_folder)
    status, paid = run(pay, "--dir", online_folder, "--to", BOB, "--amount", 5, "--fee", 1_000, "--offline")
    assert (status, len(paid["id"])) == (0, 64)
    run(queue, "--dir", online_folder, "flush")
    receipt = network.ledger.prove_receipt(bytes.fromhex(paid["id"]), network.checkpoint)
    assert receipt is not None, "it left as it was signed"
    assert network.ledger.state.accounts[PAYOUT].balance > 0


@pytest.mark.parametrize("option", ["--asset", "--fee-asset"])
def test_what_is_no_asset_is_wrong_input(folder, option):
    with pytest.raises(LocalProtocolError, match="is no asset"):
        run(pay, "--dir", folder, "--to", BOB, "--amount", 1, "--fee", 1, option, "gold")
    with pytest.raises(LocalProtocolError, match="is no asset"):
        run(balance, "--dir", folder, "--asset", "gold")


@pytest.mark.parametrize(
    "args",
    [
        ("--to", BOB, "--amount", "0", "--fee", "1"),
        ("--to", BOB, "--amount", "1", "--fee", "-1"),
        ("--to", BOB, "--amount", "x", "--fee", "1"),
        ("--amount", "1", "--fee", "1"),
    ],
)
def test_wrong_usage_of_pay_is_a_usage_error(folder, args):
    with pytest.raises(click.UsageError):
        run(pay, "--dir", folder, *args)


def test_a_wrong_address_is_named(folder):
    with pytest.raises(LocalProtocolError, match="not an address"):
        run(pay, "--dir", folder, "--to", "nobody", "--amount", 1, "--fee", 1)


def test_a_balance_of_what_is_no_address_and_an_unknown_status_are_wrong_input(folder):
    with pytest.raises(LocalProtocolError, match="not an address"):
        run(balance, "--dir", folder, "nobody")
    with pytest.raises(click.UsageError, match="bogus"):
        run(queue, "--dir", folder, "list", "--status", "bogus")
    assert run(queue, "--dir", folder, "cancel", "row-" + "9" * 5000)[0] == 1


def test_a_payment_whose_node_ends_before_it_answers_is_made_once(folder, monkeypatch):
    def takes_it_and_dies(directory, request):
        run_offline(directory, request, None)
        raise NoOwner("the node closed the connection")

    run_offline = ask_offline
    monkeypatch.setattr("supervm.tier_l4_mobile.cli.pay.ask_owner", takes_it_and_dies)
    assert run(pay, "--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1, "--offline")[0] == 0
    assert run(queue, "--dir", folder)[1]["total"] == 1


def test_no_wallet_is_made_where_its_words_could_not_be_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", "secret")
    (tmp_path / CONFIG_FILE).write_text("tier = 4\nnonsense = 1\n")
    with pytest.raises(InputError, match="no such key"):
        run(wallet, "new", "--dir", tmp_path)
    assert not (tmp_path / WALLET_FILE).exists()


def test_the_database_is_its_owners_alone(folder):
    run(pay, "--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1, "--offline")
    assert (folder / "node.sqlite").stat().st_mode & 0o077 == 0


def test_a_wrong_passphrase_opens_nothing(folder, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", "wrong")
    with pytest.raises(InputError, match="does not open"):
        run(pay, "--dir", folder, "--to", BOB, "--amount", 1, "--fee", 1, "--offline")


def test_a_wallet_is_made_once_and_shows_its_words_on_demand(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", "secret")
    _, made = run(wallet, "new", "--dir", tmp_path, "--words", 12)
    assert len(made["words"].split()) == 12
    assert made["address"].startswith("svm1")
    with pytest.raises(InputError, match="never overwritten"):
        run(wallet, "new", "--dir", tmp_path)
    assert run(wallet, "export", "--dir", tmp_path)[1]["words"] == made["words"]
    assert run(wallet, "address", "--dir", tmp_path)[1]["address"] == made["address"]
    shown = run(wallet, "show", "--dir", tmp_path, "--accounts", 3)[1]["accounts"]
    assert [item["account"] for item in shown] == [0, 1, 2]
    assert len({item["address"] for item in shown}) == 3


def test_without_a_terminal_words_come_from_standard_input_or_the_error_says_how(tmp_path):
    """No warning of a library's, no path in the library, no question into the void."""
    runner = CliRunner()
    folder = str(tmp_path / "new")
    done = runner.invoke(wallet, ["import", "--dir", folder], input="")
    assert isinstance(done.exception, InputError)
    assert "--words-file FILE or a line on standard input" in str(done.exception)
    assert "--passphrase-file FILE or SUPERVM_PASSPHRASE" in str(done.exception)
    done = runner.invoke(wallet, ["import", "--dir", folder], input=WORDS + "\n")
    assert "give --passphrase-file FILE or set SUPERVM_PASSPHRASE" in str(done.exception)
    assert not (tmp_path / "new").exists()
    done = runner.invoke(
        wallet, ["import", "--dir", folder, "--json"], input=WORDS + "\n", env={"SUPERVM_PASSPHRASE": "secret"}
    )
    assert (done.exit_code, json.loads(done.output)["address"]) == (0, encode_address(OWN, test=False))


def test_a_damaged_database_says_what_a_phone_must_not_do(folder):
    (folder / "node.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(InputError, match="is damaged: file is not a database; do not delete it") as error:
        run(queue, "--dir", folder, "list")
    assert f"{folder}/backups" in str(error.value)


def test_words_are_imported_and_a_genesis_says_which_network_it_is(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", "secret")
    (tmp_path / "words").write_text(WORDS + "\n")
    _, taken = run(wallet, "import", "--dir", tmp_path / "new", "--words-file", tmp_path / "words", "--test")
    assert taken["address"] == encode_address(OWN, test=True)
    assert run(wallet, "show", "--dir", folder)[1]["accounts"][0]["address"] == taken["address"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80"])
def test_files_that_are_no_anchor_are_input_errors(tmp_path, content):
    (tmp_path / "anchor").write_bytes(content)
    (tmp_path / "answer").write_bytes(b"")
    with pytest.raises(InputError, match="neither an anchor nor a genesis"):
        run(verify_command, tmp_path / "answer", "--anchor", tmp_path / "anchor")


def test_an_anchor_as_text_is_what_the_file_is(folder, tmp_path):
    encoded, text = tmp_path / "anchor", tmp_path / "anchor.txt"
    run(l4, "export-anchor", folder / "genesis.cbor", "--out", encoded)
    run(l4, "export-anchor", folder / "genesis.cbor", "--out", text, "--text")
    assert text.read_text().startswith("svm-anchor:")
    (tmp_path / "answer").write_bytes(b"\x80")
    told = [run(verify_command, tmp_path / "answer", "--anchor", file)[1]["reason"] for file in (encoded, text)]
    assert told[0] == told[1]
