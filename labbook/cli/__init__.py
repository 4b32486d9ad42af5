"""The command line: `main`, and which module holds which verb.

Invariant: a verb costs only its own imports. `labbook --help` and `labbook --version` load click
and nothing of the product; what each verb needs is imported when it is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from labbook.errors import LabbookError, MisuseError

__all__ = ["VERBS", "main"]

VERBS = {
    "Look": {
        "tui": ("labbook.cli.terminal:tui", "Open the terminal program (so does labbook alone)."),
        "ls": ("labbook.cli.listing:ls", "List the runs: filter, sort, pick columns."),
        "show": ("labbook.cli.showing:show", "Show everything known about one run."),
        "data": ("labbook.cli.data:data", "Show the data as the model was given it."),
        "diff": ("labbook.cli.comparing:diff", "Show what changed between runs, counted."),
        "top": ("labbook.cli.topping:top", "Watch the machine, and the runs on it."),
        "tail": ("labbook.cli.tailing:tail", "Print what a run logs, a line an update."),
        "dynamics": ("labbook.cli.observing:dynamics", "Show how examples were learned."),
        "lineage": ("labbook.cli.comparing:lineage", "Show which runs a run was derived from."),
    },
    "Evaluate": {
        "watch": ("labbook.cli.watching:watch", "Evaluate checkpoints as they appear."),
        "evaluate": ("labbook.cli.watching:evaluate", "Evaluate some checkpoints now."),
        "check": ("labbook.cli.checking:check", "Check a run or a program for mistakes."),
        "windows": ("labbook.cli.windowing:windows", "Do the task yourself, as the model sees it."),
        "best": ("labbook.cli.ranking:best", "Show the best checkpoint, and by how much."),
    },
    "Repeat": {
        "restore": (
            "labbook.cli.repeating:restore",
            "Write a run's code, as executed, to a folder.",
        ),
        "rerun": ("labbook.cli.repeating:rerun", "Run it again; --verify compares the two."),
    },
    "Take away": {
        "export": ("labbook.cli.exporting:export", "Write tables as Parquet, CSV and more."),
        "sql": ("labbook.cli.querying:sql", "Run a SELECT over the book."),
        "copy": ("labbook.cli.keeping:copy", "Copy a run into another book."),
    },
    "Look after": {
        "tag": ("labbook.cli.keeping:tag", "Tag a run, or take tags away."),
        "note": ("labbook.cli.keeping:note", "Write notes on a run."),
        "rename": ("labbook.cli.keeping:rename", "Give a run another name."),
        "rm": ("labbook.cli.keeping:rm", "Move runs to the trash, or bring them back."),
        "seal": ("labbook.cli.keeping:seal", "Turn journals of ended runs into Parquet."),
        "doctor": ("labbook.cli.keeping:doctor", "Verify the whole book; repair what is named."),
        "gc": ("labbook.cli.cleaning:gc", "Say what could be deleted, and delete it when told."),
        "hooks": ("labbook.cli.hooking:hooks", "Let git tell labbook: install, uninstall, status."),
    },
}
"""Heading -> verb -> (module:function, the line in `labbook --help`)."""

_EPILOG = """\
A run is named by its id, the beginning of its id, or its name. The book is found in LABBOOK_DIR,
else in .labbook at the top of the git working tree, else in .labbook here; --book names another.
"""


def _load(target: str) -> click.Command:
    module, _, function = target.partition(":")
    command: click.Command = getattr(import_module(module), function)
    return command


class _Failure(click.ClickException):
    """One line on stderr and exit status 1, for anything labbook raises on purpose."""

    def __init__(self, error: LabbookError) -> None:
        from labbook.book.text import clean

        super().__init__(clean(" ".join(str(error).split())))


class _Misuse(_Failure):
    """The same for a call that is wrong in itself: exit status 2."""

    exit_code = 2


class LazyGroup(click.Group):
    """A click group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs, in the order of the help."""
        return [verb for verbs in VERBS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        for verbs in VERBS.values():
            if cmd_name in verbs:
                return _load(verbs[cmd_name][0])
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs under their headings, without importing any."""
        width = max(map(len, self.list_commands(ctx)))
        for heading, verbs in VERBS.items():
            with formatter.section(heading):
                formatter.write_dl([(verb.ljust(width), line) for verb, (_, line) in verbs.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, and say which one was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(error.message + hint, ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; what labbook raises on purpose becomes one line on stderr."""
        try:
            return super().invoke(ctx)
        except LabbookError as error:
            raise (_Misuse if isinstance(error, MisuseError) else _Failure)(error) from error


def _print_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"labbook {version('labbook')}")
        except PackageNotFoundError:  # a checkout on PYTHONPATH
            click.echo("labbook (not installed)")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--book", metavar="FOLDER", help="The book to read.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.pass_context
def main(ctx: click.Context, book: str | None) -> None:
    """Look at your training runs, and evaluate their checkpoints.

    With no verb, labbook opens the terminal program.
    """
    ctx.obj = book
    if ctx.invoked_subcommand is None:
        ctx.invoke(_load(VERBS["Look"]["tui"][0]))
