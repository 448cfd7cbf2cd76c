"""Tools for testing cores and parts: pure, and installed with `common` so that parts of others can use them, too."""
