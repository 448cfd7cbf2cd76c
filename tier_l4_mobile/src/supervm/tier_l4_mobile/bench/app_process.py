"""The process that `app` measures: the app at Home over a node of its own; one line of JSON says what it cost.

Arguments: a phone's folder, the file of its passphrase, how many payments are queued (0: it is watched at rest),
and when this was started, by the clock that nobody sets.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import count, pairwise
from pathlib import Path
from typing import Final

from supervm.tier_l4_mobile.app.window import set_up_kivy

set_up_kivy(390, 844)  # before anything imports it

import trio  # noqa: E402
from kivy.clock import Clock  # noqa: E402
from kivy.core.window import Window  # noqa: E402

from supervm.common.bench.procfs import memory_of  # noqa: E402
from supervm.common.host.config import CONFIG_FILE, load_config  # noqa: E402
from supervm.tier_l4_mobile.app.face import Face  # noqa: E402
from supervm.tier_l4_mobile.app.kit.look import Look  # noqa: E402
from supervm.tier_l4_mobile.app.link import open_link  # noqa: E402
from supervm.tier_l4_mobile.app.look_of import System, look_values  # noqa: E402
from supervm.tier_l4_mobile.app.models.settings import Settings, SettingsModel  # noqa: E402
from supervm.tier_l4_mobile.app.screens.owner import OwnersApp  # noqa: E402
from supervm.tier_l4_mobile.app.screens.trouble import starting  # noqa: E402
from supervm.tier_l4_mobile.app.session import Session, new_models  # noqa: E402
from supervm.tier_l4_mobile.messages import PaymentRow  # noqa: E402
from supervm.tier_l4_mobile.options import OPTIONS  # noqa: E402

SETTLE_S: Final = 3
"""How long it may do what a start leaves to do."""
IDLE_S: Final = 10
"""How long it is watched then."""


class Measured:
    """One app that is measured.

    Args:
        folder: the phone's.
        passphrase_file: what opens its wallet.
        payments: how many are queued; 0: it is watched at rest.
        began_s: when the process was started.

    Attributes:
        found: row -> value, as far as it is known.
    """

    def __init__(self, folder: Path, passphrase_file: Path, payments: int, began_s: float) -> None:
        self._folder = folder
        self._passphrase_file = passphrase_file
        self._payments = payments
        self._began_s = began_s
        self.found: dict[str, float] = {}

    async def story(self, face: Face) -> None:
        """Open the wallet, and measure (`face.Story`)."""
        Window.bind(on_flip=self._flipped)
        starting(face, _now_ms)
        config = load_config(self._folder / CONFIG_FILE, tier=4, options=OPTIONS)
        passphrase = self._passphrase_file.read_text().strip()
        keys = count()
        async with open_link(config, passphrase=passphrase) as link, trio.open_nursery() as nursery:
            models = new_models(SettingsModel(), lambda: f"bench:{next(keys)}")
            session = Session(link.call, models, _now_ms)
            app = OwnersApp(face, session, _now_ms, directory=None, system=System())
            home = trio.Event()
            nursery.start_soon(app.run, lambda _: home.set() if models.receive.address else None)
            await home.wait()
            await _frame()
            self.found["home"] = time.monotonic() - self._began_s
            if self._payments:
                app.stage.navigator.go("waiting")
                await self._at_work(session)
            else:
                await self._at_rest()
            nursery.cancel_scope.cancel()
        face.stop()

    def _flipped(self, *_: object) -> None:
        self.found.setdefault("first_frame", time.monotonic() - self._began_s)

    async def _at_rest(self) -> None:
        await trio.sleep(SETTLE_S)
        began_s, used_s = time.monotonic(), time.process_time()
        await trio.sleep(IDLE_S)
        self.found["idle_cpu"] = 100 * (time.process_time() - used_s) / (time.monotonic() - began_s)
        self.found["rss"] = memory_of(os.getpid()).rss / 2**20

    async def _at_work(self, session: Session) -> None:
        """Queue payments, and note what the thread uses from one frame to the next until all are shown."""
        to = session.models.receive.address
        rows = (PaymentRow(to=to, amount=1, fee=1, key=f"bench:{number}") for number in range(self._payments))
        at_s = [time.thread_time()]
        event = Clock.schedule_interval(lambda _: at_s.append(time.thread_time()), 0)
        await session.pay_many(rows, lambda _: None)
        while session.models.waiting.count.values["n"] != self._payments:
            await _frame()
        event.cancel()
        used_s = sorted(after - before for before, after in pairwise(at_s))
        self.found["frame_p99"] = 1000 * used_s[len(used_s) * 99 // 100]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _frame() -> None:
    """Wait for the next frame."""
    drawn = trio.Event()
    Clock.schedule_once(lambda _: drawn.set(), 0)
    await drawn.wait()


def main(folder: Path, passphrase_file: Path, payments: int, began_s: float) -> None:
    """Measure, and print what was found."""
    measured = Measured(folder, passphrase_file, payments, began_s)
    trio.run(Face(Look(*look_values(Settings(), System()))).live, measured.story)
    print(json.dumps(measured.found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
