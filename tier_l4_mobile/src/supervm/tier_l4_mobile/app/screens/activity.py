"""Activity: what was paid, newest first, with search and filters; beside it the payment that is looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final, cast

import trio
from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from ..export import csv_header, csv_rows
from ..kit.boxes import Column
from ..kit.buttons import IconButton
from ..kit.choices import Choices, Value
from ..kit.fields import Entry
from ..kit.ground import CORNER_DP, Ground
from ..kit.icons import Icon
from ..kit.look import Dressed, Look, is_wide, space
from ..kit.payment_row import PaymentRow, row_height
from ..kit.recycled import Recycled
from ..kit.scroll import COLUMN_DP_MAX, RAIL_DP
from ..kit.words import Words
from ..models.activity import PARTS, ActivityRow, Part
from ..models.home import HIDDEN
from ..values import Moment, Text, say
from .payment import PaymentScreen
from .saved import keep_file
from .screen import Scene, Screen

INCOME: Final = "income-"
"""How ids of what came in begin: it has no page, since a proof of a balance says no more than the row."""
LONG_AGO: Final = Moment(1_795_779_840_000)
"""A time that takes as many letters as any."""
_ICONS: Final = {
    "paid": ("done", "sure"),
    "open": ("clock", "waiting"),
    "void": ("close", "faint"),
    "in": ("receive", "sure"),
}


class Paper(Dressed, BoxLayout):
    """The ground of the list, as of a card; it shows the list, or that there is nothing to list."""

    def __init__(self, look: Look) -> None:
        super().__init__(padding=(0, space("small")))
        self.ground = Ground(self, corner_dp=CORNER_DP + 4)
        self.follow(look)

    def show(self, thing: Widget) -> None:
        """Show one thing."""
        if self.children != [thing]:
            self.clear_widgets()
            self.add_widget(thing)

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "card")


class ActivityScreen(Screen):
    """The list of payments, over all of the screen: it scrolls by itself."""

    title: ClassVar[Text] = say("activity.title")
    is_kept: ClassVar[bool] = True
    has_tabs: ClassVar[bool] = True

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.activity
        self._export = IconButton(look, "file", key="activity.export")
        self._export.when_tapped(self._write)
        self._search = Entry(look, say("activity.hint"), key="activity.search", size_hint_y=None)
        self._search.bind(text=lambda _, text: self._look_for(text))
        self._parts = Choices(look, None, list(PARTS.items()), key="activity.part", act=self._choose)
        self._parts.choose(self._model.part)
        self._none = Words(look, ink="faint", halign="center")
        icon = AnchorLayout(size_hint_y=None, height=dp(48))
        icon.add_widget(Icon(look, "activity", ink="line", icon_dp=40))
        self._nothing = AnchorLayout(padding=space("wide"))
        self._nothing.add_widget(Column(icon, self._none, spacing=space("pad")))
        self._list: Recycled[ActivityRow, PaymentRow] = Recycled(
            look,
            make=self._make,
            show=self._show,
            height_of=lambda width: row_height(look, width, look.write(say("activity.when", at=LONG_AGO))),
            rows=self._rows,
            wants_more=self._read_on,
        )
        self._is_reading = False
        self._detail: PaymentScreen | None = None
        head = Column(self._search, self._parts, spacing=space("gap"))
        self._paper = Paper(look)
        pad = space("pad")
        self._left = BoxLayout(orientation="vertical", padding=(pad, 0, pad, pad), spacing=pad)
        for thing in (head, self._paper):
            self._left.add_widget(thing)
        self._panes = BoxLayout(spacing=space("gap"), size_hint_x=None)
        self._middle = AnchorLayout()
        self._middle.add_widget(self._panes)
        self.clear_widgets()  # the column that other screens scroll in
        self.add_widget(self._middle)
        self.bind(width=self._lay)

    def actions(self) -> list[Widget]:
        """Return the icon that writes the list to a file."""
        return [self._export]

    # --- the list -----------------------------------------------------------------------------------------------------

    def _make(self) -> PaymentRow:
        row = PaymentRow(self.scene.look)
        row.when_tapped(lambda: self._open(row.key.removeprefix("activity.row.")))
        return row

    def _rows(self, first: int, most: int) -> list[ActivityRow]:
        """Return a part of the list; without amounts while they are hidden."""
        rows = self._model.rows(first, most)
        return [replace(row, amount=HIDDEN) for row in rows] if self.scene.models.home.is_hidden else rows

    def _show(self, row: PaymentRow, item: ActivityRow) -> None:
        way = "in" if item.is_income else "paid" if item.is_paid else "open" if item.is_open else "void"
        icon, ink = _ICONS[way]
        when = say("activity.when", at=item.when)
        to = say("activity.to-you") if item.is_income else item.to
        row.show(f"activity.row.{item.id}", icon, ink, to, item.amount, item.status, when)

    def _read_on(self) -> None:
        """Read the next page, unless that is under way or there is none."""
        if self._is_reading or self._model.is_all_read:
            return
        self._is_reading = True

        def done(problem: Text | None) -> None:
            self._is_reading = False
            if problem is not None:
                self.scene.tell(problem, True)
            self.refresh(self.scene.now_ms())

        self.scene.work(self.scene.session.more_activity, done, is_quiet=True)

    def refresh(self, now_ms: int) -> None:
        """Show the payments as they are now."""
        model = self._model
        self._parts.choose(model.part)
        if not model.is_all_read:
            self._none.say(say("activity.reading"))
        else:
            self._none.say(say("activity.none-found") if model.is_narrowed else say("activity.none"))
        self._paper.show(self._list if model.listed_count else self._nothing)
        if not model.is_all_read and model.listed_count == 0:
            self._read_on()
        self._list.fill(model.listed_count)
        if self._detail is not None:
            self._detail.refresh(now_ms)

    def _look_for(self, text: str) -> None:
        self._model.search(text)
        self._anew()

    def _choose(self, value: Value) -> None:
        self._model.choose(cast(Part, value))
        self._anew()

    def _anew(self) -> None:
        self._is_reading = False  # what is still under way is of another search, and is left alone
        self._list.to_top()
        self._close()
        self._lay()
        self.refresh(self.scene.now_ms())

    # --- one payment --------------------------------------------------------------------------------------------------

    def _open(self, identity: str) -> None:
        if identity.startswith(INCOME):
            self.scene.tell(say("activity.income-why"))
            return
        if not self._has_two():
            self.scene.navigator.go("payment", id=identity)
            return
        self._close()
        self._detail = PaymentScreen(self.scene, id=identity)
        self._panes.add_widget(self._detail)
        self._detail.entered()
        self._lay()

    def _close(self) -> None:
        if self._detail is not None:
            self._panes.remove_widget(self._detail)
            self._detail.left()
            self._detail = None

    def _has_two(self) -> bool:
        return is_wide(self.width + dp(RAIL_DP))

    def _lay(self, *_: object) -> None:
        """One column, or the list with what was chosen beside it."""
        if self._detail is not None and not self._has_two():
            self._close()
        if self._left.parent is None:
            self._panes.add_widget(self._left, index=len(self._panes.children))
        columns = 1 if self._detail is None else 2
        self._panes.width = min(self.width, columns * dp(COLUMN_DP_MAX) + (columns - 1) * space("gap"))

    # --- a file -------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Write all payments as CSV, whatever the list shows."""
        session, parts = self.scene.session, [csv_header().encode()]

        async def read() -> list[bytes]:
            await session.every_payment(lambda payments: parts.append(csv_rows(payments, session.names).encode()))
            await trio.lowlevel.checkpoint()
            return parts

        keep_file(self.scene, say("activity.exported"), "supervm-payments", ".csv", read)
