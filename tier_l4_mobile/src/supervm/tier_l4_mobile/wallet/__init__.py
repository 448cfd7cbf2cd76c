"""The owner's payments: the durable queue, its lanes and its log."""
