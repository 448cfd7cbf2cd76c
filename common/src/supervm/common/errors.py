"""Errors of the shared node parts, told apart by who has to act."""

from __future__ import annotations


class CommonError(Exception):
    """Root of every error that `supervm.common` raises."""


class InputError(CommonError):
    """What the user gave is wrong: a file, an option, a passphrase. One line; the command exits with 2."""
