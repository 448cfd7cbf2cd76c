"""Every named actor, by the name that scenario files use (simulation.md 2, consensus.md 6)."""

from __future__ import annotations

from typing import Final

from . import adversaries_epoch, adversaries_flood, adversaries_l1, adversaries_leader, adversaries_up
from .actor import ACTORS, named
from .adversaries_edges import (
    BackwardEdge,
    ChangeForger,
    HistoryForger,
    ReceiptForger,
    ReceiptSwapper,
    RefusingEdge,
    SwappingEdge,
    TwoFacedMiner,
)
from .adversaries_headers import (
    BodyEmptier,
    ChainForger,
    DoubleCertifier,
    DoubleVoter,
    HeaderForger,
    LateSpender,
    UnjustifiedLeader,
)
from .adversaries_reckless import (
    CertificateForger,
    FalseBalanceEdge,
    RecklessMiner,
    RecklessPhone,
    RecklessValidator,
)
from .adversaries_turns import (
    EarlySpender,
    EvidenceForger,
    HeaderTamperer,
    LongChainPhone,
    SignatureRepeater,
    TurnThief,
)

_LATER: Final = (
    ("certificate-forger", 1, CertificateForger),
    ("reckless-validator", 1, RecklessValidator),
    ("turn-thief", 1, TurnThief),
    ("evidence-forger", 1, EvidenceForger),
    ("signature-repeater", 1, SignatureRepeater),
    ("header-tamperer", 1, HeaderTamperer),
    ("double-certifier", 1, DoubleCertifier),
    ("double-voter", 1, DoubleVoter),
    ("unjustified-leader", 1, UnjustifiedLeader),
    ("chain-forger", 1, ChainForger),
    ("body-emptier", 1, BodyEmptier),
    ("header-forging-miner", 2, HeaderForger),
    ("header-forging-edge", 3, HeaderForger),
    ("late-spender", 4, LateSpender),
    ("reckless-miner", 2, RecklessMiner),
    ("two-faced-miner", 2, TwoFacedMiner),
    ("false-balance-edge", 3, FalseBalanceEdge),
    ("receipt-forger", 3, ReceiptForger),
    ("history-forger", 3, HistoryForger),
    ("receipt-swapper", 3, ReceiptSwapper),
    ("refusing-edge", 3, RefusingEdge),
    ("swapping-edge", 3, SwappingEdge),
    ("backward-edge", 3, BackwardEdge),
    ("change-forger", 3, ChangeForger),
    ("reckless-phone", 4, RecklessPhone),
    ("early-spender", 4, EarlySpender),
    ("long-chain-phone", 4, LongChainPhone),
)
"""Behind those that register themselves. The fuzzer draws by place in the table, so a new actor goes to the end."""
for _name, _tier, _actor in _LATER:
    named(_name, _tier)(_actor)

__all__ = ["ACTORS", "adversaries_epoch", "adversaries_flood", "adversaries_l1", "adversaries_leader", "adversaries_up"]
