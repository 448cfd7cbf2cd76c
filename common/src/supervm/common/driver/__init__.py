"""The trio driver: runs one core on a real machine (architecture.md 2).

`driver` steps the core; `transports` carry bytes, `links` dials and admits, `admission` says who may come in, `reading`
and `peer` read from and write to connections, `table` and `replacing` keep which of them a peer is up over;
`committer` groups writes, `workers` checks signatures, `clock` tells the time.
"""

from .clock import Clock, SystemClock, TrioClock
from .driver import Driver
from .failures import Halted, ListenFailed, StorageFailed
from .limits import Limits
from .parts import EventSink, Identity

__all__ = [
    "Clock",
    "Driver",
    "EventSink",
    "Halted",
    "Identity",
    "Limits",
    "ListenFailed",
    "StorageFailed",
    "SystemClock",
    "TrioClock",
]
