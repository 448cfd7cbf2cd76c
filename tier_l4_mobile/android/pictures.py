"""Draw the app's icon and its first picture: four tiers, each on the one below, and a payment leaving the uppermost.

``python3 pictures.py`` writes them to ``pictures`` beside this file (Pillow is needed); a test holds what is there
against what this draws. Everything is drawn four times as large and made smaller, so that edges are smooth.

An adaptive icon has two layers of 108 by 108 dp, of which Android shows what its mask leaves: at least a circle of
66 dp in the middle. The mark stays inside of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
FINE = 4
"""How much larger things are drawn than they are written."""
NIGHT, DEEP = (14, 26, 43), (22, 44, 72)
"""Background: its upper left and its lower right."""
TIERS = ((96, 214, 190), (74, 172, 196), (62, 130, 196), (66, 96, 176))
"""The four tiers from the uppermost - phones - to the lowest."""
SPARK = (255, 214, 122)
"""The payment."""

Colour = tuple[int, int, int]


def ground(side: int) -> Image.Image:
    """Return the background: from one colour to the other, along the diagonal."""
    ramp = Image.new("RGB", (2 * side - 1, 1))
    for step in range(2 * side - 1):
        ramp.putpixel((step, 0), _between(NIGHT, DEEP, step, 2 * side - 2))
    picture = Image.new("RGB", (side, side))
    for row in range(side):
        picture.paste(ramp.crop((row, 0, row + side, 1)), (0, row))
    return picture


def _between(first: Colour, last: Colour, step: int, steps: int) -> Colour:
    red, green, blue = (low + (high - low) * step // steps for low, high in zip(first, last, strict=True))
    return red, green, blue


def mark(side: int, size: int) -> Image.Image:
    """Return the mark, `size` high and wide, in the middle of a clear square of `side`."""
    large = side * FINE
    picture = Image.new("RGBA", (large, large), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    unit = size * FINE  # all that follows is in thousandths of the mark's size
    left, top = (large - unit) // 2, (large - unit) // 2

    def at(thousandths: int) -> int:
        return unit * thousandths // 1000

    for number, colour in enumerate(TIERS):
        upper = 110 + 205 * number
        right = 90 + 280 + 180 * number
        draw.rounded_rectangle(
            (left + at(90), top + at(upper), left + at(right), top + at(upper + 150)),
            radius=at(75),
            fill=(*colour, 255),
        )
    middle, height, radius = left + at(90 + 280 + 105), top + at(185), at(60)
    draw.ellipse((middle - radius, height - radius, middle + radius, height + radius), fill=(*SPARK, 255))
    return picture.resize((side, side), Image.Resampling.BOX)


def icon(side: int) -> Image.Image:
    """Return the icon for launchers without layers: the mark on a rounded square."""
    mask = Image.new("L", (side * FINE, side * FINE), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side * FINE - 1, side * FINE - 1), radius=side * FINE // 5, fill=255)
    picture = ground(side).convert("RGBA")
    picture.alpha_composite(mark(side, side * 68 // 100))
    picture.putalpha(mask.resize((side, side), Image.Resampling.BOX))
    return picture


def splash(side: int) -> Image.Image:
    """Return what is shown while Python starts: the mark, on the colour that buildozer.spec gives the screen."""
    picture = Image.new("RGBA", (side, side), (*NIGHT, 255))
    picture.alpha_composite(mark(side, side * 38 // 100))
    return picture.convert("RGB")


def drawn() -> dict[str, Image.Image]:
    """Return every picture by the name of its file."""
    return {
        "icon.png": icon(512),
        "icon-front.png": mark(432, 216),  # 108 dp at four pixels each; the mark has 54 of them
        "icon-back.png": ground(432),
        "splash.png": splash(1024),
    }


def main() -> None:
    """Write them."""
    folder = HERE / "pictures"
    folder.mkdir(exist_ok=True)
    for name, picture in drawn().items():
        picture.save(folder / name, optimize=True)
        sys.stdout.write(f"{folder / name}: {picture.width} by {picture.height}\n")


if __name__ == "__main__":
    main()
