"""Finding and keeping peers: what is known of others, whom a node dials by its own choice, what it says of itself."""
