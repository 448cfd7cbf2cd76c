"""``supervm net``: who is connected to a running node, and which nodes it can find (network.md 2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from supervm.protocol.base.address import decode_node_id
from supervm.protocol.base.errors import ProtocolError
from supervm.protocol.wire.reach import FOUND_MAX

from ..errors import InputError
from ..parts.directory.messages import FindNodes, ListPeers
from ..services.lines import SOCKET_FILE, NoOwner, RequestRefused
from ..services.once import call_sync
from ..text.quoting import quoted
from .numbers import WholeNumber
from .output import columns, emit, json_option

TASKS: Final = {"consensus": 1, "proof": 1, "execution": 2, "query": 3, "local": 4}
"""Kind of work -> weakest tier that may do it."""

_F = TypeVar("_F", bound=Callable[..., Any])


def _directory_option(function: _F) -> _F:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        required=True,
        help="Folder of a node that runs.",
    )(function)


@click.group(epilog="Example: supervm net find --dir phone --tier 3 --region eu")
def net() -> None:
    """Show which nodes a running node is connected to, and look for others."""


@net.command(epilog="Example: supervm net peers --dir edge --json")
@_directory_option
@json_option
def peers(directory: Path, as_json: bool) -> int:
    """List who is connected to the node.

    "chosen" are those that the node has chosen itself; the others are of its configuration, or have dialled it. Region
    and endpoints are what a node says of itself.
    """
    documents = _ask(directory, ListPeers())
    rows = [("node", "tier", "address", "chosen", "load", "region")]
    rows += [
        (
            document["node"],
            f"L{document['tier']}",
            document["address"] or "dialled us",
            "yes" if document["chosen"] else "no",
            "-" if document["load_percent"] is None else f"{document['load_percent']} %",
            (document["record"] or {}).get("region") or "-",
        )
        for document in documents
    ]
    emit(documents, as_json=as_json, lines=columns(rows) if documents else ["nobody is connected"])
    return 0


@net.command(epilog="Example: supervm net find --dir phone --tier 3 --region eu --load-max 50")
@_directory_option
@click.argument("nodes", nargs=-1)
@click.option("--tier", "tiers", multiple=True, type=WholeNumber(1, 4), help="Of this tier; may be repeated.")
@click.option("--region", default="", help="In this region, as the nodes call it.")
@click.option("--feature", "features", multiple=True, help="With this feature word; may be repeated.")
@click.option("--task", type=click.Choice(list(TASKS)), help="That take such work: of a tier that may, and not busy.")
@click.option("--load-max", type=WholeNumber(0, 100), default=100, show_default=True, help="At most so busy, in %.")
@click.option("--latency-max", type=WholeNumber(0, 0xFFFF), default=0, help="At most so far, in ms; 0: any distance.")
@click.option("--cores", type=WholeNumber(0, 0xFFFF), default=0, help="With at least so many cores.")
@click.option("--memory-gib", type=WholeNumber(0, 0xFFFF), default=0, help="With at least so much memory.")
@click.option("--gpus", type=WholeNumber(0, 0xFFFF), default=0, help="With at least so many graphics processors.")
@click.option("--limit", type=WholeNumber(1, FOUND_MAX), default=FOUND_MAX, show_default=True, help="At most so many.")
@json_option
def find(
    directory: Path,
    nodes: tuple[str, ...],
    tiers: tuple[int, ...],
    features: tuple[str, ...],
    task: str | None,
    as_json: bool,
    **wanted: Any,
) -> int:
    """Look for NODES by their ids (svmnode1...), or for any nodes that are as the options say, the best first.

    What the node does not know it asks of those above it, so that this may take a moment.

    Exit status 0: at least one node was found. 1: none was.
    """
    if len(nodes) > FOUND_MAX:
        raise InputError(f"{len(nodes)} node ids are given; at most {FOUND_MAX} are allowed at once")
    for node in nodes:
        try:
            decode_node_id(node)
        except ProtocolError as error:
            raise InputError(f"{quoted(node)} is no node id: {error}") from error
    try:
        request = msgspec.convert(
            {
                "request": "find",
                "nodes": nodes,
                "tiers": tuple(dict.fromkeys(tiers)),
                "region": wanted["region"],
                "features": features,
                "task": TASKS[task] if task else 0,
                "load_percent_max": wanted["load_max"],
                "latency_ms_max": wanted["latency_max"],
                "cores_min": wanted["cores"],
                "memory_gib_min": wanted["memory_gib"],
                "gpus_min": wanted["gpus"],
                "limit": wanted["limit"],
            },
            FindNodes,
        )
    except msgspec.ValidationError as error:
        raise InputError(f"this cannot be asked for: {error}") from error
    documents = _ask(directory, request)
    emit(documents, as_json=as_json, lines=_found(documents))
    return 0 if documents else 1


def _found(documents: list[dict[str, Any]]) -> list[str]:
    """Return what was found as lines for a person."""
    rows = [("node", "tier", "region", "load", "distance", "where")]
    for document in documents:
        distance = document["latency_ms"]
        via = document["via"] or next(iter(document["home_edges"]), None)
        where = ", ".join(document["endpoints"]) or (f"at {via}" if via else "-")
        rows.append(
            (
                document["node"],
                f"L{document['tier']}",
                document["region"] or "-",
                f"{document['load_percent']} %",
                "-" if distance is None else f"{distance} ms",
                where,
            )
        )
    return columns(rows) if documents else ["no such node is known"]


def _ask(directory: Path, request: FindNodes | ListPeers) -> list[dict[str, Any]]:
    """Ask the node that runs in `directory`.

    Raises:
        InputError: no node runs there, or it does not find others.
    """
    try:
        documents: list[dict[str, Any]] = call_sync(directory / SOCKET_FILE, request)
    except NoOwner as error:
        raise InputError(f"{directory}: no node runs there; start it first (supervm lN run)") from error
    except RequestRefused as error:
        raise InputError(
            f"{directory}: the node refuses: {error} (is find_peers = true in its configuration?)"
        ) from error
    return documents
