"""An edge inside another trio program, beside whatever else that program does (docs/embedding.md)."""

import sys
from pathlib import Path

import trio

from supervm.common.host.config import load_any_config
from supervm.common.host.open import open_node


async def main(config_file: str) -> None:
    """Run the edge of a configuration file and show what it publishes, until it is interrupted."""
    async with open_node(load_any_config(Path(config_file))) as node:
        with node.events() as events:
            print("edge", node.name, "listens on", *node.listens, flush=True)
            print("problems:", (await node.request({"request": "info"}))["problems"], flush=True)
            async for event in events:
                print(event["level"], event["event"], event["fields"], flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
