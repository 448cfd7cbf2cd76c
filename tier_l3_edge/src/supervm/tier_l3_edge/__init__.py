"""SuperVM L3: edges that answer nearby, cache and relay."""
