"""``supervm handover`` over pictures of QR codes, of which a third is lost."""

from __future__ import annotations

import json
import random
import struct
import time
import zlib
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handover_tools import FUNDS, offline, promised
from mobile_tools import Network, Phone
from mutants import mutants, tried

from supervm.common.errors import InputError
from supervm.tier_l4_mobile.cli import handover as command
from supervm.tier_l4_mobile.handover import qr
from supervm.tier_l4_mobile.handover.frames import FrameError, FrameReader, frames_of


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


def test_mutated_pictures_end_in_a_sentence_or_in_codes() -> None:
    """What a folder of pictures may hold; a container of ten thousand by ten thousand pixels is not even looked at."""
    pictures = [qr.png_of(frame) for frame in islice(frames_of(bytes(range(256)) * 4), 4)]
    begun_s = time.process_time()
    for data in mutants(pictures, 400):
        codes = tried(lambda data=data: list(qr.codes_in(data)), qr.PictureError)
        for code in codes or ():
            tried(lambda code=code: FrameReader().take(code), FrameError)
    assert time.process_time() - begun_s < 20
    bomb = bytearray(pictures[0])
    bomb[16:24] = struct.pack(">II", 30_000, 30_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    assert tried(lambda: list(qr.codes_in(bytes(bomb))), qr.PictureError) is None
