"""The ``supervm`` program: finding a command, running it, and turning every outcome into an exit status.

Exit status (surface.md): 0 it did what was asked; 1 the answer is "no"; 2 wrong usage or input, with one line that
says what is wrong, where, and what is allowed. Beyond the promise: 70 is a bug of ours, the only case that shows a
traceback; 130 is Ctrl-C; 141 is a reader that went away.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Final

import click

from supervm.protocol.base.errors import ProtocolError

from ..errors import CommonError
from ..exit_status import EXIT_BUG, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_NO, EXIT_OK, EXIT_PIPE
from ..host.streams import open_standard_streams, point_to_null
from .registry import COMMAND_HOMES, COMMANDS_GROUP, Offer, offers

WORD_CHARACTERS_MAX: Final = 400
"""Longest run without a blank that an error line shows in full."""


class LazyProgram(click.Group):
    """A click group whose commands are listed without being imported."""

    def _offers(self) -> dict[str, Offer]:
        from ..commands import COMMANDS

        return offers(COMMANDS_GROUP, COMMANDS)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of what is installed."""
        return list(self._offers())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if no installed member offers it."""
        offer = self._offers().get(cmd_name)
        if offer is None:
            return None
        command = offer.load()
        if not isinstance(command, click.Command):
            raise CommonError(f"{offer.target} is not a command; the installation is damaged")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with an error that names the missing profile or what there is."""
        if args and not args[0].startswith("-") and args[0] not in (known := self._offers()):
            name = args[0]
            if home := COMMAND_HOMES.get(name):
                raise click.UsageError(f"supervm {name} needs {home}, which is not installed here")
            raise click.UsageError(f"there is no command {name!r}; there are {', '.join(known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from their offers."""
        with formatter.section("Commands"):
            formatter.write_dl([(offer.name, offer.help) for offer in self._offers().values()])


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"supervm {version('supervm-common')}")
        ctx.exit()


@click.group(
    cls=LazyProgram,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: supervm detect --json",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print the version and stop.",
)
def program() -> None:
    """SuperVM: a four-tier payment network; every kind of machine does the work that fits it.

    Every command has --help with an example. Results go to standard output (--json: one document), logs and progress
    to standard error. Exit status: 0 done, 1 the answer is no, 2 wrong usage or input.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``supervm`` with `argv` (default: the process's arguments) and return its exit status."""
    open_standard_streams()  # before anything opens a file
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a file's name may hold what the terminal's encoding cannot write; it is shown escaped, as JSON would
            stream.reconfigure(errors="backslashreplace")
    try:
        status = program.main(args=None if argv is None else list(argv), prog_name="supervm", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return _status_of(error)
    return status if isinstance(status, int) else EXIT_OK


def _status_of(error: BaseException) -> int:
    """Print what a person needs to know of `error` and return the exit status."""
    leaves = list(_leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt | click.Abort) for leaf in leaves):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    if all(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        # the reader of our output is gone; keep the interpreter from complaining about it at exit
        point_to_null(sys.stdout)
        return EXIT_PIPE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_OK if error.code is None else EXIT_NO
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(_needs_command(error), err=True)
        return EXIT_INPUT
    lines = [_line_of(leaf) for leaf in leaves]
    if None in lines:
        traceback.print_exception(error)
        return EXIT_BUG
    # several tasks that failed together mostly failed of one cause: the first says it
    click.echo(f"supervm: {lines[0]}", err=True)
    return EXIT_INPUT


def _needs_command(error: click.exceptions.NoArgsIsHelpError) -> str:
    context = error.ctx
    if context is None or not isinstance(context.command, click.Group):
        return "supervm: arguments are missing (see: supervm --help)"
    names = ", ".join(context.command.list_commands(context))
    return f"supervm: {context.command_path} needs a command: {names} (see: {context.command_path} --help)"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _line_of(error: BaseException) -> str | None:
    """Return the one line for an error that is the user's to mend; None for a bug of ours."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
        if isinstance(error, click.UsageError) and error.ctx is not None:
            text = f"{text} (see: {error.ctx.command_path} --help)"
    elif isinstance(error, CommonError | ProtocolError):
        text = str(error)
    elif isinstance(error, OSError) and (error.filename is not None or error.errno is not None):
        reason = error.strerror or type(error).__name__
        text = f"{error.filename}: {reason}" if error.filename is not None else str(reason)
    else:
        database = sys.modules.get("sqlalchemy.exc")
        if database is None or not isinstance(error, database.OperationalError):
            return None
        text = f"the database: {error.orig}"
    return " ".join(_shortened(word) for word in text.split())


def _shortened(word: str) -> str:
    """Return a word of a message, without its middle if it is longer than any path or key: input shown in full.

    What a message quotes it shortens itself; this holds for the library's own messages, too.
    """
    return word if len(word) <= WORD_CHARACTERS_MAX else f"{word[:60]}...({len(word)} characters)...{word[-20:]}"
