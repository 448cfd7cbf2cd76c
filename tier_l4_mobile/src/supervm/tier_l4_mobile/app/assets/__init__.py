"""Files that the app shows: the font, with its source and its licence beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FONT_FILE: Final = Path(__file__).with_name("WenQuanYiMicroHei-subset.ttf")
"""The one font: Latin letters and the 3,755 most frequent Chinese ones."""
