"""What this profile offers to ``supervm``; nothing heavy is imported here."""

from __future__ import annotations

from supervm.common.cli.registry import Offer

COMMANDS = (Offer("l1", "Run an L1 node: a validator.", "supervm.tier_l1_super.cli:l1"),)
