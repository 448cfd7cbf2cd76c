"""Home: what there is and how sure that is; what is on its way; who is at the other end; Pay and Receive."""

from __future__ import annotations

from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..kit.boxes import Card, Column, Line, Row
from ..kit.buttons import OUTLINED, IconButton, PushButton
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.scroll import Listing
from ..kit.words import Words
from ..models.home import AssetLine, HomeView
from ..values import Text, say
from .registry import SCREENS
from .screen import Scene, Screen


class HomeScreen(Screen):
    """The first thing that is seen."""

    title: ClassVar[Text] = say("home.title")
    is_kept: ClassVar[bool] = True
    has_tabs: ClassVar[bool] = True

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._eye = IconButton(look, "eye", key="home.hide", ink="faint")
        self._eye.when_tapped(self._hide)
        self._amount = Words(look, letters="amount")
        self._sure = Icon(look, "clock", ink="waiting", icon_dp=20)
        self._certainty = Words(look, ink="faint")
        self._flow: Listing[Text] = Listing(
            lambda text: (text.key, repr(text.values)), self._flow_row, lambda row, text: None, spacing=4
        )
        self._balance = Card(
            look,
            Line(Words(look, say("home.balance"), ink="faint"), self._eye),
            self._amount,
            Line(self._sure, self._certainty),
            self._flow,
            padding=(space("wide"), space("gap"), space("gap"), space("wide")),
        )
        pay = PushButton(look, say("home.pay"), key="home.pay", icon="pay")
        receive = PushButton(look, say("home.receive"), key="home.receive", kind=OUTLINED, icon="receive")
        pay.when_tapped(lambda: scene.navigator.go("pay"))
        receive.when_tapped(lambda: scene.navigator.go("receive"))
        self._held: Listing[AssetLine] = Listing(lambda line: line.asset, self._asset_row, self._show_asset)
        self._assets = Card(look, Words(look, say("home.assets"), letters="small", ink="faint"), self._held)
        self._link = Row(look, "", key="home.link", icon="network", end_icon="forward")
        self._link.when_tapped(lambda: scene.navigator.go("network"))
        self._waiting = Row(look, "", key="home.waiting", icon="clock", end_icon="forward")
        self._waiting.when_tapped(lambda: scene.navigator.go("waiting"))
        self._more = Card(look, self._link, padding=0, spacing=0)
        self._problems: Listing[Text] = Listing(
            lambda text: (text.key, repr(text.values)), self._problem, lambda row, text: None
        )
        self._trouble = Card(look, self._problems)
        self._side = Column(spacing=space("pad"))
        self.put(self._balance, Line(pay, receive, spacing=space("pad")))
        self.put(self._side, side=1)
        self._shown: HomeView | None = None

    def _hide(self) -> None:
        self.scene.models.home.tap()
        self.refresh(self.scene.now_ms())

    def refresh(self, now_ms: int) -> None:
        """Show what there is now."""
        model = self.scene.models.home
        view = model.view(now_ms)
        self._eye.icon.show("eye-off" if model.is_hidden else "eye")
        first, *others = view.lines
        self._amount.say(first.amount)
        self._certainty.say(first.certainty, "sure" if first.is_sure else "waiting")
        self._sure.show("check" if first.is_sure else "clock", "sure" if first.is_sure else "waiting")
        self._flow.fill([*view.going_out, *view.coming_in])
        self._held.fill(others)
        self._link.title.say(view.connection, "text" if view.is_online else "waiting")
        self._link.icon.show(ink="sure" if view.is_online else "waiting")  # type: ignore[union-attr]
        self._problems.fill(view.problems)
        count = self.scene.models.waiting.count
        self._waiting.title.say(count)
        self._arrange_side(bool(others), bool(view.problems), bool(count.values["n"]))

    def _arrange_side(self, has_assets: bool, has_problems: bool, has_waiting: bool) -> None:
        rows = [self._link, *([self._waiting] if has_waiting and "waiting" in SCREENS else [])]
        if self._more.children[::-1] != rows:
            self._more.clear_widgets()
            for row in rows:
                self._more.add_widget(row)
        cards = [
            *([self._trouble] if has_problems else []),
            *([self._assets] if has_assets else []),
            self._more,
        ]
        if self._side.children[::-1] != cards:
            self._side.clear_widgets()
            for card in cards:
                self._side.add_widget(card)

    def _flow_row(self, text: Text) -> Widget:
        look, is_out = self.scene.look, text.key == "home.out"
        return Line(Icon(look, "pay" if is_out else "receive", ink="faint", icon_dp=20), Words(look, text, ink="faint"))

    def _asset_row(self, line: AssetLine) -> Widget:
        look = self.scene.look
        row = Column(Words(look, line.amount), Words(look, line.certainty, letters="small", ink="faint"), spacing=2)
        row.padding = (0, space("gap"))
        return row

    def _show_asset(self, row: Any, line: AssetLine) -> None:
        certainty, amount = row.children
        amount.say(line.amount)
        certainty.say(line.certainty)

    def _problem(self, text: Text) -> Widget:
        look = self.scene.look
        return Line(Icon(look, "warning", ink="bad"), Words(look, text))
