"""QR codes on the screen: dark on light in both themes, with the quiet zone that readers need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kivy.graphics import Color, Rectangle, RoundedRectangle
from kivy.graphics.texture import Texture
from kivy.metrics import dp
from kivy.uix.widget import Widget

QUIET_MODULES = 4
"""Light modules around a code: what the standard asks for."""
Modules = Sequence[Sequence[int]]
"""Rows of a code from the top; a module that is not 0 is dark."""


def modules_of(data: bytes | str) -> Modules:
    """Return the modules of a QR code; of much data that takes longer than a frame, so ask in a thread.

    Raises:
        ValueError: it is more than a code holds.
    """
    import segno  # half of it is tables: whoever shows no code needs none of them

    code = segno.make_qr(data, error="l" if isinstance(data, bytes) else "m", boost_error=False)
    return tuple(bytes(row) for row in code.matrix)


class QrPicture(Widget):
    """Shows one code, as large a square as there is room, each module the same number of pixels.

    Args:
        more: of Kivy's widget.

    Attributes:
        modules: what is shown; None: nothing.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.modules: Modules | None = None
        with self.canvas:
            self._light = Color(1, 1, 1, 0)
            self._paper = RoundedRectangle(radius=[dp(12)])
            self._dark = Color(1, 1, 1, 0)
            self._code = Rectangle()
        self.bind(pos=self._place, size=self._place)

    def show(self, modules: Modules | None) -> None:
        """Show a code, or none."""
        if modules == self.modules:
            return
        self.modules = modules
        if modules is not None:
            side = len(modules)
            texture = Texture.create(size=(side, side), colorfmt="luminance")
            texture.mag_filter = texture.min_filter = "nearest"
            pixels = b"".join(bytes(0 if module else 255 for module in row) for row in reversed(modules))
            texture.blit_buffer(pixels, colorfmt="luminance", bufferfmt="ubyte")
            self._code.texture = texture
        self._place()

    def _place(self, *_: object) -> None:
        shown = self.modules is not None
        self._light.a = self._dark.a = 1 if shown else 0
        if self.modules is None:
            return
        side = len(self.modules)
        module = max(1, int(min(self.width, self.height) // (side + 2 * QUIET_MODULES)))
        paper = module * (side + 2 * QUIET_MODULES)
        left, low = int(self.center_x - paper / 2), int(self.center_y - paper / 2)
        self._paper.pos, self._paper.size = (left, low), (paper, paper)
        inset = module * QUIET_MODULES
        self._code.pos, self._code.size = (left + inset, low + inset), (module * side, module * side)
