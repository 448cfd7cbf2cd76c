"""Writing the file of an anchor, the trusted start of light clients: from a genesis or from a node that runs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.light.client import Anchor

from ..errors import InputError
from ..host.anchor_file import anchor_text
from ..host.keyfile import create_file
from ..services.lines import SOCKET_FILE, NoOwner
from ..services.once import call_sync
from .output import emit


def ask_anchor(directory: Path, request: msgspec.Struct) -> Anchor:
    """Ask the node that runs in `directory` for the newest header that it trusts.

    Raises:
        InputError: no node runs there.
        RequestRefused: it says why it has none.
    """
    try:
        value = call_sync(directory / SOCKET_FILE, request)
    except NoOwner as error:
        raise InputError(f"{directory}: no node runs there, and only a running one knows the present") from error
    return decode(Anchor, bytes.fromhex(value["anchor_hex"]))


def write_anchor(anchor: Anchor, out: Path, *, as_json: bool, as_text: bool = False) -> int:
    """Write the file, encoded or as text, and say what it is; return the command's exit status."""
    create_file(out, anchor_text(anchor).encode() + b"\n" if as_text else encode(anchor))
    header = anchor.header
    document = {"file": str(out), "chain_id": header.chain_id.hex(), "height": header.height}
    emit(
        document,
        as_json=as_json,
        lines=[f"wrote {out}: the anchor of height {header.height} of network {document['chain_id']}"],
    )
    return 0


def no_anchor(reason: str, *, as_json: bool) -> int:
    """Say why there is no anchor; return the command's exit status."""
    emit({"file": None, "reason": reason}, as_json=as_json, lines=[reason])
    return 1
