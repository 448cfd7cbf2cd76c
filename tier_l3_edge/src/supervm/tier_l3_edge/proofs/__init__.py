"""Account proofs and receipts that an edge answers with."""
