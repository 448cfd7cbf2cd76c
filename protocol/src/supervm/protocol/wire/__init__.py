"""The wire: every message between nodes, and how it becomes a frame."""
