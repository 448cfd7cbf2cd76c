"""What a worker process runs: a job's own function, and nothing else of a node.

A worker lives only as long as the process that started it: when that ends, in whatever way, the pipe that jobs come
through ends too, and the worker leaves after the chunk in hand. (Asking the kernel to kill it with its parent would not
do: Linux ties that to the *thread* that started it, and pool threads end when they are idle.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..contract.jobs import Job


def run_items(kind: type[Job], items: Sequence[Any]) -> list[Any]:
    """Return the results of items of one kind of job."""
    return kind.run(items)
