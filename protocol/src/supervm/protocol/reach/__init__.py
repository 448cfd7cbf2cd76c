"""What nodes sign about being found and about carrying for each other: records, bundles, relay receipts."""
