"""QR codes: bytes to a picture and back, by libraries of the extra ``app``, which are imported when they are needed.

segno makes the pictures, zxing-cpp reads them, Pillow is between them and files. A frame is written as bytes, not as
text, so that 200 of them fit a code of version 9 with the least error correction; frames that are lost are made up for
by others (`fountain`), so correction inside of one is a waste of size.
"""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import Any, Final

from ..errors import MobileError

SCALE: Final = 8
"""Pixels of a module, unless something else is asked for."""
BORDER: Final = 4
"""Empty modules around a code: what the standard asks for."""
PICTURE_BYTES_MAX: Final = 32 << 20
"""Longest file of a picture that is read."""
PIXELS_MAX: Final = 64_000_000
"""Largest picture that is looked at."""
_NEEDED: Final = {"segno": "segno", "zxingcpp": "zxing-cpp", "PIL.Image": "pillow"}


class PictureError(MobileError):
    """A picture cannot be made or read; the text says why."""


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise PictureError(
            f"QR codes need {_NEEDED[name]}, which is not installed here ({error}): install "
            "supervm-tier-l4-mobile[app], or use a file"
        ) from None


def needs() -> None:
    """Find out whether pictures can be read here.

    Raises:
        PictureError: a library is not installed; which one, and what brings it.
    """
    _library("PIL.Image"), _library("zxingcpp")


def png_of(data: bytes | str, *, scale: int = SCALE) -> bytes:
    """Return the PNG of the QR code of a frame, or of a text such as a payment request.

    Args:
        data: what the code says.
        scale: pixels of a module.

    Raises:
        PictureError: it is too much for a code, or segno is not installed.
    """
    segno = _library("segno")
    kind = "byte" if isinstance(data, bytes) else None
    try:
        code = segno.make_qr(data, error="l", mode=kind, boost_error=False)
    except segno.DataOverflowError:
        raise PictureError(f"a QR code holds 2953 bytes at most; these are {len(data)}") from None
    out = BytesIO()
    code.save(out, kind="png", scale=scale, border=BORDER)
    return out.getvalue()


def codes_in(picture: bytes) -> list[bytes]:
    """Return what the QR codes in a picture file say; none if there are none.

    Args:
        picture: the bytes of a PNG, a JPEG or another file that Pillow reads.

    Raises:
        PictureError: it is no picture, too large, or a library is not installed.
    """
    if len(picture) > PICTURE_BYTES_MAX:
        raise PictureError(f"the picture has {len(picture)} bytes; at most {PICTURE_BYTES_MAX} are allowed")
    images = _library("PIL.Image")
    try:
        with images.open(BytesIO(picture)) as image:
            if image.width * image.height > PIXELS_MAX:
                raise PictureError(
                    f"the picture has {image.width} x {image.height} pixels; at most {PIXELS_MAX} in all are allowed"
                )
            grey = image.convert("L")
    except PictureError:
        raise
    except Exception as error:  # whatever a decoder raises at bytes that anybody may have made
        raise PictureError(f"the picture cannot be read: {type(error).__name__}: {str(error)!a:.120}") from None
    return _codes(grey)


def codes_in_pixels(width: int, height: int, pixels: bytes) -> list[bytes]:
    """Return what the QR codes in a picture say that a camera took.

    Args:
        width: in pixels.
        height: likewise.
        pixels: red, green, blue and alpha of each, a byte each, row by row; codes are read upside down, too.

    Raises:
        PictureError: these are not so many pixels, they are too many, or a library is not installed.
    """
    if len(pixels) != 4 * width * height or not 0 < width * height <= PIXELS_MAX:
        raise PictureError(f"{len(pixels)} bytes are no picture of {width} x {height} pixels")
    return _codes(_library("PIL.Image").frombytes("RGBA", (width, height), pixels).convert("L"))


def _codes(grey: Any) -> list[bytes]:
    reader = _library("zxingcpp")
    return [bytes(code.bytes) for code in reader.read_barcodes(grey, formats=reader.BarcodeFormat.QRCode)]
