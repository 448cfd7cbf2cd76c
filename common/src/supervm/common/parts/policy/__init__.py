"""What an owner allows a node to do in a restricted or regulated network, and the record of what was decided."""
