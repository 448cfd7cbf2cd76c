"""``supervm bench``: what this machine does, beside what it could do, measured in the same run (surface.md)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from ..commands import BENCHMARKS
from ..errors import InputError
from .numbers import WholeNumber
from .output import Progress, columns, emit, json_option, note
from .registry import BENCHMARKS_GROUP, Offer, offers

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example: supervm bench verify trie --json")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "as_list", is_flag=True, help="List the benchmarks and stop.")
@click.option("--quick", is_flag=True, help="Smaller sizes, for a first look.")
@click.option("--rounds", type=WholeNumber(1, 100), default=5, show_default=True, help="Interleaved rounds per case.")
@click.option("--dir", "directory", type=_FOLDER, help="Folder on the disk to measure [default: the temporary folder].")
@click.option("--rows", "rows_file", type=_FILE, help="Take the rows of an earlier --json instead of measuring.")
@click.option(
    "--plots", type=click.Path(file_okay=False, path_type=Path), help="Write the cost curves there, as SVG files."
)
@json_option
def bench(
    names: tuple[str, ...],
    as_list: bool,
    quick: bool,
    rounds: int,
    directory: Path | None,
    rows_file: Path | None,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Measure this machine against its own limits; without NAME, everything that is installed.

    Each row is a median beside its limit, measured in turn in the same run. Only the ratio can be compared between
    machines.
    """
    known = offers(BENCHMARKS_GROUP, BENCHMARKS)
    if as_list:
        emit(
            [{"name": offer.name, "help": offer.help} for offer in known.values()],
            as_json=as_json,
            lines=columns([(offer.name, offer.help) for offer in known.values()]),
        )
        return
    for name in names:
        if name not in known:
            raise InputError(f"there is no benchmark {name!r}; there are {', '.join(known)}")
    if rows_file is None:
        chosen = [known[name] for name in dict.fromkeys(names)] or list(known.values())
        document = _run(chosen, quick, rounds, directory or Path(tempfile.gettempdir()))
    else:
        document = _read(rows_file, names)
    if plots is not None:
        from ..bench.plots import write_plots

        for path in write_plots(document, plots):
            note(f"wrote {path}")
    lines = columns(
        [("name", "value", "unit", "limit", "ratio", "n")]
        + [
            (
                str(row["name"]),
                _text(row["value"]),
                str(row["unit"]),
                _text(row["limit"]),
                _text(row["ratio"]),
                str(row["n"]),
            )
            for row in document
        ],
        right=(1, 3, 4, 5),
    )
    emit(document, as_json=as_json, lines=lines)


def _run(chosen: list[Offer], quick: bool, rounds: int, directory: Path) -> list[dict[str, object]]:
    import msgspec

    from ..bench.measure import BenchOptions

    rows: list[dict[str, object]] = []
    with Progress("bench", len(chosen)) as progress:
        for offer in chosen:
            progress.step(f"{offer.name}: {offer.help}")
            options = BenchOptions(rounds, quick, directory, progress.detail)
            rows += [msgspec.structs.asdict(row) for row in offer.load()(options)]
    return rows


def _read(path: Path, names: tuple[str, ...]) -> list[dict[str, object]]:
    """Return the rows of an earlier run; of the named benchmarks alone if any are named.

    Raises:
        InputError: the file is none that ``--json`` wrote.
    """
    import msgspec

    from ..bench.measure import Row

    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[Row])
    except (msgspec.DecodeError, OSError) as error:
        raise InputError(f"{path}: this is no document of `supervm bench --json`: {error}") from error
    return [msgspec.structs.asdict(row) for row in rows if not names or row.name.partition(".")[0] in names]


def _text(value: object) -> str:
    return "-" if value is None else f"{value:g}"
