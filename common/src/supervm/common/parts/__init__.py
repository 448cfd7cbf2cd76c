"""Parts: what every node core is composed of (architecture.md 1). No socket, file, clock or random source."""
