"""`labbook hooks install|uninstall|status`: what git tells labbook."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, echo_json, json_option

if TYPE_CHECKING:
    from labbook.upkeep.githooks import Hook

__all__ = ["hooks"]

_OPT_IN = ("pre-commit", "prepare-commit-msg", "pre-push")


@click.group()
def hooks() -> None:
    """Git hooks: a commit of code that was run says which runs it was.

    A hook that is there already goes on running first. Nothing of labbook stops git, waits, or
    complains when labbook is gone.
    """


@hooks.command()
@click.option(
    "--with", "named", multiple=True, type=click.Choice([*_OPT_IN, "all"]), help="One more hook."
)
@book_option
def install(*, named: tuple[str, ...], book: str | None) -> None:
    """Put the hooks into this repository; again brings them up to date.

    post-commit marks the runs of the committed tree; post-checkout and post-merge say which live
    runs import from the tree that has just changed. Only --with: pre-commit says the same before a
    commit, prepare-commit-msg offers Labbook-Run trailers, and pre-push refuses to push snapshots.
    """
    from labbook.upkeep import githooks

    folder = githooks.folder_of(os.getcwd())
    before = [hook.name for hook in githooks.status(folder) if hook.state == "ours"]
    wanted = [*githooks.ALWAYS, *(_OPT_IN if "all" in named else named), *before]
    built_in = Path(book).expanduser().absolute() if book else None
    done = githooks.install(folder, dict.fromkeys(wanted), book=built_in)
    for hook in done:
        click.echo(_line(hook))
    note = _about(folder)
    if note:
        click.echo(note)
    raise SystemExit(0 if all(hook.state == "ours" for hook in done) else 1)


@hooks.command()
def uninstall() -> None:
    """Take the hooks out, and put back what was there before, byte for byte."""
    from labbook.upkeep import githooks

    found = githooks.uninstall(githooks.folder_of(os.getcwd()))
    for hook in found:
        if hook.state == "ours":
            back = "; the hook from before is back" if hook.chained else ""
            click.echo(f"{hook.name}: taken out{back}")
        elif hook.state == "edited":
            click.echo(_line(hook))
    if not any(hook.state in {"ours", "edited"} for hook in found):
        click.echo("no hook of labbook is here")
    raise SystemExit(1 if any(hook.state == "edited" for hook in found) else 0)


@hooks.command()
@json_option
def status(*, as_json: bool) -> None:
    """Say which hooks are in this repository, and whose."""
    from labbook.upkeep import githooks

    found = githooks.status(githooks.folder_of(os.getcwd()))
    if as_json:
        echo_json([{**vars(hook), "path": os.fspath(hook.path)} for hook in found])
        return
    for hook in found:
        click.echo(_line(hook))


@hooks.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def call(*, words: tuple[str, ...]) -> None:
    """Answer a hook whose Python is gone: `call BOOK VERB …`."""
    from labbook.upkeep import hooked

    for line in hooked.answer(words):
        click.echo(clean(line))


def _line(hook: Hook) -> str:
    said = {
        "ours": "labbook" + (", after the hook that was there" if hook.chained else ""),
        "edited": "labbook, edited",
        "other": "another program's",
        "none": "-",
    }[hook.state]
    return clean(f"{hook.name}: {said}" + (f": {hook.note}" if hook.note else ""))


def _about(folder: Path) -> str | None:
    """What to know about a folder of hooks that is not the repository's own."""
    from labbook.conditions import gitcommand

    try:
        out = gitcommand.run(os.getcwd(), "rev-parse", "--git-common-dir", "--show-toplevel")
    except gitcommand.GitFailed:
        return None  # a bare repository has no working tree
    own, top = (Path(os.getcwd(), line).resolve() for line in os.fsdecode(out).splitlines())
    if folder.resolve().is_relative_to(own):
        return None
    if folder.resolve().is_relative_to(top):
        return (
            f"{clean(folder.resolve().relative_to(top))} lies in the working tree "
            "(core.hooksPath): leave the hooks out of commits, they name this machine's Python"
        )
    return (
        f"{clean(folder)} is not this repository's own (core.hooksPath): the hooks serve every "
        "repository that uses it, and do nothing where there is no book"
    )
