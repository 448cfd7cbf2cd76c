"""What this profile offers to ``supervm``; nothing heavy is imported here."""

from __future__ import annotations

from supervm.common.cli.registry import Offer

COMMANDS = (Offer("l2", "Run an L2 node: a miner.", "supervm.tier_l2_miner.cli:l2"),)
