"""Votes, batches, blocks, epochs and genesis: what nodes agree on."""
