"""The state tree, receipts and history: what a root commits to."""
