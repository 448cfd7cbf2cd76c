"""The finalized chain on an L1: executing, certifying, serving, catching up."""
