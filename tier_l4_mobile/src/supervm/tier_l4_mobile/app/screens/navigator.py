"""Where the owner is in the app and how to get back; knows names of screens and no widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """A screen that was gone to.

    Attributes:
        name: of the screen, in the registry.
        arguments: what it was opened with.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Navigator:
    """A stack of places; the first is one of the tabs.

    Args:
        tabs: names of the screens that stand in the bar; the first is the one to begin at.
        moved: told the place that is shown now.
    """

    def __init__(self, tabs: tuple[str, ...], moved: Callable[[Place], None]) -> None:
        self.tabs = tabs
        self._moved = moved
        self._places = [Place(tabs[0])]

    @property
    def place(self) -> Place:
        """Where the owner is."""
        return self._places[-1]

    @property
    def tab(self) -> str:
        """The tab from which the owner came here."""
        return self._places[0].name

    @property
    def can_go_back(self) -> bool:
        """Whether there is a place to go back to."""
        return len(self._places) > 1

    def go(self, name: str, **arguments: Any) -> None:
        """Go to a screen; a tab forgets the way that led here."""
        place = Place(name, arguments)
        self._places = [place] if name in self.tabs else [*self._places, place]
        self._moved(place)

    def replace(self, name: str, **arguments: Any) -> None:
        """Go to a screen in place of this one: going back from there does not come here."""
        self._places[-1:] = []
        if not self._places:
            self._places = [Place(self.tabs[0])]
        self.go(name, **arguments)

    def lead(self, name: str, **arguments: Any) -> None:
        """Go to a screen from the tab: whatever lay between is forgotten."""
        self._places = self._places[:1]
        self.go(name, **arguments)

    def back(self) -> bool:
        """Go back; from a tab to the first one. Return whether there was anywhere to go."""
        if self.can_go_back:
            self._places.pop()
        elif self.tab != self.tabs[0]:
            self._places = [Place(self.tabs[0])]
        else:
            return False
        self._moved(self.place)
        return True
