"""From submitted transactions to certified batches."""
