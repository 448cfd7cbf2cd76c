"""The exact simulator: the shipped cores of all tiers under virtual time, network, disks, clocks and adversaries.

`Deployment` builds a network, `ExactWorld` runs it; see their modules for how.
"""

from ..boundaries import BOUNDARIES
from .actor import GRANT, Actor, ActorContext, ActorSpec
from .adversaries import ACTORS
from .choices import PPM, Choice, Choices, Stream
from .clock import HostClock
from .crypto import MemoVerify, RealVerify
from .cuts import BY_HAND, Cause, Cut
from .disk import KEPT, LOST, TORN, DiskProfile, Snapshot, VirtualDisk
from .driver import Cpu
from .events import Delivered, Event, HostStarted, HostStopped, LinkDown, LinkUp, Persisted, Sent, Stepped
from .flows import fair_rates
from .geography import (
    ACCESS,
    CITIES,
    REGIONS,
    RTT_MS_P50,
    RTT_MS_P90,
    WORLD,
    Access,
    Geography,
    Place,
    lan,
    one_way_us,
)
from .host import Host
from .network import Network, Rules
from .queue import BucketQueue
from .topology import FATES, GENESIS_MS, START_US, UPLINKS, Deployment, FindingDeployment, key
from .twins import BOTH, FIRST, NEITHER, SECOND, Late, LateTwins, Masks, Twins
from .world import ExactWorld

__all__ = [
    "ACCESS",
    "ACTORS",
    "BOTH",
    "BOUNDARIES",
    "BY_HAND",
    "CITIES",
    "FATES",
    "FIRST",
    "GENESIS_MS",
    "GRANT",
    "KEPT",
    "LOST",
    "NEITHER",
    "PPM",
    "REGIONS",
    "RTT_MS_P50",
    "RTT_MS_P90",
    "SECOND",
    "START_US",
    "TORN",
    "UPLINKS",
    "WORLD",
    "Access",
    "Actor",
    "ActorContext",
    "ActorSpec",
    "BucketQueue",
    "Cause",
    "Choice",
    "Choices",
    "Cpu",
    "Cut",
    "Delivered",
    "Deployment",
    "DiskProfile",
    "Event",
    "ExactWorld",
    "FindingDeployment",
    "Geography",
    "Host",
    "HostClock",
    "HostStarted",
    "HostStopped",
    "Late",
    "LateTwins",
    "LinkDown",
    "LinkUp",
    "Masks",
    "MemoVerify",
    "Network",
    "Persisted",
    "Place",
    "RealVerify",
    "Rules",
    "Sent",
    "Snapshot",
    "Stepped",
    "Stream",
    "Twins",
    "VirtualDisk",
    "fair_rates",
    "key",
    "lan",
    "one_way_us",
]
