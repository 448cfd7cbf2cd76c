"""What owners ask of their phones beside payments: balances of others, and payments for slots that were lost."""

from __future__ import annotations

from supervm.protocol.state.leaves import NATIVE
from supervm.tier_l4_mobile.messages import Balance, PayMany, PaymentRow
from supervm.tier_l4_mobile.node import MobileNode
from supervm.tier_l4_mobile.wallet.payments import EXPIRED, FATES, R4, Payment

from ..exact import Choices, Deployment, Host
from ..invariants import Monitor
from .config import Config

RENEW_VALIDITY_MS = 120_000
"""Validity of a payment for a slot that was lost."""


class Owners:
    """Questions and renewals of one run.

    Args:
        config: how often.
        choices: decides.
        deployment: the network, started.
        monitor: knows who is honest.
    """

    def __init__(self, config: Config, choices: Choices, deployment: Deployment, monitor: Monitor) -> None:
        self._config, self._choices = config, choices
        self._deployment, self._monitor = deployment, monitor
        self._world = deployment.world
        self._renewed: dict[tuple[str, str], None] = {}

    def ask(self) -> None:
        """Ask phones for balances, now and then."""
        for phone in range(self._config.l4):
            host = self._deployment.host(f"l4-{phone}")
            value = self._choices.fault(
                "balance",
                host.name,
                self._world.now_us,
                lambda stream: stream.between(1, 1 << 16) if stream.chance_ppm(self._config.ask_ppm) else 0,
            )
            if value and isinstance(host.core, MobileNode):
                other, account = divmod(value, self._config.accounts)
                address = self._deployment.address(other % self._config.l4, account)
                self._world.command(host.node_id, Balance(address=address))

    # --- slots that were lost -----------------------------------------------------------------------------------------

    def renew(self) -> int:
        """Ask for one payment of each account that nobody faulty holds and whose slot was lost; return how many."""
        owners: dict[bytes, Host] = {}
        for phone in range(self._config.l4):
            host = self._deployment.host(f"l4-{phone}")
            for key in self._deployment.wallets[phone]:
                if host.name in self._monitor.facts.faulty:
                    owners[key.public] = host
                else:
                    owners.setdefault(key.public, host)
        for phone in range(self._config.l4):
            host = self._deployment.host(f"l4-{phone}")
            core = host.core
            if not isinstance(core, MobileNode) or host.name in self._monitor.facts.faulty:
                continue
            lost = dict.fromkeys(
                payment.account
                for payment in core.queue.every()
                if payment.status == EXPIRED and payment.released and owners.get(payment.account) is host
            )
            rows = tuple(
                PaymentRow(
                    to=self._deployment.address(phone, place),
                    amount=1,
                    fee=1,
                    validity_ms=RENEW_VALIDITY_MS,
                    source=self._deployment.address(phone, place),
                    key=f"again.{place}",
                )
                for place, key in enumerate(self._deployment.wallets[phone])
                if key.public in lost and self._is_free(core, key.public) and self._is_calm(key.public)
            )
            if rows:
                self._world.command(host.node_id, PayMany(rows=rows))
                self._renewed.update(dict.fromkeys((host.name, row.key) for row in rows))
        return len(self._renewed)

    def _is_free(self, core: MobileNode, account: bytes) -> bool:
        lane = core.queue.lanes[account]
        return lane.first is None and lane.available(NATIVE) >= 2

    def _is_calm(self, account: bytes) -> bool:
        """Return whether all phones with the account have heard of the same payments, and have none under way.

        Else they race for the slot, and if it was used by one before the last only a receipt, or the end of its
        validity, tells a phone that lost.
        """
        cores = [self._deployment.host(f"l4-{phone}").core for phone in range(self._config.l4)]
        lanes = [
            lane
            for core in cores
            if isinstance(core, MobileNode) and (lane := core.queue.lanes.get(account)) is not None
        ]
        heard = {None if lane.proved is None else lane.proved.next_seq for lane in lanes}
        return len(heard) == 1 and all(lane.first is None for lane in lanes)

    def _payments(self) -> list[tuple[str, Payment | None]]:
        found: list[tuple[str, Payment | None]] = []
        for name, key in self._renewed:
            core = self._deployment.host(name).core
            found.append((name, core.queue.by_key(key) if isinstance(core, MobileNode) else None))
        return found

    def renewed(self) -> bool:
        """Return whether all of them have their fate."""
        return all(payment is not None and payment.status in FATES for _, payment in self._payments())

    def unfilled(self) -> list[tuple[str, str]]:
        """Return the phones whose payment was not proved, and how far it came."""
        return [
            (name, "lost" if payment is None else f"{payment.status} ({payment.reason})")
            for name, payment in self._payments()
            if payment is None or payment.status != R4
        ]
