"""Cameras: what one sees, as pixels for a reader of codes and as a texture for the screen.

Kivy knows how to open the camera of each system. Where there is none, or nobody has allowed it, there is no camera, and
whoever wanted one says so and goes on without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from kivy.graphics import Color, Rectangle
from kivy.graphics.texture import Texture
from kivy.metrics import dp
from kivy.uix.widget import Widget

WIDTH, HEIGHT = 1280, 720
"""What a camera is asked for, in pixels: a code of 200 bytes needs some 200 across."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera saw.

    Attributes:
        width: in pixels.
        height: likewise.
        pixels: red, green, blue and alpha of each, a byte each, row by row.
    """

    width: int
    height: int
    pixels: bytes


class Camera(Protocol):
    """A camera that is on."""

    @property
    def texture(self) -> Texture | None:
        """What it sees now, for the screen; None before it has seen anything."""

    def picture(self) -> Picture | None:
        """Return what it sees now; None before it has seen anything."""

    def close(self) -> None:
        """Switch it off."""


class KivyCamera:
    """The first camera of the system, through Kivy.

    Args:
        source: Kivy's camera, which is on.
    """

    def __init__(self, source: Any) -> None:
        self._source = source

    @property
    def texture(self) -> Texture | None:
        """What it sees now."""
        return self._source.texture

    def picture(self) -> Picture | None:
        """Return what it sees now."""
        texture = self._source.texture
        if texture is None:
            return None
        width, height = texture.size
        return Picture(width, height, bytes(texture.pixels))

    def close(self) -> None:
        """Switch it off."""
        self._source.stop()


def open_camera() -> Camera | None:
    """Switch on the first camera; None where there is none."""
    from kivy.core.camera import Camera as SystemCamera

    if SystemCamera is None:
        return None
    try:
        return KivyCamera(SystemCamera(index=0, resolution=(WIDTH, HEIGHT), stopped=False))
    except Exception:  # each system's provider has errors of its own; all of them mean that there is none
        return None


CORNERS_DP: Final = 240
"""Height of the finder on the screen."""


class Finder(Widget):
    """Shows what a camera sees, as large as it fits."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"size_hint_y": None, "height": dp(CORNERS_DP)} | more)
        with self.canvas:
            self._ink = Color(1, 1, 1, 0)
            self._seen = Rectangle()
        self.bind(pos=self._place, size=self._place)

    def show(self, texture: Texture | None) -> None:
        """Show what is seen now."""
        self._seen.texture = texture
        self._ink.a = 0 if texture is None else 1
        self._place()

    def _place(self, *_: object) -> None:
        texture = self._seen.texture
        if texture is None:
            return
        wide, high = texture.size
        factor = min(self.width / wide, self.height / high)
        self._seen.size = (wide * factor, high * factor)
        self._seen.pos = (self.center_x - wide * factor / 2, self.center_y - high * factor / 2)
