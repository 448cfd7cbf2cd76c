"""From submitted transfers to certified batches."""
