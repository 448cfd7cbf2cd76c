"""A node whose core breaks off in the middle of a step when it is told to; run as a process by test_crash.py."""

import sys
from pathlib import Path

import msgspec

from supervm.common.contract import core as c
from supervm.common.host.config import NodeConfig
from supervm.common.host.process import run_node
from supervm.common.host.profile import Profile
from supervm.protocol.base.errors import LocalProtocolError


class Break(msgspec.Struct, tag="break", tag_field="request"):
    """Ask for the end."""


class BrokenCore:
    """Does nothing, and then fails."""

    deadline_us: int | None = None

    def step(self, _now_us: int, event: c.Input) -> list[c.Effect]:
        if isinstance(event, c.Command):
            raise LocalProtocolError("two and two are five")
        return []


def main() -> int:
    from supervm.common.cli.program import _status_of

    directory = Path(sys.argv[1])
    config = NodeConfig(tier=3, directory=directory, genesis=directory / "genesis.cbor")
    try:
        return run_node(config, Profile(lambda _: BrokenCore(), requests=Break))
    except Exception as error:
        return _status_of(error)


if __name__ == "__main__":
    sys.exit(main())
