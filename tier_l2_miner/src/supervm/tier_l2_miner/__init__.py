"""SuperVM L2: miners that verify, batch and serve proofs."""
