"""What is around every screen: its head with the way back, the tabs, and a line that moves while something goes on."""

from __future__ import annotations

from collections.abc import Mapping

from kivy.core.window import Window
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from ..kit.boxes import Line
from ..kit.buttons import IconButton
from ..kit.ground import Ground
from ..kit.look import Dressed, Look, is_wide, space, target
from ..kit.tabs import TabBar
from ..kit.told import BusyBar
from ..kit.words import Words
from ..values import Text, say
from .navigator import Navigator
from .screen import Page


class Head(Line):
    """The head of a screen: the way back, its title, its actions."""

    def __init__(self, look: Look, navigator: Navigator) -> None:
        super().__init__(padding=(space("gap"), space("small")), spacing=space("gap"))
        self._navigator = navigator
        self._back = IconButton(look, "back", key="back")
        self._back.when_tapped(navigator.back)
        self._title = Words(look, letters="title")
        self._room = Widget(size_hint=(None, None), size=(0, target()))

    def show(self, screen: Page) -> None:
        """Show the head of a screen."""
        self.clear_widgets()
        can_go_back = self._navigator.can_go_back
        if can_go_back:
            self.add_widget(self._back)
        else:
            self.add_widget(self._room)  # the head is as high with a way back as without
        self._title.say(screen.head())
        self.padding = (space("gap") if can_go_back else space("pad"), space("small"), space("gap"), space("small"))
        self.add_widget(self._title)
        for action in screen.actions():
            self.add_widget(action)

    def retitle(self, screen: Page) -> None:
        """Show the title as it is now."""
        self._title.say(screen.head())


class Frame(Dressed, BoxLayout):
    """The head, one screen, and the tabs: below on a phone, at the side where it is wide.

    Args:
        look: what it is drawn with.
        navigator: goes to what is tapped.
        places: what stands in the bar: name -> text and icon; none: there is no bar.
    """

    def __init__(self, look: Look, navigator: Navigator, places: Mapping[str, tuple[Text, str]]) -> None:
        super().__init__(orientation="horizontal")
        self._navigator = navigator
        self.ground = Ground(self, corner_dp=0)
        self.busy = BusyBar(look)
        self._head = Head(look, navigator)
        self._screen: Page | None = None
        name = Words(look, say("app.name"), letters="title")
        top = Line(name, padding=(space("pad"), space("gap"), space("pad"), space("wide")))
        self._rail = TabBar(look, places, navigator.go, is_rail=True, top=top) if places else None
        self._bar = TabBar(look, places, navigator.go, is_rail=False) if places else None
        self._page = BoxLayout(orientation="vertical")
        self._is_wide: bool | None = None
        Window.bind(size=self._on_size)
        self.follow(look)

    def show(self, screen: Page) -> None:
        """Show a screen in place of the one before."""
        self._screen = screen
        self._head.show(screen)
        self._arrange()

    def retitle(self) -> None:
        """Show the head as it is now."""
        if self._screen is not None:
            self._head.retitle(self._screen)

    @property
    def screen(self) -> Page | None:
        """The screen that is shown."""
        return self._screen

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "ground")
        Window.clearcolor = self.look.colour("ground")

    def _on_size(self, *_: object) -> None:
        if is_wide(Window.width) != self._is_wide:
            self._arrange()

    def _arrange(self) -> None:
        self._is_wide = is_wide(Window.width)
        self.clear_widgets()
        self._page.clear_widgets()
        for bar in (self._rail, self._bar):
            if bar is not None:
                bar.choose(self._navigator.tab)
        if self._is_wide and self._rail is not None:
            self.add_widget(self._rail)
        self.add_widget(self._page)
        self._page.add_widget(self.busy)
        self._page.add_widget(self._head)
        if self._screen is not None:
            self._page.add_widget(self._screen)
            if self._screen.has_tabs and self._bar is not None and not self._is_wide:
                self._page.add_widget(self._bar)
