"""``supervm handover`` over files: what is written, what is said, and exit statuses."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handover_tools import FUNDS, bring, offline, online, promised
from mobile_tools import Network, Phone

from supervm.common.errors import InputError
from supervm.common.services.lines import RequestRefused
from supervm.common.testing.hand import BrokenContract
from supervm.tier_l4_mobile.cli import handover as command
from supervm.tier_l4_mobile.handover import qr
from supervm.tier_l4_mobile.handover.frames import frames_of

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against a phone in this process."""

    def run(phone: Phone, *arguments: object, text: bool = False) -> tuple[int, Any]:
        def ask(directory: Path, request: Any, passphrase_file: Path | None) -> Any:
            try:
                return phone.call(request)
            except BrokenContract as error:
                raise RequestRefused(str(error)) from None

        monkeypatch.setattr(command, "_ask", ask)
        name, *rest = map(str, arguments)
        more = [] if text else ["--json"]
        result = CliRunner().invoke(
            command.handover, [name, "--dir", str(tmp_path), *rest, *more], standalone_mode=False
        )
        if result.exception is not None:
            raise result.exception
        return result.return_value or 0, result.stdout if text else json.loads(result.stdout)

    return run


def test_there_and_back_over_files(tmp_path: Path, run: Run) -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    payment = promised(alice)
    there, back = tmp_path / "there.svmh", tmp_path / "back.svmh"
    status, document = run(alice, "export", payment["id"], "--file", there)
    assert (status, document["files"], document["bytes"]) == (0, [str(there)], there.stat().st_size)
    status, document = run(bob, "take", "--file", there)
    assert (status, document["promises"][0]["status"]) == (0, "promised")
    _, text = run(bob, "take", "--file", there, text=True)
    assert f"{payment['id']}: 10 grain from svm1" in text
    _, text = run(bob, "list", text=True)
    assert "not settled; the balance proved at height 0 covers it" in text
    bring(bob)
    _, text = run(bob, "list", text=True)
    assert "settled at height 1" in text
    assert run(bob, "export", payment["id"], "--file", back)[0] == 0
    _, text = run(alice, "take", "--file", back, text=True)
    assert f"own payment {payment['id']} is R4" in text
    _, text = run(alice, "list", text=True)
    assert "1 handed over, 0 taken" in text
    assert run(bob, "drop", payment["id"])[0] == 0
    assert run(bob, "drop", payment["id"])[0] == 1


def test_the_answer_no_is_status_1_with_the_reason(tmp_path: Path, run: Run) -> None:
    network = Network(**FUNDS)
    alice = offline(network, "alice")
    out = tmp_path / "out.svmh"
    status, document = run(alice, "export", "ab" * 32, "--file", out)
    assert (status, out.exists()) == (1, False)
    assert "no payment" in document["reason"]
    out.write_bytes(b"nonsense")
    status, document = run(alice, "take", "--file", out)
    assert status == 1
    assert "this is no hand-over of payments" in document["notes"][0]


def test_wrong_input_is_one_line(tmp_path: Path, run: Run) -> None:
    alice = offline(Network(**FUNDS), "alice")
    payment = promised(alice)
    with pytest.raises(InputError, match="nowhere to write to"):
        run(alice, "export", payment["id"])
    with pytest.raises(InputError, match="one of --file FILE and --qr DIR"):
        run(alice, "take")
    with pytest.raises(InputError, match="cannot be read"):
        run(alice, "take", "--file", tmp_path / "nothing")
    (tmp_path / "long").write_bytes(bytes((1 << 18) + 1))
    with pytest.raises(InputError, match="more than 262144 bytes"):
        run(alice, "take", "--file", tmp_path / "long")
    with pytest.raises(InputError, match="cannot be written"):
        run(alice, "export", payment["id"], "--file", tmp_path / "no" / "folder")


def test_without_the_libraries_a_sentence_says_what_is_missing_and_nothing_is_released(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        if name in ("segno", "zxingcpp", "PIL.Image"):
            raise ImportError(f"No module named {name!r}")
        return importlib.import_module(name)

    monkeypatch.setattr(qr, "import_module", absent)
    alice = offline(Network(**FUNDS), "alice")
    payment = promised(alice)
    with pytest.raises(InputError, match=r"need segno, which is not installed here .*supervm-tier-l4-mobile\[app\]"):
        run(alice, "export", payment["id"], "--qr", tmp_path / "frames")
    assert not alice.core.queue.payments[1].released
    (tmp_path / "frames").mkdir()
    with pytest.raises(InputError, match="need pillow, which"):
        run(alice, "take", "--qr", tmp_path / "frames")
    with pytest.raises(qr.PictureError, match=r"need zxing-cpp|need pillow"):
        qr.codes_in(b"x")
    with pytest.raises(qr.PictureError, match="need segno"):
        qr.png_of(next(frames_of(b"x")))
