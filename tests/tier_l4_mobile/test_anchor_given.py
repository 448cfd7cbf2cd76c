"""An anchor for a first run: as text, as a file, as a picture of its code; anything else is told, and nothing taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chain_tools import make_test_chain, test_key

from supervm.common.errors import InputError
from supervm.common.host.anchor_file import anchor_text
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import encode
from supervm.protocol.light.client import anchor_of
from supervm.tier_l4_mobile.app.anchor_given import anchor_given
from supervm.tier_l4_mobile.errors import MobileError
from supervm.tier_l4_mobile.handover.qr import PictureError, needs, png_of

CHAIN = make_test_chain(4).chain
ANCHOR = anchor_of(CHAIN)
TEXT = anchor_text(ANCHOR)


def _file(data: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / "given"
        path.write_bytes(data)
        return f"  {path}\n"

    return make


@pytest.mark.parametrize(
    "make",
    [lambda folder: TEXT, lambda folder: TEXT.encode(), _file(TEXT.encode()), _file(encode(ANCHOR))],
    ids=["text", "code", "file of text", "file"],
)
def test_an_anchor_is_read_however_it_was_given(tmp_path: Path, make: Callable[[Path], str | bytes]) -> None:
    assert anchor_given(make(tmp_path), CHAIN) == ANCHOR


def test_an_anchor_is_read_from_the_picture_of_its_code(tmp_path: Path) -> None:
    try:
        needs()
        picture = png_of(TEXT, scale=4)
    except PictureError as error:
        pytest.skip(str(error))
    assert anchor_given(_file(picture)(tmp_path), CHAIN) == ANCHOR
    with pytest.raises(MobileError, match="asks for a payment"):
        anchor_given(_file(png_of(f"svm:{encode_address(test_key('bob').public, test=False)}"))(tmp_path), CHAIN)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: str(folder / "nothing"), "the anchor cannot be read: No such file"),
        (lambda folder: str(folder), "the anchor cannot be read: .* is a folder or a device"),
        (_file(b"\x89PNG\r\n is no picture"), "the picture cannot be read|QR codes need"),
        (_file(bytes(500)), "this is no anchor"),
        (_file(b""), "this is no anchor"),
        (lambda folder: TEXT[:-9], "this is no anchor"),
        (lambda folder: " ".join(["abandon"] * 11 + ["about"]), "words of a wallet"),
        (lambda folder: anchor_text(anchor_of(make_test_chain(4, {"x": 5}).chain)), "another network's"),
    ],
    ids=["missing", "folder", "broken picture", "garbage", "empty", "cut", "words", "other network"],
)
def test_what_is_none_is_told(tmp_path: Path, make: Callable[[Path], str], told: str) -> None:
    with pytest.raises((InputError, MobileError), match=told):
        anchor_given(make(tmp_path), CHAIN)
