"""The door for browsers: a page of files that were there at the start, and offers, one of which another node makes."""

from pathlib import Path

import pytest
import trio

pytest.importorskip("aiortc", reason="needs supervm-common[webrtc]")

from supervm.common.driver import Limits, ListenFailed
from supervm.common.driver.transports.contract import Pipe, Traits
from supervm.common.driver.transports.webrtc import WebRtcTransport
from supervm.common.errors import InputError
from supervm.common.host.config import NodeConfig
from supervm.common.services import browsers
from supervm.common.services.builtin import BROWSERS


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "more").mkdir(parents=True)
    (folder / "index.html").write_text("<p>hello")
    (folder / "more" / "code.js").write_text("1")
    (folder / "secret.key").write_text("not of a page")
    (tmp_path / "outside.js").write_text("2")
    return folder


async def ask(port: int, head: str) -> tuple[int, dict[str, str], str]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"{head} HTTP/1.1\r\nhost: here\r\n\r\n".encode())
        answer = b""
        with trio.fail_after(10):
            while data := await stream.receive_some(65_536):
                answer += data
    top, _, body = answer.decode().partition("\r\n\r\n")
    status, *headers = top.split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in headers), body


async def test_a_page_and_a_channel_come_from_one_door(page: Path) -> None:
    admitted: list[tuple[Pipe, Traits]] = []
    found = trio.Event()

    def admit(pipe: Pipe, traits: Traits) -> None:
        admitted.append((pipe, traits))
        found.set()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = int(listeners[0].socket.getsockname()[1])
    listeners[0].socket.close()
    async with trio.open_nursery() as nursery:
        await nursery.start(browsers.serve_browsers, f"127.0.0.1:{port}", page, admit)
        status, headers, body = await ask(port, "GET /")
        assert (status, headers["content-type"], body) == (200, "text/html; charset=utf-8", "<p>hello")
        assert "default-src 'self'" in headers["content-security-policy"]
        assert (await ask(port, "GET /more/code.js?v=1"))[2] == "1"
        for path in (
            "/secret.key",
            "/../outside.js",
            "/more/../../outside.js",
            "/none.js",
            "/more/",
            "/%2e%2e/outside.js",
        ):
            assert (await ask(port, f"GET {path}"))[0] == 404
        assert (await ask(port, "POST /index.html"))[0] == 404

        pipe = await WebRtcTransport(Limits()).dial(f"127.0.0.1:{port}")
        await found.wait()
        assert admitted[0][1] == WebRtcTransport.traits
        await admitted[0][0].send_all(b"welcome")
        assert await pipe.receive_some(100) == b"welcome"
        async with trio.open_nursery() as closing:
            closing.start_soon(pipe.aclose)
            closing.start_soon(admitted[0][0].aclose)
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_served_is_said(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(pipe: Pipe, traits: Traits) -> None:
        raise AssertionError("nobody comes")

    with pytest.raises(ListenFailed, match="browsers cannot connect on nowhere"):
        await browsers.serve_browsers("nowhere", page, admit)
    with pytest.raises(InputError, match=r"there is no index\.html"):
        await browsers.serve_browsers("127.0.0.1:0", tmp_path / "nothing", admit)
    monkeypatch.setattr(browsers, "FILES_BYTES_MAX", 4)
    with pytest.raises(InputError, match="is no page"):
        browsers.read_page(page)
    monkeypatch.undo()
    (page / "more" / "code.js").unlink()
    (page / "more" / "code.js").symlink_to(tmp_path / "outside.js")  # a link is the owner's own doing
    assert browsers.read_page(page)["/more/code.js"] == b"2"


def test_a_node_has_the_door_only_if_it_is_told_where() -> None:
    def config(**options: str) -> NodeConfig:
        return NodeConfig(3, Path(), Path(), browsers=options)

    assert not BROWSERS.wanted(config())
    assert not BROWSERS.wanted(config(listen=""))
    assert BROWSERS.wanted(config(listen="127.0.0.1:1"))
