"""Batches on an L1: bodies, votes, slots and the pool of certificates."""
