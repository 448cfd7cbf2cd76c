"""SuperVM L4: the light client, its wallet and its offline queue."""
