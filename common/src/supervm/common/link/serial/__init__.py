"""A stream over a serial line, or a radio modem behind one: framing, check sums, repeats, and when it may send."""
