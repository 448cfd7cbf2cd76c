"""What a core and a driver say to each other: inputs, effects, records."""
