"""``supervm net``: what a person sees of a node's peers and of nodes that it finds, through a real control socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_tools import GENESIS_TIME_MS, test_key
from reach_node import CHAIN_ID, ReachNode
from reach_samples import phone_record, sample_record

from supervm.common.cli.program import main
from supervm.common.contract.core import Reply
from supervm.common.parts.directory.messages import FindNodes, ListPeers
from supervm.common.services.control import Control, Events
from supervm.common.services.lines import SOCKET_FILE
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.reach.record import Ability
from supervm.protocol.wire.reach import RecordPut

NOW_US = (GENESIS_TIME_MS + 1_000) * 1_000
WORD = ("reach1",)


def name_of(name: str) -> str:
    return encode_node_id(test_key(name).public)


class Node:
    """An edge that knows a phone and two edges, with its control socket."""

    def __init__(self, folder: Path) -> None:
        store = MemoryStore(ReachNode.declared_tables())
        self.hand = HandDriver(ReachNode(test_key("me"), (), (), store), store, now_us=NOW_US)
        self.hand.up(test_key("phone").public, 4, features=WORD)
        self.hand.up(test_key("big").public, 3, features=WORD)
        big = sample_record("big", chain_id=CHAIN_ID, region="eu", ability=Ability(1, 64, 128, 100, 10, 1))
        small = sample_record("small", chain_id=CHAIN_ID, region="us")
        phone = phone_record("phone", chain_id=CHAIN_ID)
        self.hand.receive(test_key("phone").public, RecordPut((encode(phone),)))
        self.hand.receive(test_key("big").public, RecordPut((encode(big), encode(small))))
        self.control = Control(
            folder / SOCKET_FILE,
            requests=FindNodes | ListPeers,
            command=self.command,
            metrics=dict,
            events=Events(),
        )

    def command(self, request: Any, on_reply: Callable[[Reply], None]) -> None:
        on_reply(self.hand.replies.pop(self.hand.ask(request)))


@pytest.fixture
async def node(tmp_path: Path, nursery: trio.Nursery) -> Node:
    made = Node(tmp_path)
    await nursery.start(made.control.run)
    return made


async def net(*words: str) -> int:
    return await trio.to_thread.run_sync(main, ["net", *words])


async def test_the_peers_of_a_node(node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await net("peers", "--dir", str(tmp_path), "--json") == 0
    documents = {document["node"]: document for document in json.loads(capsys.readouterr().out)}
    assert documents.keys() == {name_of("phone"), name_of("big")}
    assert documents[name_of("big")]["record"]["region"] == "eu"
    assert await net("peers", "--dir", str(tmp_path)) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["node", "tier", "address", "chosen", "load", "region"]
    assert sorted(line.split()[:2] for line in lines) == sorted([[name_of("big"), "L3"], [name_of("phone"), "L4"]])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--tier", "3"], ["big", "small"]),
        (["--tier", "3", "--region", "eu"], ["big"]),
        (["--tier", "3", "--tier", "4", "--limit", "1", "--region", "eu"], ["big"]),
        (["--cores", "64", "--gpus", "1"], ["big"]),
        (["--task", "execution"], []),
        (["--latency-max", "65535"], []),
        (["--task", "query", "--region", "us"], ["small"]),
        ([name_of("phone")], ["phone"]),
        ([name_of("small"), name_of("nobody")], ["small"]),
        ([name_of("nobody")], []),
    ],
)
async def test_nodes_by_id_and_by_what_they_can_do(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], found: list[str]
) -> None:
    assert await net("find", "--dir", str(tmp_path), "--json", *words) == (0 if found else 1)
    documents = json.loads(capsys.readouterr().out)
    assert sorted(document["node"] for document in documents) == sorted(map(name_of, found))
    assert await net("find", "--dir", str(tmp_path), *words) == (0 if found else 1)
    shown = capsys.readouterr().out
    assert all(name_of(name) in shown for name in found)
    assert found or shown == "no such node is known\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["find", "svmnode1nothing"], "'svmnode1nothing' is no node id"),
        (["find", "--tier", "5"], "5 is not in the range 1<=x<=4"),
        (["find", "--region", "a region of more than sixteen characters"], "this cannot be asked for"),
        (["find", "--load-max", "1e1"], "'1e1' is not a valid integer"),
        (["find", *[name_of(str(number)) for number in range(11)]], "11 node ids are given; at most 10"),
        (["find", "--task", "sleep"], "'sleep' is not one of"),
        (["peers"], "no node runs there"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    assert main(["net", *words, "--dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1


async def test_a_node_that_does_not_find_others_says_which_key_is_missing(
    tmp_path: Path, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    control = Control(
        tmp_path / SOCKET_FILE,
        requests=FindNodes | ListPeers,
        command=lambda _request, on_reply: on_reply(Reply(1, None, "an L3 takes no request ListPeers")),
        metrics=dict,
        events=Events(),
    )
    await nursery.start(control.run)
    assert await net("peers", "--dir", str(tmp_path)) == 2
    assert "find_peers = true" in capsys.readouterr().err
    nursery.cancel_scope.cancel()
