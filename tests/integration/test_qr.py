"""QR codes of frames and requests: made, lost in part, and read back; through the command line, too."""

from __future__ import annotations

import random
from io import BytesIO
from itertools import islice

import pytest
from handover_vectors import REQUESTS, sample_container
from PIL import Image

from supervm.tier_l4_mobile.handover.container import write_container
from supervm.tier_l4_mobile.handover.frames import FRAME_BYTES_MAX, FrameReader, frame_count, frames_of
from supervm.tier_l4_mobile.handover.payment_request import format_request, parse_request
from supervm.tier_l4_mobile.handover.qr import PictureError, codes_in, png_of


def test_frames_as_pictures_with_a_third_of_them_lost_give_the_container_back() -> None:
    data = write_container(sample_container()) + bytes(range(256)) * 12
    rng, reader, read = random.Random(2), FrameReader(), 0
    for frame in frames_of(data):
        if rng.randrange(100) < 30:
            continue
        [code] = codes_in(png_of(frame, scale=3))
        assert code == frame
        read += 1
        if reader.take(code):
            break
    assert reader.container == data
    assert read <= frame_count(len(data)) * 1.1 + 3


def test_any_bytes_of_a_frame_are_read_as_they_were_written() -> None:
    for frame in (bytes(range(200)), bytes(200), b"\xff" * 200, bytes(range(56, 256)), b"SV\x01" + bytes(30)):
        assert len(frame) <= FRAME_BYTES_MAX
        assert codes_in(png_of(frame, scale=3)) == [frame]


def test_a_request_is_read_from_its_picture() -> None:
    for request in REQUESTS:
        [code] = codes_in(png_of(format_request(request)))
        assert parse_request(code.decode()) == request


def test_a_picture_that_was_turned_made_small_and_saved_as_jpeg_is_read() -> None:
    frame = next(islice(frames_of(bytes(range(256)) * 4), 7, None))
    image = Image.open(BytesIO(png_of(frame, scale=8))).convert("L").rotate(20, expand=True, fillcolor=255)
    out = BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(out, "jpeg", quality=60)
    assert codes_in(out.getvalue()) == [frame]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "cannot be read"),
        (b"GIF89a" + b"\xff" * 50, "cannot be read"),
        (bytes((32 << 20) + 1), "at most 33554432 are allowed"),
    ],
)
def test_what_is_no_picture_is_said_to_be_none(data: bytes, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        codes_in(data)


def test_pictures_are_bounded() -> None:
    out = BytesIO()
    Image.new("1", (10_000, 6_401)).save(out, "png")
    with pytest.raises(PictureError, match="pixels"):
        codes_in(out.getvalue())
    with pytest.raises(PictureError, match="2953 bytes at most"):
        png_of(bytes(3_000))


def test_mutated_pictures_raise_nothing_else() -> None:
    rng, good = random.Random(3), png_of(next(frames_of(b"abc" * 50)), scale=2)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            codes_in(bytes(data[: rng.choice((len(data), rng.randrange(1, len(data))))]))
        except PictureError:
            continue
