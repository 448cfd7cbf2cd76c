"""Exit statuses of ``supervm`` (surface.md)."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0
EXIT_NO: Final = 1
"""The answer is no, or it was not done in time; nothing is wrong with the command."""
EXIT_INPUT: Final = 2
"""What was asked for, or a file that was named, is wrong; the text says what is allowed."""
EXIT_HALTED: Final = 3
"""A node halted: starting it again would not help, a person has to look."""
EXIT_STORAGE: Final = 4
"""A node could not write."""
EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 130
"""Ctrl-C, as shells count it: 128 + SIGINT."""
EXIT_PIPE: Final = 141
"""Whoever read the output has gone: 128 + SIGPIPE."""
