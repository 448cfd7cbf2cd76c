"""Chains of epochs as a light client meets them, and checkpoints that their validators should never have signed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
from chain_tools import GENESIS_TIME_MS
from epoch_tools import EpochChain

from supervm.protocol.base.keys import verify
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.light.client import LightClient, anchor_of

NOW_MS = GENESIS_TIME_MS + 10_000
"""A time shortly after every block of these chains."""


def chain_of(*sets: Sequence[int] | None) -> EpochChain:
    """Return a chain that ends one epoch per entry, with these nodes as the next validators, and a block after each."""
    chain = EpochChain(4)
    for nodes in sets:
        chain.end_epoch(None if nodes is None else chain.members(*nodes))
        chain.add()
    return chain


def client_of(chain: EpochChain) -> LightClient:
    """Return a light client that knows the genesis of `chain`."""
    return LightClient(anchor_of(chain.chain), verify)


def forged(chain: EpochChain, header: CheckpointHeader, signers_of: int, **changes: object) -> CertifiedCheckpoint:
    """Return a checkpoint like `header`, changed, that the validators of an epoch sign for whatever epoch it names."""
    header = msgspec.structs.replace(header, **changes)
    rules = dataclasses.replace(chain.rules_of[signers_of], epoch=header.epoch)
    certificate = chain.certificate(VoteKind.CHECKPOINT, header.height, header.hash, rules=rules)
    return CertifiedCheckpoint(1, header, certificate.signatures)
