"""Store and forward: which miner gets what, until its fate is known."""
