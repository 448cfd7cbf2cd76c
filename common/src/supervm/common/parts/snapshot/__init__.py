"""Snapshots for nodes that are far behind (consensus.md 2.8): the offering side and the taking side."""
