"""A test's own end of a link to a running node: a real, authenticated connection that says whatever the test wants."""

from __future__ import annotations

import os
import secrets
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import trio

from supervm.common.link import LinkSession
from supervm.common.link.connection import Connection, LocalNode
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import LightClient, ProvedAccount, anchor_of
from supervm.protocol.state.leaves import account_leaf_id
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.link import Goodbye
from supervm.protocol.wire.payments import GetLeaves, LeafProofs

FRAME_BYTES_MAX = 16 << 20
"""What this side allows itself: more than any node takes."""


def now_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000


class RawClient:
    """One connection; `connect` it.

    Args:
        stream: a connected socket.
        chain: the network.
        tier: what Hello says.
        key: the node key; a fresh one by default.
        expected_peer: the node that has to be there.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        chain: Chain,
        *,
        tier: int = 0,
        key: SigningKey | None = None,
        expected_peer: bytes | None = None,
    ) -> None:
        self.stream = stream
        self.key = key or SigningKey(secrets.token_bytes(32))
        at_us = now_us()
        self.session = LinkSession(
            initiator=True,
            static_private=secrets.token_bytes(32),
            ephemeral_private=secrets.token_bytes(32),
            node_key=self.key,
            chain_id=chain.chain_id,
            expected_peer=expected_peer,
            not_after_ms=at_us // 1000 + 3_600_000,
            now_ms=at_us // 1000,
        )
        self.connection = Connection(self.session, LocalNode(tier), dialled=True, opened_us=at_us)
        self.light = LightClient(anchor_of(chain), verify)
        self.inbox: list[Any] = []

    @classmethod
    async def connect(cls, port: int, chain: Chain, **options: Any) -> Self:
        """Dial a port of this machine, shake hands and exchange Hello."""
        with trio.fail_after(20):
            client = cls(await trio.open_tcp_stream("127.0.0.1", port), chain, **options)
            try:
                await client.flush()
                while client.connection.state in ("handshake", "hello"):
                    await client._receive()
                    await client.flush()
            except BaseException:
                await client.aclose()
                raise
        client.session.set_frame_bytes_max(FRAME_BYTES_MAX)
        return client

    @property
    def parting(self) -> Goodbye | None:
        """The node's Goodbye, once it came."""
        return self.connection.parting

    async def flush(self) -> None:
        """Write what waits."""
        data = self.connection.bytes_to_send(now_us())
        if data:
            await self.stream.send_all(data)

    async def send(self, *messages: Message) -> None:
        """Send messages."""
        await self.send_frames(*map(encode_message, messages))

    async def send_frames(self, *frames: bytes) -> None:
        """Send frames, whatever is in them; a node that has had enough may close before it has read them."""
        for frame in frames:
            self.session.send_frame(frame)
        with suppress(trio.BrokenResourceError):
            await self.flush()

    async def _receive(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError("the node closed the connection")
        self.inbox += self.connection.receive(data, now_us())

    def read_available(self) -> bool:
        """Take what has already arrived and drop it; return False once the stream has ended."""
        try:
            while select.select([self.stream.socket], [], [], 0)[0]:
                data = os.read(self.stream.socket.fileno(), 1 << 20)
                if not data:
                    return False
                self.connection.receive(data, now_us())
        except OSError:
            return False
        return True

    async def next(self, wanted: Callable[[Any], bool], within_s: float = 20.0) -> Any:
        """Wait for a message and take it out of the inbox; those before it stay."""
        with trio.fail_after(within_s):
            while True:
                for index, message in enumerate(self.inbox):
                    if wanted(message):
                        return self.inbox.pop(index)
                if self.parting is not None:
                    raise EOFError(f"the node said {self.parting}")
                await self._receive()

    async def until_closed(self, within_s: float = 20.0) -> None:
        """Read until the node closes."""
        with trio.fail_after(within_s):
            try:
                while True:
                    await self._receive()
            except (EOFError, trio.BrokenResourceError):
                return

    async def accounts(self, keys: Sequence[bytes]) -> dict[bytes, ProvedAccount]:
        """Ask an edge for accounts; return what its proofs prove to this client."""
        proved: dict[bytes, ProvedAccount] = {}
        missing = list(keys)
        await self.send(GetLeaves(tuple(map(account_leaf_id, missing))))
        while missing:
            answer: LeafProofs = await self.next(lambda message: isinstance(message, LeafProofs))
            header = self.light.accept_checkpoint(answer.checkpoint, now_us() // 1000)
            for leaf_id, proof in answer.proofs:
                account = leaf_id[1:]
                proved[account] = self.light.prove_account(header, account, proof)
            missing = [account for account in missing if account not in proved]
        return proved

    async def aclose(self) -> None:
        """Close without a word."""
        await trio.aclose_forcefully(self.stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
