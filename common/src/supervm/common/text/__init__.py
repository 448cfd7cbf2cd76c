"""Text that people write - options, CSV, TOML, keys - read strictly, with errors that name the place."""
