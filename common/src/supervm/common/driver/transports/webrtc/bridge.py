"""One asyncio thread beside trio, and the ways across.

Theory of operation. The thread runs while somebody is in between `enter` and `leave`; the last one out stops it and
waits for its end. Into it lead `soon`, which puts a call at the end of what it has to do, and `call`, which waits for a
coroutine; out of it leads `post`. A `call` that is cancelled cancels the coroutine and returns when that has really
ended, so nothing works on behind the back of who gave up. An error that nobody waits for ends nothing: it is kept in
`errors`.

Waking a thread costs 50 to 100 us when the machine has more than one core, most of it the hand-over of the interpreter:
callers put many things into one `soon` or `post`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import trio

T = TypeVar("T")

ERRORS_KEPT: Final = 16


class Bridge:
    """The asyncio thread of one trio loop.

    Attributes:
        errors: what went wrong in it without anybody waiting for it, the last `ERRORS_KEPT`.
    """

    def __init__(self) -> None:
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self.errors: deque[str] = deque(maxlen=ERRORS_KEPT)

    @property
    def running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def enter(self) -> None:
        """Use the thread from now on; to be called in the trio loop, and ended by `leave`."""
        if not self._users:
            self._token = trio.lowlevel.current_trio_token()
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(self._note_error)
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="webrtc", daemon=True)
            self._thread.start()
        self._users += 1

    async def leave(self) -> None:
        """Do without the thread; the last one to do so waits for its end, and cancelling does not help."""
        self._users -= 1
        if self._users or self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(thread.join)

    def soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called in the thread, after what was given before; it must not block or raise."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function, *arguments)

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called in the trio loop; from the thread. Once that loop has ended, nothing happens."""
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(function, *arguments)

    async def call(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Run a coroutine function in the thread; return what it returns, raise what it raises.

        Cancelled, it lets the coroutine be cancelled and end, and then is; what that returned all the same is lost.
        """
        await trio.lowlevel.checkpoint()
        done = trio.Event()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            task = asyncio.get_running_loop().create_task(function(*arguments))
            task.add_done_callback(lambda _: self.post(done.set))
            tasks.append(task)

        self.soon(start)
        try:
            await done.wait()
        except trio.Cancelled:
            self.soon(lambda: tasks[0].cancel())
            with trio.CancelScope(shield=True):
                await done.wait()
            if not tasks[0].cancelled():
                tasks[0].exception()  # looked at, so that nobody says it was not
            raise
        return tasks[0].result()

    def _note_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(str(context.get("exception") or context.get("message")))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, then end what is left in it."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()
