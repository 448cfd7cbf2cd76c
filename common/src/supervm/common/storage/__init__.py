"""Durable state of a node: database, write-ahead log, directory lock, and the same in memory for simulations.

`sql.SqlStore` and `memory.MemoryStore` are imported from their modules, so that a simulation of thousands of nodes
does not load a database layer.
"""

from .errors import LogDamaged, StorageFailed
from .lock import DirectoryLock

__all__ = ["DirectoryLock", "LogDamaged", "StorageFailed"]
