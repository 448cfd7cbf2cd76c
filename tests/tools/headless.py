"""A headless Chromium that a test drives by the DevTools protocol over two pipes: no library, no port, no network.

The protocol is JSON documents ended by a zero byte; Chromium reads commands on descriptor 3 and answers on 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

NAMES = ("chromium", "chromium-browser", "google-chrome")
ANSWER_S = 30.0
OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--allow-loopback-in-peer-connection",  # else a machine without any other address joins nobody
    "--remote-debugging-pipe",
)
BECOME = """
import os, sys
commands, answers = (os.dup(int(number)) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.set_inheritable(3, True)
os.set_inheritable(4, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts two descriptors where the browser looks for them, and becomes the browser."""


def find_chromium() -> str | None:
    """Return the browser's path; None: there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a browser."""

    def __init__(self, commands: trio.lowlevel.FdStream, answers: trio.lowlevel.FdStream) -> None:
        self._commands, self._answers = commands, answers
        self._inbox = b""
        self._number = 0
        self._session = ""
        self.said: list[str] = []
        """What the page wrote to its console, and errors that nobody caught."""

    async def call(self, method: str, **parameters: Any) -> Any:
        """Do one command and return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        await self._commands.send_all(json.dumps(command).encode() + b"\0")
        with trio.fail_after(ANSWER_S):
            while True:
                answer = await self._next()
                if answer.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                    self.said.append(json.dumps(answer["params"])[:500])
                if answer.get("id") == self._number:
                    assert "error" not in answer, answer["error"]
                    return answer["result"]

    async def _next(self) -> Any:
        while b"\0" not in self._inbox:
            data = await self._answers.receive_some(1 << 16)
            assert data, "the browser has ended"
            self._inbox += data
        line, _, self._inbox = self._inbox.partition(b"\0")
        return json.loads(line)

    async def open(self) -> None:
        """Open a tab."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")

    async def go(self, url: str) -> None:
        """Go to an address, also if only what stands behind its # is another."""
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript in the page; a promise is waited for."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, expression: str, within_s: float = 30.0) -> Any:
        """Return the value of an expression once it is true, looked at with each frame that the page could draw."""
        waited = (
            "new Promise((resolve) => {"
            f"  const end = performance.now() + {within_s * 1000};"
            f"  const look = () => {{ let found; try {{ found = ({expression}); }} catch {{}}"
            "     if (found || performance.now() > end) resolve(found); else setTimeout(look, 50); };"
            "  look(); })"
        )
        found = await self.evaluate(waited)
        assert found, f"never true: {expression}; the page said {self.said}"
        return found

    async def screenshot(self, path: Path) -> None:
        """Write what the page looks like as a PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[Page]:
    """Run a browser with one page; it and all its processes are gone afterwards.

    Args:
        directory: an empty one, for its profile.
    """
    program = find_chromium()
    assert program is not None
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    command = [sys.executable, "-c", BECOME, str(theirs_in), str(theirs_out), program, *OPTIONS]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={directory}"],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        async with trio.lowlevel.FdStream(commands) as sending, trio.lowlevel.FdStream(answers) as receiving:
            page = Page(sending, receiving)
            await page.open()
            yield page
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
