"""A transport that is no part of this project: the example, built, installed, and carrying links of shipped nodes."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import trio
from process_network import ProcessNetwork, running

from supervm.common.up.layout import Counts

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "transport_unix"
LINES_MAX = 65

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as it lies in an environment: its wheel, built offline and unpacked."""
    folder = tmp_path_factory.mktemp("example")
    own = ROOT / ".boot" / "bin" / "uv"
    uv = str(own) if own.exists() else which("uv")
    assert uv is not None, "uv is neither in .boot/bin nor on the PATH; ./run setup installs it"
    environment = {**os.environ, "UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), "--python", sys.executable, str(EXAMPLE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


async def until(network: ProcessNetwork, name: str, request: dict[str, Any], done: Callable[[Any], object]) -> Any:
    while not done(answer := await network.call(name, request)):
        await trio.sleep(0.05)
    return answer


async def test_a_phone_pays_through_an_edge_that_it_dials_by_somebody_elses_transport(
    tmp_path: Path, installed: Path
) -> None:
    network = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["alice", "bob"])
    address = f"unix:{tmp_path / 'edge.sock'}"
    for name, key in (("l3-0", "listen"), ("l4-0", "peers")):
        path = network.nodes[name].directory / "config.toml"
        text = path.read_text()
        old = next(line for line in text.splitlines() if ("listen = " if key == "listen" else "@127.0.0.1:") in line)
        new = f'listen = "{address}"' if key == "listen" else f'{old.partition("@")[0]}@{address}"'
        path.write_text(text.replace(old, new))
        network.inside[name] = ("env", f"PYTHONPATH={installed}")
    wallets = network.layout.wallets
    row = {"to": wallets["bob"].address, "amount": 5, "fee": 10, "source": wallets["alice"].address, "key": "unix"}
    with trio.fail_after(90):
        async with running(network, "l1-0", "l2-0", "l3-0", "l4-0"):
            balance = {"request": "balance", "address": row["source"]}
            await until(network, "l4-0", balance, lambda answer: answer["proof_verified"])
            paid = await network.call("l4-0", {"request": "pay", "row": row})
            payment = {"request": "payment", "id": f"row-{paid['number']}"}
            await until(network, "l4-0", payment, lambda answer: answer["status"] == "R4")
            await network.terminate("l4-0", "l3-0")
    assert not network.complaints()
    assert not (tmp_path / "edge.sock").exists()


def test_the_example_is_as_short_as_it_says() -> None:
    source = (EXAMPLE / "src" / "supervm_transport_unix" / "__init__.py").read_text()
    assert len(source.splitlines()) <= LINES_MAX
