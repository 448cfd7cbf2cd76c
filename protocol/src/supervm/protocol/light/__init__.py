"""The light client: what it trusts, what it checks, and what proves a fork."""
