"""`labbook gc`: what could be deleted, and deleting it."""

from __future__ import annotations

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, echo_json, json_option, open_here

__all__ = ["gc"]


@click.command()
@click.option("--yes", is_flag=True, help="Delete it. Without this nothing is touched.")
@json_option
@book_option
def gc(*, book: str | None, yes: bool, as_json: bool) -> None:
    """Say what could be deleted: old trash, code of no run, temporary files.

    Whatever is younger than a day stays, and so does all that a run in the book
    speaks of. `labbook rm --undo` works until the trash is emptied.
    """
    from labbook.upkeep import gc as cleaning

    paths = open_here(book).paths
    before = _code_bytes(paths.code)
    garbage = cleaning.survey(paths)
    failed = cleaning.collect(paths, garbage) if yes else []
    freed = before - _code_bytes(paths.code) if yes else None
    if as_json:
        listed = [{"kind": g.kind, "path": str(g.path), "bytes": g.n_bytes} for g in garbage]
        echo_json({"garbage": listed, "deleted": yes, "code_bytes_freed": freed})
        return
    for each in garbage:
        where = each.path.relative_to(paths.root)
        size = "" if each.ref is not None else f"  {each.n_bytes:,} bytes"
        click.echo(clean(f"{each.kind}  {where}{size}"))
    for each, why in failed:
        click.echo(clean(f"could not delete {each.path}: {why}"), err=True)
    total = sum(each.n_bytes for each in garbage) + (freed or 0)
    if not garbage:
        click.echo("nothing to delete")
    elif yes:
        click.echo(f"{len(garbage) - len(failed)} deleted, {total:,} bytes")
    else:
        click.echo(f"{len(garbage)} could go, {total:,} bytes and code; --yes deletes them")


def _code_bytes(folder: object) -> int:
    from pathlib import Path

    files = Path(str(folder), "objects").rglob("*")
    return sum(path.lstat().st_size for path in files if path.is_file())
