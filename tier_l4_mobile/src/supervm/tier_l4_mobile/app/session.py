"""Keeps the models fed from the node, and does at the node what the owner asks; in slices, so that no frame waits.

Theory of operation. Models hold state and know nothing of a node; `Session` asks the node and hands each answer to the
models that want it. Payments are followed by their changes (`PaymentsSince`), a page at a time, with a checkpoint
between pages: a screen that shares the event loop draws in between. What goes wrong becomes a text, never an exception
in a frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

import trio

from supervm.common.services.lines import NoOwner, RequestRefused

from ..messages import (
    ALL_ASSETS,
    Balance,
    Cancel,
    ContactList,
    Flush,
    HandoverDrop,
    HandoverList,
    Info,
    Lock,
    MobileRequest,
    Passwd,
    PayMany,
    PaymentRow,
    PaymentsSince,
    PutContact,
    RemoveContact,
    SearchPayments,
    ShowPayment,
    TakePart,
    Unlock,
)
from ..wallet.payments import PROGRESS
from .errors import explain
from .models.activity import ActivityModel
from .models.contacts import ContactsModel
from .models.handover import LISTED_MAX, HandoverModel
from .models.home import HomeModel
from .models.network import NetworkModel
from .models.pay import PayModel
from .models.payment import PaymentModel
from .models.receive import ReceiveModel
from .models.scan import ScanModel
from .models.settings import SettingsModel
from .models.waiting import WaitingModel
from .values import Text

T = TypeVar("T")

SLICE: Final = 50
"""Payments in one request, and answers that models take at once: a few milliseconds each."""
REFRESH_S: Final = 1
"""Between two looks at how things stand: what has not changed costs two requests."""
PROVE_S: Final = 15
"""Between two proofs of the balance while the app is looked at."""
SEARCH_PAGES_MAX: Final = 20
"""Pages that are looked through for one screen of a search, before somebody has to scroll on."""

Ask = Callable[[MobileRequest], Awaitable[Any]]
"""Gives a request to the node (`link.NodeLink.call`)."""


def sliced(items: Iterable[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """Yield `items` in parts of `size`, the last may be smaller."""
    source = iter(items)
    while part := tuple(islice(source, size)):
        yield part


@dataclass(slots=True)
class Models:
    """The models of all screens."""

    home: HomeModel
    pay: PayModel
    waiting: WaitingModel
    receive: ReceiveModel
    activity: ActivityModel
    network: NetworkModel
    settings: SettingsModel
    scan: ScanModel = field(default_factory=ScanModel)
    handover: HandoverModel = field(default_factory=HandoverModel)
    contacts: ContactsModel = field(default_factory=ContactsModel)


def new_models(settings: SettingsModel, new_key: Callable[[], str]) -> Models:
    """Return models that know nothing yet.

    Args:
        settings: what the owner has chosen.
        new_key: makes names of payments (`models.pay.PayModel`).
    """
    home = HomeModel(is_hidden=settings.settings.is_hidden)
    return Models(home, PayModel(new_key), WaitingModel(), ReceiveModel(), ActivityModel(), NetworkModel(), settings)


@dataclass(slots=True)
class Session:
    """The app's talk with its node.

    Args:
        ask: gives a request to the node.
        models: what is fed.
        now_ms: tells the time, in ms of Unix time.
    """

    ask: Ask
    models: Models
    now_ms: Callable[[], int]
    _cursor: int | None = None
    _names: dict[str, str] = field(default_factory=dict)
    _shares_bps: Sequence[int] | None = None
    _page: PaymentModel | None = None
    _wish: TakePart | None = None

    async def run(self, changed: Callable[[Text | None], None]) -> None:
        """Keep the models fed until cancelled.

        Args:
            changed: called whenever models may have changed, with what is wrong if the node does not say.
        """
        changed(await self.contacts())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._again, self.refresh, REFRESH_S, changed)
            nursery.start_soon(self._again, self.prove, PROVE_S, changed)

    async def _again(
        self, work: Callable[[], Awaitable[Text | None]], pause_s: int, changed: Callable[[Text | None], None]
    ) -> None:
        while True:
            changed(await work())
            await trio.sleep(pause_s)

    # --- what is read -------------------------------------------------------------------------------------------------

    async def refresh(self) -> Text | None:
        """Read how things stand, but for balances; return what is wrong if the node does not say."""
        return await self._guarded(self._refresh)

    async def _refresh(self) -> None:
        models = self.models
        wish = models.settings.wish()
        if wish != self._wish:  # at first, and whenever the owner has chosen something else
            await self.ask(wish)
            self._wish = wish
        info = await self.ask(Info())
        for model in (models.home, models.waiting, models.network, models.pay, models.receive, models.handover):
            model.take_info(info)
        models.contacts.take_info(info)
        self._shares_bps = info["fee_shares_bps"]
        if self._cursor is None:
            await self._begin(self._open_count(info))
        await self._follow()
        if models.handover.is_stale:
            await self._handovers()
        news = models.activity.news_of_income(info["income"])
        if news is not None:
            models.activity.take_news(await self.ask(news))

    async def _handovers(self) -> None:
        models = self.models
        models.handover.take_list(await self.ask(HandoverList(LISTED_MAX)))
        models.home.promised = models.handover.promised()

    async def _begin(self, count: int) -> None:
        """Read the `count` payments that are on their way, however many are over, and follow changes from now on."""
        cursor = (await self.ask(PaymentsSince(None)))["cursor"]
        before: int | None = None
        while count > 0:
            page = await self.ask(SearchPayments(statuses=tuple(PROGRESS), before=before, limit=SLICE))
            self._take(page["payments"])
            count, before = count - len(page["payments"]), page["before"]
            if before is None:
                break
            await trio.lowlevel.checkpoint()
        self._cursor = cursor

    async def _restart(self) -> None:
        """Read anew what is on its way: the node has begun anew, or remembers no change of so long ago."""
        models = self.models
        models.home.restart()
        models.waiting.restart()
        models.activity.restart()
        identity = models.pay.shown_id
        if identity is not None:
            models.pay.take_payment(await self.ask(ShowPayment(identity)))
        if self._page is not None:
            self._page.take_payments([await self.ask(ShowPayment(self._page.row_id))])
        await self._begin(self._open_count(await self.ask(Info())))

    @staticmethod
    def _open_count(info: Mapping[str, Any]) -> int:
        return sum(info["payments"].get(status, 0) for status in PROGRESS)

    def _take(self, payments: Sequence[Mapping[str, Any]]) -> None:
        self.models.home.take_payments(payments)
        self.models.waiting.take_payments(payments)
        self.models.activity.take_payments(payments)
        for payment in payments:
            self.models.pay.take_payment(payment)
        if self._page is not None:
            self._page.take_payments(payments)

    async def _follow(self) -> None:
        while True:
            answer = await self.ask(PaymentsSince(self._cursor, SLICE))
            payments = answer["payments"]
            if self._cursor is not None and answer["cursor"] < self._cursor:
                await self._restart()
                return
            self._take(payments)
            is_news = answer["cursor"] != self._cursor
            self._cursor = answer["cursor"]
            if not is_news or len(payments) < SLICE:
                return
            await trio.lowlevel.checkpoint()

    async def prove(self) -> Text | None:
        """Ask for the balance of all assets; that may take seconds. Return what is wrong if the node does not say."""

        async def work() -> None:
            self.models.home.take_balance(await self.ask(Balance(asset=ALL_ASSETS)), self.now_ms())

        return await self._guarded(work)

    async def watched(self) -> Text | None:
        """Ask for the balances of the watched addresses, one after another."""

        async def work() -> None:
            for request in self.models.settings.requests():
                self.models.settings.take_balance(await self.ask(request), self.now_ms())

        return await self._guarded(work)

    async def contacts(self) -> Text | None:
        """Read the contacts."""

        async def work() -> None:
            found = (await self.ask(ContactList()))["contacts"]
            self._names = {contact["address"]: contact["name"] for contact in found}
            models = self.models
            for model in (models.pay, models.waiting, models.activity, models.settings, models.handover):
                model.take_contacts(found)
            models.contacts.take_contacts(found)

        return await self._guarded(work)

    async def more_activity(self) -> Text | None:
        """Read the next page of the activity; of a search as many as one screen of it takes."""

        async def work() -> None:
            income = self.models.activity.next_income()
            if income is not None:
                self.models.activity.take_income(income, await self.ask(income))
            before = self.models.activity.count
            for _ in range(SEARCH_PAGES_MAX):
                request = self.models.activity.next_request()
                if request is None:
                    return
                self.models.activity.take_page(request, await self.ask(request))
                if self.models.activity.count > before:
                    return

        return await self._guarded(work)

    def page_of(self, payment: Mapping[str, Any]) -> PaymentModel:
        """Return the page of one payment; it is kept up until another one is asked for."""
        self._page = PaymentModel(payment, self._names, self._shares_bps)
        return self._page

    async def page(self, identity: str) -> PaymentModel:
        """Return the page of the payment that has, or had, an id.

        Raises:
            RequestRefused: there is none.
            NoOwner: the node has gone.
        """
        return self.page_of(await self.ask(ShowPayment(identity)))

    @property
    def names(self) -> Mapping[str, str]:
        """Addresses with what the owner calls them."""
        return self._names

    # --- what is done -------------------------------------------------------------------------------------------------

    async def pay(self) -> Text | None:
        """Pay what the pay screen says; return why not if it is refused."""
        try:
            self.models.pay.take_payment(await self.ask(self.models.pay.request()))
        except RequestRefused as error:
            self.models.pay.take_refusal(str(error))
            return explain(error)
        except NoOwner as error:  # it may have been taken: the same request again is the same payment
            return explain(error)
        return await self.refresh()

    async def pay_many(self, rows: Iterable[PaymentRow], done: Callable[[int], None]) -> list[Mapping[str, Any]]:
        """Pay many, a slice at a time; return the payments as the node shows them.

        Args:
            rows: what is paid; each should have a key, so that a second attempt pays none of them twice.
            done: told after every slice how many are queued.

        Raises:
            RequestRefused: the node takes no such request at all.
            NoOwner: the node has gone; what it took before stays queued.
        """
        shown: list[Mapping[str, Any]] = []
        for part in sliced(rows):
            shown += (await self.ask(PayMany(tuple(part))))["payments"]
            done(len(shown))
            await trio.lowlevel.checkpoint()
        return shown

    async def cancel(self, identity: str) -> Text | None:
        """Cancel a payment that never left; return why not if it cannot be."""
        return await self._do(Cancel(identity))

    async def unlock(self, secret: str) -> Text | None:
        """Open the wallet; return why not."""
        return await self._do(Unlock(secret))

    async def lock(self) -> Text | None:
        """Lock the wallet: nothing is signed any more."""
        return await self._do(Lock())

    async def change_secret(self, old: str, new: str) -> Text | None:
        """Put another passphrase or PIN in place of the one that opens the wallet; return why not."""
        return await self._do(Passwd(old, new))

    async def prove_payment(self, page: PaymentModel) -> bytes | None:
        """Return what ``supervm verify`` reads of a payment; None while it is not paid, or nothing new is proved.

        Raises:
            RequestRefused: no edge proves it now.
            NoOwner: the node has gone.
        """
        request = page.proof_request()
        if request is None:
            return None
        proof = page.take_proof(await self.ask(request))
        return proof if page.proof_text() is not None else None

    async def send_kept(self) -> Text | None:
        """Let go what was kept on this device."""
        return await self._do(Flush())

    async def handovers(self) -> Text | None:
        """Read what was handed over, both ways."""
        return await self._guarded(self._handovers)

    async def hand_over(self, ids: Iterable[str]) -> Text | None:
        """Let payments go to another phone, own ones for good; return why not. What it takes is in the model then."""
        request = self.models.handover.export_request(ids)

        async def work() -> None:
            self.models.handover.take_export(await self.ask(request))
            await self._refresh()
            await self._handovers()

        return await self._guarded(work)

    async def take_handover(self, container: bytes) -> Text | None:
        """Take what another phone handed over; return why not. What came of it is in the model then."""

        async def work() -> None:
            answer = await self.ask(self.models.handover.take_request(container))
            self.models.handover.take_taken(answer)
            await self._refresh()

        return await self._guarded(work)

    async def drop_promise(self, identity: str) -> Text | None:
        """Forget a payment of somebody else; return why not."""
        return await self._do(HandoverDrop(identity))

    async def put_contact(self, address: str, name: str, note: str = "", *, watched: bool = False) -> Text | None:
        """Keep a contact, or change it; return why not."""
        return await self._do(PutContact(address, name, note, watched)) or await self.contacts()

    async def remove_contact(self, address: str) -> Text | None:
        """Forget a contact; return why not."""
        return await self._do(RemoveContact(address)) or await self.contacts()

    async def every_payment(self, take: Callable[[Sequence[Mapping[str, Any]]], None]) -> None:
        """Hand all payments to `take`, newest first, in parts: for an export.

        Raises:
            NoOwner: the node has gone.
        """
        before: int | None = None
        while True:
            answer = await self.ask(SearchPayments(before=before, limit=SLICE))
            take(answer["payments"])
            before = answer["before"]
            if before is None:
                return
            await trio.lowlevel.checkpoint()

    async def _do(self, request: MobileRequest) -> Text | None:
        async def work() -> None:
            await self.ask(request)
            await self._refresh()

        return await self._guarded(work)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> Text | None:
        """Do something at the node; return what went wrong, and show that the node is gone if it is."""
        try:
            await work()
        except RequestRefused as error:
            return explain(error)
        except NoOwner as error:
            for model in (self.models.home, self.models.waiting, self.models.network):
                model.take_info(None)
            return explain(error)
        return None
