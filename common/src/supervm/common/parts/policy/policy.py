"""Deciding by an owner's policy: allow, deny with the rule's name, or degrade (network.md 6).

Theory of operation. A part that is about to dial, to keep, or to take a payment asks the one `Policy` of its node and
does as it says. A decision names its rule; what is refused to somebody carries that name, so that whoever was refused
knows what to ask the owner about. Each decision is counted, and each that is not "allow" is told to the `Audit`.

While nobody above can be reached a policy degrades: to *queue-only*, where payments are taken and wait, until the
oldest of them has waited too long; or to *read-only*, where what is known is answered and nothing is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from ..buckets import Bucket, Rate
from .audit import Audit
from .rules import Rules, scheme_of

Verdict = Literal["allow", "deny", "read-only", "queue-only"]
"""What becomes of an act; of the last two, the first takes no payment, and with the second it waits."""
SECONDS: Final = 60
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided.

    Attributes:
        verdict: likewise.
        rule: key of ``[policy]`` that decided it; empty: none was set about it.
        reason: for people: which rule, and what it allows. Nothing in it names a node, an address or an account.
    """

    verdict: Verdict = "allow"
    rule: str = ""
    reason: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether it is done, now or later."""
        return self.verdict in ("allow", "queue-only")

    @property
    def refusal(self) -> str:
        """What is told to whoever wanted it: the rule first."""
        return f"policy.{self.rule}: {self.reason}"


ALLOWED: Final = Decision()


class Policy:
    """The policy of one node.

    Args:
        rules: the owner's.
        audit: told of what was decided; None: nobody.
    """

    def __init__(self, rules: Rules, audit: Audit | None = None) -> None:
        self.rules = rules
        self._audit = audit
        self._bucket: Bucket | None = None
        self._waiting_since_us: int | None = None

    # --- links --------------------------------------------------------------------------------------------------------

    def link(self, now_us: int, address: str, region: str | None) -> Decision:
        """Decide about a link to a node.

        Args:
            now_us: present time.
            address: where it is dialled; empty: it has dialled us.
            region: where its record says it is, empty if that says nothing; None: there is no record.
        """
        decided = ALLOWED
        scheme = scheme_of(address) if address else ""
        if scheme and self.rules.transports and scheme not in self.rules.transports:
            decided = Decision("deny", "transports", f"{scheme} is not among {', '.join(self.rules.transports)}")
        elif self.rules.regions and region is not None and region not in self.rules.regions:
            decided = Decision(
                "deny", "regions", f"{region or 'no region'} is not among {', '.join(self.rules.regions)}"
            )
        return self._noted(now_us, "link", address, decided) if self.rules.limits_dials else ALLOWED

    def keep(self, now_us: int, region: str) -> Decision:
        """Decide whether what is known of a node in this region may be written to disk."""
        if not self.rules.stores:
            return ALLOWED
        decided = Decision("allow", "stores")
        if region not in self.rules.stores:
            decided = Decision("deny", "stores", f"{region or 'no region'} is not among {', '.join(self.rules.stores)}")
        return self._noted(now_us, "keep", region, decided)

    def preference(self, address: str) -> int:
        """Return the place of an address's transport among those that are allowed; the least is dialled first."""
        transports, scheme = self.rules.transports, scheme_of(address)
        return transports.index(scheme) if scheme in transports else 0

    # --- payments -----------------------------------------------------------------------------------------------------

    def write(self, now_us: int, *, is_reachable: bool) -> Decision:
        """Decide about one payment that somebody wants taken.

        Args:
            now_us: present time.
            is_reachable: whether somebody above is up, who could take it on.
        """
        if not self.rules.limits_writes:
            return ALLOWED
        return self._noted(now_us, "write", "", self._decide_write(now_us, is_reachable))

    def _decide_write(self, now_us: int, is_reachable: bool) -> Decision:
        rules = self.rules
        if is_reachable:
            self._waiting_since_us = None
        elif rules.read_only:
            return Decision(
                "read-only", "when_unreachable", "nobody above can be reached, and nothing is taken meanwhile"
            )
        elif self._has_waited(now_us):
            reason = f"a payment has waited for more than {rules.queue_age_s_max} s already, and nobody can be reached"
            return Decision("deny", "queue_age_s_max", reason)
        if not self._has_room(now_us):
            reason = f"{rules.writes_per_minute} a minute and {rules.writes_burst} at once are taken"
            return Decision("deny", "writes_per_minute", reason)
        if is_reachable:
            return ALLOWED
        if self._waiting_since_us is None:
            self._waiting_since_us = now_us
        return Decision("queue-only", "when_unreachable", "nobody above can be reached; it waits")

    def _has_waited(self, now_us: int) -> bool:
        since_us, most_s = self._waiting_since_us, self.rules.queue_age_s_max
        return bool(most_s) and since_us is not None and now_us > since_us + most_s * MICRO

    def _has_room(self, now_us: int) -> bool:
        if not self.rules.writes_per_minute:
            return True
        if self._bucket is None:  # in sixtieths of a payment, so that a minute's rate is a whole number a second
            self._bucket = Bucket(Rate(self.rules.writes_per_minute, self.rules.writes_burst * SECONDS), now_us)
        return self._bucket.take(now_us, 1, each=SECONDS) == 1

    def _noted(self, now_us: int, act: str, subject: str, decided: Decision) -> Decision:
        if self._audit is not None:
            self._audit.note(now_us, act, decided.verdict, decided.rule, decided.reason, subject)
        return decided

    def info(self) -> dict[str, Any]:
        """Return how often each was decided, by ``act.verdict`` or ``act.verdict.rule``."""
        return {} if self._audit is None else dict(self._audit.counts)


OPEN: Final = Policy(Rules())
"""No rules: everything is allowed, and nothing is counted."""
