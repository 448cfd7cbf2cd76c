"""Transfers that an edge accepts, and the news of them."""
