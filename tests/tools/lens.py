"""A camera that sees pictures of another phone's screen, and the one who takes those pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finger import Finger
from kivy.graphics.texture import Texture
from PIL import Image

from supervm.tier_l4_mobile.app.kit.camera import Picture


class Camera:
    """Sees one picture after another, and then none.

    Args:
        paths: files with the pictures.

    Attributes:
        is_on: whether nobody has closed it.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._pictures = []
        for path in paths:
            with Image.open(path) as image:
                rgba = image.convert("RGBA")
            self._pictures.append(Picture(*rgba.size, rgba.tobytes()))
        self._left = iter(self._pictures)
        self.is_on = True

    @property
    def texture(self) -> Texture | None:
        """What the viewfinder draws: the first picture."""
        first = self._pictures[0]
        texture = Texture.create(size=(first.width, first.height), colorfmt="rgba")
        texture.blit_buffer(first.pixels, colorfmt="rgba", bufferfmt="ubyte")
        return texture

    def picture(self) -> Picture | None:
        """Return the next picture; None after the last one."""
        return next(self._left, None)

    def close(self) -> None:
        """See no more."""
        self.is_on = False


async def photographed(finger: Finger, folder: Path, count: int) -> list[Path]:
    """Take pictures of a hand-over on the screen, one each time that it shows another code.

    Args:
        finger: who looks at the screen.
        folder: where the pictures go.
        count: how many there are to be.
    """
    paths: list[Path] = []
    seen = [""]

    def is_new() -> bool:
        told = [text for text in finger.texts() if text.startswith("Picture ")]
        return bool(told) and told[0] != seen[-1] and not seen.append(told[0])

    while len(paths) < count:
        await finger.until(is_new)
        paths.append(folder / f"seen-{len(paths):03}.png")
        finger.picture(paths[-1])
    return paths
