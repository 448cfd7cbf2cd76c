"""A page in a headless Chromium connects to a running L3 by a data channel, and shows a balance that it has proved.

The page's own light client is held against the one in Python: what that proves the page has to prove, and what is
altered it has to refuse.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from headless import Page, browser, find_chromium
from process_network import ProcessNetwork, running
from trust_tools import NOW_MS, chain_of, forged

from supervm.common.services.browsers import serve_browsers
from supervm.common.up.layout import Counts
from supervm.protocol.base.codec import encode
from supervm.protocol.light.client import Anchor, anchor_of
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import account_leaf_id
from supervm.protocol.state.trie import QuadTrie

pytest.importorskip("aiortc", reason="needs supervm-common[webrtc]")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here; on Debian: apt-get install chromium"),
]

PAGE = Path(__file__).parents[2] / "examples" / "browser"
SETTLED = "['proved', 'failed', 'ended'].includes(document.body.dataset.state) && document.body.dataset.state"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@asynccontextmanager
async def network_with_a_door(directory: Path) -> AsyncIterator[tuple[ProcessNetwork, str]]:
    """Run a small network whose edge serves the page; give its address, too."""
    (directory / "net").mkdir()
    (directory / "profile").mkdir()
    network = ProcessNetwork(directory / "net", Counts(4, 1, 1, 1), ["alice", "bob"])
    config = network.nodes["l3-0"].directory / "config.toml"
    port = free_port()
    text = config.read_text()
    text = text.replace('# listen = ""', f'listen = "127.0.0.1:{port}"')
    config.write_text(text.replace('# page = ""', f'page = "{PAGE}"'))
    async with running(network):
        yield network, f"http://127.0.0.1:{port}/"


def link_to(door: str, address: str, anchor: Anchor) -> str:
    return f"{door}#address={address}&anchor={encode(anchor).hex()}"


async def shown(page: Page) -> int:
    return int(
        await page.until(
            "!document.getElementById('proved').hidden && document.getElementById('balance').dataset.grain"
        )
    )


async def test_a_page_proves_a_balance_and_follows_it(tmp_path: Path) -> None:
    async with network_with_a_door(tmp_path) as (network, door), browser(tmp_path / "profile") as page:
        alice = network.layout.wallets["alice"].address
        before = await network.balance("alice")
        await page.go(link_to(door, alice, anchor_of(network.chain)))
        assert await page.until(SETTLED) == "proved", await page.evaluate("document.body.innerText")
        assert await shown(page) == before
        assert "of 4 validators" in await page.evaluate("document.getElementById('signers').textContent")
        print(await page.evaluate("document.getElementById('times').textContent"))

        # a payment is shown once it is proved, without being asked for again
        bob = network.layout.wallets["bob"].address
        row = {"to": bob, "amount": 1_000, "fee": 100, "source": alice}
        await network.call("l4-0", {"request": "pay", "row": row})
        due = before - 1_100
        await page.until(f"document.getElementById('balance').dataset.grain === '{due}'", 25)

        # an account that nobody ever paid is proved to be absent
        nobody = "tsvm1qpmqf8uyt72f36y69ee4z7n0tyjy87rdd27lx8n6wph74s5cw3srkje4xcs"
        await page.go(link_to(door, nobody, anchor_of(network.chain)))
        assert await page.until(SETTLED) == "proved"
        assert await shown(page) == 0
        assert "never seen" in await page.evaluate("document.getElementById('exists').textContent")

        # the edge goes: the page says so
        await network.kill("l3-0")
        await page.until("document.body.dataset.state === 'ended'", 45)


async def test_a_page_believes_neither_another_network_nor_what_is_wrong(tmp_path: Path) -> None:
    async with network_with_a_door(tmp_path) as (network, door), browser(tmp_path / "profile") as page:
        alice = network.layout.wallets["alice"].address
        anchor = anchor_of(network.chain)
        unnamed = Anchor(1, _replaced(anchor.header, validators_hash=bytes(32)), anchor.validators)
        other = Anchor(1, _replaced(anchor.header, chain_id=bytes(32)), anchor.validators)
        await page.go(link_to(door, alice, other))
        assert await page.until(SETTLED) in ("failed", "ended")
        assert "does not authenticate" in await page.evaluate("document.getElementById('state').textContent")

        for address, bad, said in (
            (alice, "00", "cannot|ends too early|no anchor|kind"),
            (alice[:-1] + ("q" if alice[-1] != "q" else "p"), encode(anchor).hex(), "wrong, missing or added"),
            (alice, encode(anchor).hex()[:-2], "end too early"),
            (alice, encode(unnamed).hex(), "not the ones"),
        ):
            await page.go(f"{door}#address={address}&anchor={bad}")
            assert await page.until(SETTLED) == "failed"
            assert await page.evaluate(f"/{said}/.test(document.getElementById('state').textContent)"), said


def _replaced(header: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(header, **fields)


async def test_the_page_takes_the_proofs_that_python_takes_and_no_altered_one(tmp_path: Path) -> None:
    rng = random.Random(7)
    accounts = [rng.randbytes(32) for _ in range(300)]
    trie = QuadTrie.of(
        (account_leaf_id(account), encode_account(Account(rng.randrange(1 << 62), number, bytes(32), 0)))
        for number, account in enumerate(accounts[:200])
    )
    root = trie.root
    cases = [(account.hex(), encode(trie.prove(account_leaf_id(account))).hex()) for account in accounts[150:250]]
    altered = []
    for account, proof in cases[::5]:
        data = bytearray.fromhex(proof)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        altered.append((account, data.hex()))
    altered += [(cases[0][0], cases[1][1]), (cases[0][0], cases[-1][1]), (cases[-1][0], cases[0][1])]

    (tmp_path / "profile").mkdir()
    port = free_port()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_browsers, f"127.0.0.1:{port}", PAGE, lambda pipe, traits: None)
        async with browser(tmp_path / "profile") as page:
            await page.go(f"http://127.0.0.1:{port}/")
            await page.until("document.readyState === 'complete'")
            program = """(async (root, cases) => {
                const { proveAccount } = await import('/light.js');
                const { fromHex } = await import('/encoding.js');
                return cases.map(([account, proof]) => {
                    try { return String(proveAccount(fromHex(root), fromHex(account), fromHex(proof)).balance); }
                    catch (error) { return 'refused: ' + error.message; }
                });
            })"""
            found = await page.evaluate(f"{program}('{root.hex()}', {[list(case) for case in cases]!r})")
            wrong = await page.evaluate(f"{program}('{root.hex()}', {[list(case) for case in altered]!r})")
        nursery.cancel_scope.cancel()
    expected = [trie.get(account_leaf_id(account)) for account in accounts[150:250]]
    assert found[50:] == ["0"] * 50
    assert [balance != "0" for balance in found[:50]] == [value is not None for value in expected[:50]]
    assert [item for item in wrong if not item.startswith("refused: ")] == []


async def test_the_page_believes_what_a_quorum_signed_and_follows_who_hands_over(tmp_path: Path) -> None:
    chain = chain_of(range(1, 5), range(2, 6))
    changes = [encode(change).hex() for change in chain.changes()]
    tip = chain.certified()
    index, signature = tip.signatures[0]
    altered = ((index, bytes([signature[0] ^ 1]) + signature[1:]), *tip.signatures[1:])
    future = forged(chain, tip.header, 2, ts_ms=NOW_MS + 60_000)
    steps = [
        ("accept", encode(tip).hex(), "not known yet"),
        ("follow", changes[1], "not known yet"),
        ("follow", changes[0], ""),
        ("follow", changes[0], ""),  # again: it changes nothing
        ("follow", changes[1], ""),
        ("accept", encode(chain.certified(signers=(0, 1))).hex(), "a quorum is 3"),
        ("accept", encode(_replaced(tip, signatures=altered)).hex(), "signature of validator 0 is wrong"),
        ("accept", encode(_replaced(tip, signatures=tip.signatures[::-1])).hex(), "not in order"),
        ("accept", encode(_replaced(tip, signatures=(*tip.signatures[:1] * 3,))).hex(), "not in order"),
        ("accept", encode(future).hex(), "ahead of this machine"),
        ("accept", encode(tip).hex(), ""),
        ("accept", encode(chain.certified(1)).hex(), "not known yet"),
        ("accept", encode(forged(chain, tip.header, 2, state_root=bytes(32))).hex(), "two different checkpoints"),
    ]
    (tmp_path / "profile").mkdir()
    port = free_port()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_browsers, f"127.0.0.1:{port}", PAGE, lambda pipe, traits: None)
        async with browser(tmp_path / "profile") as page:
            await page.go(f"http://127.0.0.1:{port}/")
            await page.until("document.readyState === 'complete'")
            program = """(async (anchor, now, steps) => {
                const { LightClient } = await import('/light.js');
                const { fromHex } = await import('/encoding.js');
                const client = new LightClient(fromHex(anchor), () => now);
                const said = [];
                for (const [act, bytes] of steps) {
                    try { await client[act](fromHex(bytes)); said.push(''); }
                    catch (error) { said.push(error.message); }
                }
                return [said, client.header.height];
            })"""
            anchor = encode(anchor_of(chain.chain)).hex()
            given = [list(step[:2]) for step in steps]
            said, height = await page.evaluate(f"{program}('{anchor}', {NOW_MS}, {given!r})")
        nursery.cancel_scope.cancel()
    for (act, _, expected), found in zip(steps, said, strict=True):
        assert (expected in found) if expected else not found, (act, expected, found)
    assert height == tip.header.height
