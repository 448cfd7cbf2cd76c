"""What every SuperVM node must agree on: bytes, signatures, money and proofs."""
