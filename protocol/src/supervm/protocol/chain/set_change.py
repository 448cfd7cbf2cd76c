"""A change of validators: the next set, signed by a quorum of the present one (consensus.md 2.11)."""

from __future__ import annotations

from typing import Literal

from ..base.codec import Agreed
from ..base.errors import LocalProtocolError, RemoteProtocolError
from .validators import ValidatorList, ValidatorSet
from .votes import Signatures


class SetChange(Agreed, tag="setchange", frozen=True):
    """The validators of the next epoch, signed by a quorum of this epoch's.

    Attributes:
        version: layout, 1.
        validators: the whole proposed set, in index order.
        signatures: those of the SetChange votes for its hash, by index in this epoch's set.
    """

    version: Literal[1]
    validators: ValidatorList
    signatures: Signatures


def proposed_set(validators: ValidatorList) -> ValidatorSet:
    """Return the set that a peer's list describes.

    Raises:
        RemoteProtocolError: it is none: empty, duplicate keys or nodes, or too much weight.
    """
    try:
        return ValidatorSet(validators.members)
    except LocalProtocolError as error:
        raise RemoteProtocolError(f"the proposed validators are no set: {error}", penalty=50, code="bad-set") from error
