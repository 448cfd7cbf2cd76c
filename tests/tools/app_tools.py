"""The app's session over a phone in a test's hands: answers go through JSON, as over the control socket."""

from __future__ import annotations

from typing import Any

import msgspec
from mobile_tools import Network, Phone

from supervm.common.contract.core import Received
from supervm.common.services.lines import NoOwner, RequestRefused
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R3, Status, StatusItem, Submit
from supervm.tier_l4_mobile.app.models.activity import ActivityModel
from supervm.tier_l4_mobile.app.models.home import HomeModel
from supervm.tier_l4_mobile.app.models.network import NetworkModel
from supervm.tier_l4_mobile.app.models.pay import PayModel
from supervm.tier_l4_mobile.app.models.receive import ReceiveModel
from supervm.tier_l4_mobile.app.models.settings import SettingsModel
from supervm.tier_l4_mobile.app.models.waiting import WaitingModel
from supervm.tier_l4_mobile.app.session import Models, Session
from supervm.tier_l4_mobile.messages import MobileRequest

EDGE = b"\xe1" * 32


class AppScene:
    """One phone with its app, one edge, one chain.

    Args:
        online: whether the edge is there from the start on.
        queue_max: payments that may be on their way at once.
        network: the chain; with it two phones are on one.
        name: whose phone.

    Attributes:
        raws: transactions that have reached the edge and are in no block yet.
        asked: requests of the app, in order.
        is_gone: whether the node has stopped.
    """

    def __init__(
        self, *, online: bool = True, queue_max: int = 1_000, network: Network | None = None, name: str = "alice"
    ) -> None:
        self.network = network or Network()
        self.name = name
        self.phone = Phone(self.network, (name,), queue_max=queue_max)
        self.raws: list[bytes] = []
        self.asked: list[MobileRequest] = []
        self.is_gone = False
        keys = iter(range(10**6))
        self.models = Models(
            HomeModel(),
            PayModel(lambda: f"app:{next(keys)}"),
            WaitingModel(),
            ReceiveModel(),
            ActivityModel(),
            NetworkModel(),
            SettingsModel(),
        )
        self.session = Session(self.ask, self.models, lambda: self.now_ms)
        if online:
            self.connect()

    @property
    def now_ms(self) -> int:
        return self.phone.now_us // 1000

    def connect(self) -> None:
        self.phone.connect(EDGE)
        self.serve()

    def disconnect(self) -> None:
        self.phone.down(EDGE)
        self.phone.disk()

    def serve(self) -> None:
        """The edge answers all questions and takes all payments."""
        self.phone.disk()
        while self.phone.sent:
            sent, self.phone.sent = self.phone.sent, []
            for _, message in sent:
                if isinstance(message, Submit):
                    self.raws += message.transactions
                for answer in self.network.answer(message):
                    self.phone.step(Received(EDGE, answer))
            self.phone.disk()

    def accept(self) -> None:
        """The edge says that it has what reached it."""
        items = tuple(StatusItem(self.network.parse(raw).id, LEVEL_R0, "") for raw in self.raws)
        self.phone.step(Received(EDGE, Status(items)))

    def seal(self) -> None:
        """A block executes what has reached the edge, and the phone gets the proof."""
        self.network.seal(self.raws)
        self.raws = []
        self.phone.step(Received(EDGE, self.network.proofs([self.network.account(self.name)])))
        self.serve()

    def bring(self) -> None:
        """A block executes what has reached the edge, own or another's, and the edge says and proves it."""
        self.network.seal(list(dict.fromkeys(self.raws)), ts_ms=self.now_ms)
        items = tuple(StatusItem(self.network.parse(raw).id, LEVEL_R3, "") for raw in self.raws)
        self.raws = []
        self.phone.step(Received(EDGE, Status(items)))
        self.phone.wait(2_000_000)
        self.serve()

    async def ask(self, request: MobileRequest) -> Any:
        """Give a request to the node and return its answer, as JSON gives it."""
        if self.is_gone:
            raise NoOwner("the node on node.sock has gone")
        self.asked.append(request)
        request = msgspec.json.decode(msgspec.json.encode(request), type=type(request))
        token = self.phone.ask(request)
        self.serve()
        reply = self.phone.replies.pop(token)
        if reply.error is not None:
            raise RequestRefused(reply.error)
        return msgspec.json.decode(msgspec.json.encode(reply.value))
