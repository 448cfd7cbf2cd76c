"""``supervm bench sim``: how fast the exact engine is, bare and with the shipped cores, and where its time goes."""
