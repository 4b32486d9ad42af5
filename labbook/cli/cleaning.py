"""`labbook gc`: what could be deleted, and deleting it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.wording import say
from labbook.client.settings import private_cache

if TYPE_CHECKING:
    from labbook.upkeep.gc import Garbage

__all__ = ["gc"]


@click.command()
@click.option("--yes", is_flag=True, help="Delete it. Without this nothing is touched.")
@json_option
@book_option
def gc(*, book: str | None, yes: bool, as_json: bool) -> None:
    """Say what could be deleted: old trash, code of no run, temporary files.

    Whatever is younger than a day stays, and so does all that a run in the book
    speaks of. `labbook rm --undo` works until the trash is emptied.

    The last line is the cache in which watchers keep the code of runs as files,
    for all your books. What none used for a day could go: it is made again.
    """
    from labbook.upkeep import gc as cleaning

    paths = open_here(book).paths
    before = _code_bytes(paths.code)
    cache = private_cache(os.environ) / "watch"
    garbage = cleaning.survey(paths) + _unused(cache)
    held = _held(cache)
    failed = cleaning.collect(paths, garbage) if yes else []
    freed = before - _code_bytes(paths.code) if yes else None
    if as_json:
        listed = [{"kind": g.kind, "path": str(g.path), "bytes": g.n_bytes} for g in garbage]
        about = {"path": str(cache), "codes": held[0], "bytes": held[1]}
        echo_json({"garbage": listed, "deleted": yes, "code_bytes_freed": freed, "cache": about})
        return
    for each in garbage:
        where = each.path.relative_to(paths.root) if each.kind != "cache" else each.path
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
    if held[0]:
        held = _held(cache)
        codes = f"{held[0]} code{'s' if held[0] != 1 else ''} of runs"
        say(f"the watchers' cache {cache} holds {codes}, {held[1]:,} bytes")


def _unused(cache: Path) -> list[Garbage]:
    from labbook.upkeep.gc import YOUNG_S, Garbage, size_of
    from labbook.watch.materialise import unused

    return [Garbage("cache", each, size_of(each)) for each in unused(cache, kept_s=YOUNG_S)]


def _held(cache: Path) -> tuple[int, int]:
    """How many codes of runs are in the watchers' cache, and their bytes."""
    from labbook.upkeep.gc import size_of
    from labbook.watch.materialise import codes

    return len(codes(cache)), size_of(cache)


def _code_bytes(folder: object) -> int:
    from pathlib import Path

    files = Path(str(folder), "objects").rglob("*")
    return sum(path.lstat().st_size for path in files if path.is_file())
