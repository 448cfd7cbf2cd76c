"""The finalized chain on an L2: executing it, and proving it to those below."""
