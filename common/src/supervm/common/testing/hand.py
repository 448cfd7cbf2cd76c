"""A core in a test's hands: the rules of the contract, and nothing happens but what the test asks for.

Theory of operation. `HandDriver` carries effects out as the shipped driver does (`supervm.common.contract.core`), with
a store in memory instead of a disk, and with time that stands still unless the test moves it. What the core has said is
kept in lists for the test to look at. What is not durable is in the driver alone: another one on the same store, or
`restart`, is the node after a loss of power. So that tests say only what they are about, the disk and the workers
answer at once; a test about what happens in between turns that off, and answers itself by `disk` and `work`.

A message of a peer that is not connected never reaches the core, and one to such a peer is lost, as on a real link.
What a real link would refuse to carry - a kind in a wrong direction, a frame that is too long - is a `BrokenContract`.

    driver = HandDriver(MyNode(reader=store, ...), store, now_us=NOW_US)
    driver.up(peer, tier=4)
    driver.receive(peer, Note("hello"))
    assert driver.told(NoteLeft) == [NoteLeft(peer.hex(), 1)]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message

from ..contract import core as c
from ..contract.events import Event
from ..errors import CommonError
from ..link.connection import frame_bytes_max
from ..parts.shell import Shell, wire_of
from ..storage.memory import MemoryStore

TICKS_MAX: Final = 1_000
"""Ticks at one time, after which a deadline that does not move is a fault of the core."""

C = TypeVar("C", bound=c.Core)
E = TypeVar("E", bound=Event)
M = TypeVar("M", bound=Message)


class BrokenContract(CommonError):
    """A core asked for what no driver can do, or did not do what the contract asks of it."""


class HandDriver(Generic[C]):
    """Runs one core by hand; the core has been started when the constructor returns.

    Args:
        core: made on `store`.
        store: what is durable.
        now_us: the time at the start, Unix microseconds.
        disk_at_once: whether every write is durable at once; else when `disk` is called.
        work_at_once: whether every job is done at once; else when `work` is called.

    Attributes:
        core: the core.
        store: what is durable.
        now_us: the core's time; a test may set it forward, `wait` does so with ticks.
        disk_at_once: may be changed while it runs.
        work_at_once: likewise.
        peers: who is up, and how it came.
        sent: (peer, message) of what has left, in order.
        waiting: sends and replies that wait for the disk.
        works: jobs that wait to be done.
        hung_up: peer -> code of those that the core has hung up on.
        holds: what the core wants to hear no more of for a while; nothing is held back here.
        dials: what the core wants to connect to; nobody answers but the test, by `up` or a `DialFailed`.
        events: what was published.
        replies: token -> answer to a command.
        halted: why the core has stopped for good; empty while it has not.

    Raises:
        BrokenContract: the first step asks for what cannot be.
    """

    def __init__(
        self, core: C, store: MemoryStore, *, now_us: int, disk_at_once: bool = True, work_at_once: bool = True
    ) -> None:
        self.store, self.now_us = store, now_us
        self.disk_at_once, self.work_at_once = disk_at_once, work_at_once
        self._begin(core)

    def restart(self, make: Callable[[MemoryStore], C]) -> None:
        """Lose power and start again: what was not durable is lost, no peer is up, and all lists are empty.

        Args:
            make: makes the core from what is durable.
        """
        self.store.crash()
        self._begin(make(self.store))

    def _begin(self, core: C) -> None:
        self.core = core
        self._tier = core.TIER if isinstance(core, Shell) else None
        self._wire = wire_of(core)
        self.peers: dict[bytes, c.PeerUp] = {}
        self.sent: list[tuple[bytes, Message]] = []
        self.waiting: list[c.Send | c.Reply] = []
        self.works: list[c.Work] = []
        self.hung_up: dict[bytes, str] = {}
        self.holds: list[c.Hold] = []
        self.dials: list[c.Dial] = []
        self.events: list[Event] = []
        self.replies: dict[int, c.Reply] = {}
        self.halted = ""
        self._writes: list[c.Persist] = []
        self._command = 0
        self.step(c.Started())

    # --- giving -----------------------------------------------------------------------------------------------------

    def step(self, event: c.Input) -> list[c.Effect]:
        """Give the core an input and carry out what follows, down to what disk and workers answer at once.

        Returns:
            The effects of all of it, in order.

        Raises:
            BrokenContract: one of them cannot be carried out.
        """
        queue, done = deque([event]), list[c.Effect]()
        while queue and not self.halted:
            event = queue.popleft()
            if self._is_in_place(event):
                effects = self.core.step(self.now_us, event)
                done += effects
                # a write first, so that what stands before the write that it rests on waits, too
                for effect in sorted(effects, key=lambda effect: not isinstance(effect, c.Persist)):
                    self.carry_out(effect, queue)
        return done

    def up(
        self,
        peer: bytes,
        tier: int,
        *,
        features: tuple[str, ...] = (),
        clock_offset_ms: int = 0,
        address: str | None = None,
    ) -> list[c.Effect]:
        """A peer connects: it dialled us, or we it at `address`."""
        return self.step(c.PeerUp(peer, tier, features, clock_offset_ms, address))

    def down(self, peer: bytes, reason: str = "gone") -> list[c.Effect]:
        """A peer goes; nothing happens if it is not there."""
        return self.step(c.PeerDown(peer, reason))

    def receive(self, peer: bytes, message: Message) -> list[c.Effect]:
        """A message comes from a peer that is up; from one that is not, nothing comes."""
        return self.step(c.Received(peer, message))  # type: ignore[arg-type]  # a subject of its own is no standard kind

    def ask(self, request: msgspec.Struct) -> int:
        """The owner asks something; return the token under which `replies` has the answer, once it is there."""
        self._command += 1
        self.step(c.Command(self._command, request))
        return self._command

    def call(self, request: msgspec.Struct) -> Any:
        """The owner asks something, and disk and workers answer whatever is needed; return the answer's value.

        Raises:
            BrokenContract: the core refuses the request, or does not answer.
        """
        token = self.ask(request)
        while token not in self.replies and (self._writes or self.works):
            self.disk()
            self.work()
        self.disk()
        reply = self.replies.pop(token, None)
        if reply is None:
            raise BrokenContract(f"{request!r:.200} is not answered")
        if reply.error is not None:
            raise BrokenContract(f"{request!r:.200} is refused: {reply.error}")
        return reply.value

    def disk(self) -> list[c.Effect]:
        """The disk answers everything that it was asked, and what is asked meanwhile; return what followed."""
        done: list[c.Effect] = []
        while self._writes:
            writes, self._writes = self._writes, []
            for write in writes:
                self.store.commit(write.records)
            tokens = [write.token for write in writes]
            free = [effect for effect in self.waiting if effect.after in tokens]
            self.waiting = [effect for effect in self.waiting if effect.after not in tokens]
            for effect in free:
                self._let(effect)
            for token in tokens:
                done += self.step(c.Durable(token))
        return done

    def work(self) -> list[c.Effect]:
        """The workers do all jobs that wait, in order; return what followed."""
        works, self.works = self.works, []
        return [effect for one in works for effect in self.step(c.WorkDone(one.token, one.job.run(one.job.items)))]

    def wait(self, us: int) -> list[c.Effect]:
        """Let `us` microseconds pass, with a tick at every deadline on the way; return what followed.

        Raises:
            BrokenContract: the core's deadline does not move, however often it is told the time.
        """
        end_us, done, ticks = self.now_us + us, list[c.Effect](), 0
        while (deadline_us := self.core.deadline_us) is not None and deadline_us <= end_us and not self.halted:
            ticks = 0 if deadline_us > self.now_us else ticks + 1
            if ticks > TICKS_MAX:
                raise BrokenContract(f"the deadline stays at {deadline_us} us after {ticks} ticks")
            self.now_us = max(self.now_us, deadline_us)
            done += self.step(c.Tick())
        self.now_us = end_us
        return done

    # --- looking ----------------------------------------------------------------------------------------------------

    def take(self, kind: type[M] = Message, peer: bytes | None = None) -> list[M]:  # type: ignore[assignment]
        """Take out what was sent, of a kind or all, to `peer` or to anybody; the rest stays."""
        found, kept = list[M](), list[tuple[bytes, Message]]()
        for to, message in self.sent:
            if isinstance(message, kind) and peer in (None, to):
                found.append(message)
            else:
                kept.append((to, message))
        self.sent = kept
        return found

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    # --- carrying out -----------------------------------------------------------------------------------------------

    def _is_in_place(self, event: c.Input) -> bool:
        """Keep who is up, and return whether a driver would give this input."""
        match event:
            case c.PeerUp(peer):
                self.peers[peer] = event
            case c.Received(peer):
                return peer in self.peers
            case c.PeerDown(peer):
                return self.peers.pop(peer, None) is not None
        return True

    def carry_out(self, effect: c.Effect, follow: deque[c.Input]) -> None:
        """Carry out one effect, and add the inputs that follow at once; a subclass may look at it first."""
        match effect:
            case c.Persist(token, records):
                if self.disk_at_once:
                    self.store.commit(records)
                    follow.append(c.Durable(token))
                else:
                    self._writes.append(effect)
            case c.Send() | c.Reply():
                if any(write.token == effect.after for write in self._writes):
                    self.waiting.append(effect)
                else:
                    self._let(effect)
            case c.Work(token, _, job):
                if self.work_at_once:
                    follow.append(c.WorkDone(token, job.run(job.items)))
                else:
                    self.works.append(effect)
            case c.HangUp(peer, code, reason):
                if peer in self.peers:
                    self.hung_up[peer] = code
                    follow.append(c.PeerDown(peer, f"{code}: {reason}"))
            case c.Publish():
                self.events.append(effect.event)
            case c.Hold():
                self.holds.append(effect)
            case c.Dial():
                self.dials.append(effect)
            case c.Halt(reason):
                self.halted = reason

    def _let(self, effect: c.Send | c.Reply) -> None:
        if isinstance(effect, c.Reply):
            self.replies[effect.token] = effect
        elif effect.peer in self.peers:
            self._check(effect)
            self.sent.append((effect.peer, effect.message))

    def _check(self, effect: c.Send) -> None:
        if self._tier is None:
            return  # a bare core says nothing of its tier
        peer, kind = self.peers[effect.peer], type(effect.message)
        tier, unknown = peer.tier, self._wire.unknown_to(peer.features)
        if kind in unknown or kind not in self._wire.accepted_kinds(self._tier, tier):
            raise BrokenContract(
                f"an L{self._tier} may not send {kind.__name__} to an L{tier} that says {peer.features}"
            )
        size, size_max = len(encode_message(effect.message)), frame_bytes_max(self._tier, tier)
        if size > size_max:
            raise BrokenContract(f"a {kind.__name__} of {size} bytes; a frame to an L{tier} has at most {size_max}")
