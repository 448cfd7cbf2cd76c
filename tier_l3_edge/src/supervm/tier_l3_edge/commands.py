"""What this profile offers to ``supervm``; nothing heavy is imported here."""

from __future__ import annotations

from supervm.common.cli.registry import Offer

COMMANDS = (Offer("l3", "Run an L3 node: an edge.", "supervm.tier_l3_edge.cli:l3"),)
