"""What the L4 profile offers to ``supervm``: names, lines of help and where the code is; nothing heavy is imported."""

from __future__ import annotations

from supervm.common.cli.registry import Offer

COMMANDS = (
    Offer("l4", "Run a light client: wallet, offline queue, proofs.", "supervm.tier_l4_mobile.cli.run:l4"),
    Offer("app", "Open the wallet's app in a window.", "supervm.tier_l4_mobile.cli.app:app"),
    Offer("wallet", "Make, import or show a wallet.", "supervm.tier_l4_mobile.cli.wallet:wallet"),
    Offer("pay", "Pay somebody.", "supervm.tier_l4_mobile.cli.pay:pay"),
    Offer("issue", "Issue a new asset.", "supervm.tier_l4_mobile.cli.issue:issue"),
    Offer("queue", "List, flush or cancel payments on their way.", "supervm.tier_l4_mobile.cli.queue:queue"),
    Offer("handover", "Give payments to another phone, or take some.", "supervm.tier_l4_mobile.cli.handover:handover"),
    Offer("balance", "Show a balance, proved.", "supervm.tier_l4_mobile.cli.balance:balance"),
    Offer("verify", "Check a light client's answer offline.", "supervm.tier_l4_mobile.cli.verify:verify"),
)

BENCHMARKS = (Offer("app", "The app: start, memory, CPU, frames, history.", "supervm.tier_l4_mobile.bench.app:run"),)
