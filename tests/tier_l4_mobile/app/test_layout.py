"""Every screen at every size, in both languages: no word is cut, and whatever is touched is large enough."""

from __future__ import annotations

import pytest
import trio
from finger import SIZES
from views import VIEWS, View, opened, settled


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("zh", "dark")])
@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
async def test_no_word_is_cut_and_no_target_is_too_small(view: View, language: str, theme: str) -> None:
    with trio.fail_after(240):
        async with opened(view, language, theme, SIZES[1]) as finger:
            for size in SIZES:
                await finger.resize(*size)
                await settled(finger)
                assert (finger.cut_labels(), finger.small_targets()) == ([], []), size
