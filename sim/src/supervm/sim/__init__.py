"""SuperVM sim: the shipped cores under virtual time."""
