"""What a phone does for others: by its ability, and never more than its owner wants."""
