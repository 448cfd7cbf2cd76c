"""Transactions that an edge accepts, and the news of them."""
