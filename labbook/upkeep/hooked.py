"""What the git hooks ask: `python -m labbook.upkeep.hooked BOOK VERB …`, run by hooks/git/head.sh.

Invariant: it never fails aloud and never changes anything but facts of runs. What a commit waits
for imports the standard library only; whatever needs longer is `after-commit`, which nobody awaits.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from labbook.book.text import clean
from labbook.errors import LabbookError
from labbook.paths import BookPaths, open_book
from labbook.upkeep import committed
from labbook.upkeep.live import live_runs

__all__ = ["VERBS", "answer", "main"]

WAITED_FOR_S: Final = 0.03
"""A commit waits so long for the search through the book; the rest is done behind it."""

_MANY_S: Final = 600.0

_NAMED: Final = 5

_LOOKING: Final = ".uncommitted-lock"


def answer(words: Sequence[str]) -> list[str]:
    """Do what a hook asks for, and return what it shall print."""
    if len(words) < 2 or words[1] not in VERBS:
        return []
    try:
        return VERBS[words[1]](open_book(words[0]), list(words[2:]))
    except (LabbookError, OSError):
        return []  # a hook is silent about what is not git's business


def main() -> None:
    """Print the answer to the words of the command line."""
    for line in answer(sys.argv[1:]):
        print(clean(line), flush=True)


def _post_commit(book: BookPaths, _: list[str]) -> list[str]:
    from labbook.upkeep import uncommitted

    commit = committed.head(os.getcwd())
    if commit is None:
        return []
    marked = committed.mark(book, os.getcwd(), commit, seconds=WAITED_FOR_S)
    lines = []
    if marked:
        lines.append(f"labbook: committed as {commit.oid[:7]}: {_listed(marked)}")
    return lines + uncommitted.say_once(book)


def _after_commit(book: BookPaths, _: list[str]) -> list[str]:
    from labbook.upkeep import uncommitted

    commit = committed.head(os.getcwd())
    if commit is not None and committed.was_run(book, commit.tree):
        committed.mark(book, os.getcwd(), commit, seconds=_MANY_S)
    with _alone(book) as is_alone:
        if is_alone:
            uncommitted.look(book)
    return []


@contextmanager
def _alone(book: BookPaths) -> Iterator[bool]:
    """Whether nobody else is at it: a rebase makes a hundred commits within seconds."""
    with open(book.root / _LOOKING, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _live(book: BookPaths, words: list[str]) -> list[str]:
    tree, run_ids = (words[0] or None, words[1:]) if words else (None, [])
    live = live_runs(book, os.getcwd(), run_ids, tree)
    if not live:
        return []
    is_one = len(live) == 1
    return [
        f"labbook: the code here is not what {_listed(live)}, still running, began with. What "
        f"{'it has' if is_one else 'they have'} not imported yet will be imported as it is now"
    ]


def _trailers(book: BookPaths, words: list[str]) -> list[str]:
    found = committed.runs_of_tree(book, words[0], seconds=WAITED_FOR_S) if words else iter(())
    return [f"Labbook-Run: {paths.id}" for paths, _ in found]


def _listed(runs: list[committed.RunName]) -> str:
    told = ", ".join(f"{run.name} ({run.run_id})" for run in runs[:_NAMED])
    return told + (f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else "")


VERBS: dict[str, Callable[[BookPaths, list[str]], list[str]]] = {
    "post-commit": _post_commit,
    "after-commit": _after_commit,
    "live": _live,
    "trailers": _trailers,
}
"""What a hook may ask for."""

if __name__ == "__main__":
    main()
