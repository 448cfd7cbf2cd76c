"""``supervm detect``: which tier fits this machine, or one described by options (network.md 2)."""

from __future__ import annotations

import click

from ..host.detect import GIB, Hardware, as_labelled, choose_tier, measure
from ..host.home import home_directory
from .numbers import WholeNumber
from .output import emit, json_option

_AT_LEAST_ONE = WholeNumber(1, 1 << 20)
_FROM_ZERO = WholeNumber(0, 1 << 30)


@click.command(epilog="Example: supervm detect --cores 16 --memory-gib 64 --disk-gib 500 --json")
@click.option("--cores", type=_AT_LEAST_ONE, help="Cores, instead of this machine's.")
@click.option("--memory-gib", type=_FROM_ZERO, help="Memory in GiB, instead of this machine's.")
@click.option("--disk-gib", type=_FROM_ZERO, help="Disk in GiB, instead of this machine's.")
@click.option("--gpu", type=_FROM_ZERO, help="Number of GPUs, instead of this machine's.")
@json_option
def detect(cores: int | None, memory_gib: int | None, disk_gib: int | None, gpu: int | None, as_json: bool) -> None:
    """Say which tier fits this machine, and why; options describe another machine."""
    found = as_labelled(measure(home_directory()))
    hardware = Hardware(
        found.cores if cores is None else cores,
        found.memory_bytes if memory_gib is None else memory_gib * GIB,
        found.disk_bytes if disk_gib is None else disk_gib * GIB,
        found.gpus if gpu is None else gpu,
    )
    tier, why = choose_tier(hardware)
    document = {
        "tier": f"l{tier}",
        "hardware": {
            "cores": hardware.cores,
            "memory_gib": round(hardware.memory_bytes / GIB, 1),
            "disk_gib": round(hardware.disk_bytes / GIB, 1),
            "gpu": hardware.gpus,
        },
        "why": why,
    }
    emit(document, as_json=as_json, lines=(f"l{tier}: {why}", f"set up with: supervm init l{tier} --dir DIR"))
