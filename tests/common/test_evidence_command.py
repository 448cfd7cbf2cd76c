"""`supervm evidence` (consensus.md 2.10): proved, not proved, not readable."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chain_tools import make_test_chain
from evidence_samples import evidence_samples
from msgspec.structs import replace
from protocol_samples import agreed_samples, sample_chain
from told import told
from trust_tools import chain_of, forged

from supervm.common.cli import main
from supervm.common.host.log import Log
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.evidence import bad_batch, double_vote
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.light.forks import checkpoint_fork

CHAIN = sample_chain()
SAMPLES = evidence_samples()
PAIR = SAMPLES["E1 two blocks"][0]


@pytest.fixture
def genesis(tmp_path: Path) -> str:
    path = tmp_path / "genesis.cbor"
    path.write_bytes(encode(CHAIN.chain.genesis))
    return str(path)


def shown(path: Path, genesis: str, capsys: pytest.CaptureFixture[str], status: int = 0) -> SimpleNamespace:
    """Run the command with ``--json``."""
    assert main(["evidence", str(path), "--genesis", genesis, "--json"]) == status
    return SimpleNamespace(**json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_kind_is_proved(name: str, tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]) -> None:
    evidence, culprit = SAMPLES[name]
    path = tmp_path / "evidence.cbor"
    path.write_bytes(encode(evidence))
    said = shown(path, genesis, capsys)
    if culprit.validator is None:
        node_id = CHAIN.miner_keys[1].public
        assert said.who == f"miner {encode_node_id(node_id)}"
    else:
        node_id = CHAIN.node_keys[culprit.validator].public
        assert said.who == f"validator {culprit.validator}"
    assert (said.proved, said.reason, said.kind, said.validator) == (True, None, culprit.kind, culprit.validator)
    assert (said.node_id, said.epoch) == (encode_node_id(node_id), 0)

    assert main(["evidence", str(path), "--genesis", genesis]) == 0
    assert capsys.readouterr().out == f"proved ({culprit.kind}): {said.who} {said.what}\n"


def test_people_are_told_what_was_done(tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evidence.cbor"
    told = []
    for name in ("E1 two blocks", "E2", "E3", "E6 a gap", "E7 unreadable"):
        path.write_bytes(encode(SAMPLES[name][0]))
        told.append(shown(path, genesis, capsys).what)
    assert told[0] == f"signed two Notarize votes for view 7: for {'61' * 32} and {'62' * 32}"
    assert told[1] == "signed both Nullify and Finalize of view 1099511627776"
    assert told[2] == f"signed two Checkpoint votes for height 12: for {'61' * 32} and {'62' * 32}"
    assert "of view 4, which carries no proof that it may extend its parent" in told[3]
    assert "whose entry 3 is not a transaction of this chain with its sender's signature" in told[4]


def log_line(**fields: object) -> bytes:
    """Return the line that a node's log has for the event."""
    stream = io.StringIO()
    Log(None, "info", now_ms=lambda: 0, stream=stream)(told("evidence", "warning", **fields))
    return stream.getvalue().encode()


@pytest.mark.parametrize("form", ["hex", "HEX", "hex and newline", "log line"])
def test_text_is_read_as_well(form: str, tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]) -> None:
    digits = encode(PAIR).hex()
    text = {"hex": digits, "HEX": digits.upper(), "hex and newline": f" {digits}\n"}.get(form, "").encode()
    path = tmp_path / "evidence.txt"
    path.write_bytes(text or log_line(kind="E1", validator=1, evidence=digits))
    assert shown(path, genesis, capsys).who == "validator 1"


def test_standard_input_is_read(
    genesis: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = log_line(kind="E1", validator=1, evidence=encode(PAIR).hex())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(line)))
    assert main(["evidence", "-", "--genesis", genesis]) == 0
    assert capsys.readouterr().out.startswith("proved (E1): validator 1 ")


OUTSIDER = make_test_chain(4, {"alice": 1_000_000, "bob": 2**40}, miners=3)
NOTHING = {
    "the same vote twice": (double_vote(PAIR.first, PAIR.first), "for the same"),  # type: ignore[union-attr]
    "another chain": (
        double_vote(*(OUTSIDER.vote(1, VoteKind.NOTARIZE, 7, digest) for digest in (b"a" * 32, b"b" * 32))),
        "not signed by validator 1",
    ),
    "another epoch": (
        double_vote(*(CHAIN.vote(1, VoteKind.NOTARIZE, 7, digest, epoch=5) for digest in (b"a" * 32, b"b" * 32))),
        "about epoch 5;",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_proves_nothing_is_a_no(
    name: str, tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence, reason = NOTHING[name]
    path = tmp_path / "evidence.cbor"
    path.write_bytes(encode(evidence))
    said = shown(path, genesis, capsys, status=1)
    assert not said.proved
    assert reason in said.reason
    assert main(["evidence", str(path), "--genesis", genesis]) == 1
    assert capsys.readouterr().out == f"not proved: {said.reason}\n"


def test_a_stranger_is_no_miner_of_the_network(
    tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody can make a key and sign a bad batch with it."""
    chain = sample_chain()
    chain.miner_keys = OUTSIDER.miner_keys
    transaction = OUTSIDER.transaction("alice", OUTSIDER.account("bob"))
    path = tmp_path / "evidence.cbor"
    path.write_bytes(encode(bad_batch(chain.batch([transaction], miner=2), 0)))
    assert "is not a miner of this network" in shown(path, genesis, capsys, status=1).reason


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no evidence: bytes, their hexadecimal digits or a line of a log are needed"),
        (b"hello", "'hello' is no evidence"),
        (b"abc", "'abc' is no evidence"),
        (b"\xff" * 40, "this is no evidence: the bytes are no evidence"),
        (encode(PAIR)[:-1], "this is no evidence: DoubleVote cannot be read"),
        (encode(CHAIN.genesis_header), "this is no evidence"),
        (encode(CHAIN.genesis_header).hex().encode(), "this is no evidence"),
        (b'{"event":"peer-fault","code":"bad-vote"}', "has no field evidence"),
        (b'{"event":"evidence","evidence":["80"]}', "is no evidence"),
        (b'{"event":"evidence"}\n{"event":"evidence"}', "this is not one line of a log"),
        (b"{" * 5_000, "this is not one line of a log"),
        (b"ab" * (1 << 20), "is longer than 1048576 bytes"),
    ],
    ids=lambda item: item[:30] if isinstance(item, str) else "data",
)
def test_what_cannot_be_read_is_wrong_input(
    data: bytes, said: str, tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evidence.cbor"
    path.write_bytes(data)
    assert main(["evidence", str(path), "--genesis", genesis]) == 2
    err = capsys.readouterr().err
    assert str(path) in err
    assert said in err
    assert err.count("\n") == 1


def test_files_are_named_when_they_are_wrong(tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evidence.cbor"
    path.write_bytes(encode(PAIR))
    assert main(["evidence", str(path), "--genesis", str(path)]) == 2
    assert f"{path}: this is not a genesis file" in capsys.readouterr().err
    assert main(["evidence", str(tmp_path / "nothing"), "--genesis", genesis]) == 2
    assert "nothing" in capsys.readouterr().err
    assert main(["evidence", str(path)]) == 2
    assert "--genesis" in capsys.readouterr().err


FORK = agreed_samples()["CheckpointFork"]


def test_a_fork_is_proved_and_names_who_signed_both(
    tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fork"
    path.write_text(encode(FORK).hex())
    said = shown(path, genesis, capsys)
    assert (said.proved, said.kind, said.height, said.epoch) == (True, "fork", 2, 0)
    assert said.what == "two certified headers exist at height 2"
    assert (said.validators, said.node_ids) == ([1, 2], [encode_node_id(CHAIN.node_keys[i].public) for i in (1, 2)])
    path.write_text(json.dumps({"event": "evidence", "kind": "fork", "evidence": encode(FORK).hex()}))
    assert main(["evidence", str(path), "--genesis", genesis]) == 0
    assert capsys.readouterr().out == f"proved (fork): {said.what}; validators 1, 2 signed both\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda fork: replace(fork, second=fork.first), "not in ascending order"),
        (lambda fork: replace(fork, first=replace(fork.first, signatures=fork.first.signatures[:2])), "weight 2"),
    ],
)
def test_what_is_no_fork_is_not_proved(
    change: Any, reason: str, tmp_path: Path, genesis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fork"
    path.write_bytes(encode(change(FORK)))
    assert reason in shown(path, genesis, capsys, 1).reason


def test_a_fork_of_later_validators_needs_their_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = chain_of((4, 5, 6, 7))
    genesis, record, path = tmp_path / "g", tmp_path / "epoch", tmp_path / "fork"
    genesis.write_bytes(encode(chain.chain.genesis))
    record.write_bytes(encode(chain.ledger.epoch))
    rival = forged(chain, chain.checkpoints[-1], 1, state_root=b"x" * 32)
    path.write_bytes(encode(checkpoint_fork(chain.certified(), rival)))
    assert "--epoch gives the record" in shown(path, str(genesis), capsys, 1).reason
    assert main(["evidence", str(path), "--genesis", str(genesis), "--epoch", str(record)]) == 0
    assert "validators 0, 1, 2, 3 signed both" in capsys.readouterr().out
