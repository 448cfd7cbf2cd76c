"""``supervm handover`` over pictures of QR codes, of which a third is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handover_tools import FUNDS, offline, promised
from mobile_tools import Network, Phone

from supervm.common.errors import InputError
from supervm.tier_l4_mobile.cli import handover as command


def test_the_command_line_hands_over_in_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), offline(network, "bob")
    payment = promised(alice)

    def run(phone: Phone, *arguments: object) -> Any:
        monkeypatch.setattr(command, "_ask", lambda directory, request, file: phone.call(request))
        name, *rest = map(str, arguments)
        result = CliRunner().invoke(
            command.handover, [name, "--dir", str(tmp_path), *rest, "--json"], standalone_mode=False
        )
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout)

    frames = tmp_path / "frames"
    document = run(alice, "export", payment["id"], "--qr", frames)
    rng = random.Random(9)
    for path in document["files"]:
        if rng.randrange(100) < 30:
            Path(path).unlink()
    (frames / "note.txt").write_text("no picture")
    [promise] = run(bob, "take", "--qr", frames)["promises"]
    assert (promise["id"], promise["covered"]) == (payment["id"], True)
    for path in sorted(frames.iterdir())[3:]:
        path.unlink()
    with pytest.raises(InputError, match=r"the pictures are not enough: .* are needed"):
        run(bob, "take", "--qr", frames)
    for path in frames.iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no frame of a hand-over"):
        run(bob, "take", "--qr", frames)
