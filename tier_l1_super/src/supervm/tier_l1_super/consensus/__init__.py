"""How validators agree: the host of the Simplex core, this node's seat, and the end of an epoch."""
