"""Pictures of every screen, in both languages, light and dark, at all sizes: ``./run screens [NAME...]``.

They go to build/screens, a file each, and a sheet for each screen that shows some of them side by side.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "offscreen"
os.environ.pop("DISPLAY", None)

from supervm.tier_l4_mobile.app.window import set_up_kivy

set_up_kivy(frames_per_s_max=0)  # before anything imports it

import trio  # noqa: E402
from finger import SIZES  # noqa: E402
from PIL import Image  # noqa: E402
from views import VIEWS, View, opened, settled  # noqa: E402

OUT = Path(__file__).parents[2] / "build" / "screens"
LOOKS = tuple((language, theme) for language in ("en", "zh") for theme in ("light", "dark"))
ON_SHEET = (("en", "light", 320), ("en", "dark", 390), ("zh", "light", 390), ("zh", "dark", 820), ("en", "light", 1280))
GAP = 16


def path_of(view: View, language: str, theme: str, width: int) -> Path:
    """Where a picture goes."""
    return OUT / f"{view.name}-{language}-{theme}-{width}.png"


async def take(view: View) -> list[str]:
    """Make the pictures of a screen; return what is cut or too small on them."""
    problems = []
    for language, theme in LOOKS:
        async with opened(view, language, theme, SIZES[1]) as finger:
            for width, height in SIZES:
                await finger.resize(width, height)
                await settled(finger)
                finger.picture(path_of(view, language, theme, width))
                for problem in (*finger.cut_labels(), *finger.small_targets()):
                    problems.append(f"{view.name} {language} {theme} {width}: {problem}")
    return problems


def sheet(view: View) -> None:
    """Put some of the pictures side by side."""
    pictures = [Image.open(path_of(view, *which)).convert("RGB") for which in ON_SHEET]
    wide = sum(picture.width for picture in pictures) + GAP * (len(pictures) + 1)
    whole = Image.new("RGB", (wide, max(picture.height for picture in pictures) + 2 * GAP), "#8a8f98")
    left = GAP
    for picture in pictures:
        whole.paste(picture, (left, GAP))
        left += picture.width + GAP
    whole.save(OUT / f"sheet-{view.name}.png")


def main(names: list[str]) -> int:
    """Make all pictures, or those of some screens; return the exit status."""
    OUT.mkdir(parents=True, exist_ok=True)
    unknown = sorted(set(names) - {view.name for view in VIEWS})
    if unknown:
        print(f"there is no screen {unknown[0]}; there are {', '.join(view.name for view in VIEWS)}", file=sys.stderr)
        return 2
    problems: list[str] = []
    for view in VIEWS:
        if not names or view.name in names:
            problems += trio.run(take, view)
            sheet(view)
            print(f"{view.name}: {len(LOOKS) * len(SIZES)} pictures")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"build/screens has them; {len(problems)} words are cut or targets too small")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
