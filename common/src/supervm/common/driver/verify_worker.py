"""What a verification worker process runs; it imports libsodium and nothing else of a node.

A worker lives only as long as the process that started it: when that ends, in whatever way, the pipe that jobs come
through ends too, and the worker leaves after the chunk in hand. (Asking the kernel to kill it with its parent would not
do: Linux ties that to the *thread* that started it, and pool threads end when they are idle.)
"""

from __future__ import annotations

from collections.abc import Sequence

from supervm.protocol.base.keys import verify_many


def check(items: Sequence[tuple[bytes, bytes, bytes]]) -> bytes:
    """Return one byte per ``(public, message, signature)``: 1 valid, 0 not."""
    return bytes(verify_many(items))
