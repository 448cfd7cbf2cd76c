"""The one program, ``supervm``: it finds the commands of whatever profiles are installed (architecture.md 1)."""

from .program import main

__all__ = ["main"]
