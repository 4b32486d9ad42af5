"""`labbook show RUN --args`: the command line again, as a shell takes it, and what it came to.

Invariant: the output is a shell script of one command; whatever a run says is quoted, or in a
comment that no line end in it can leave.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.book.summary import flatten
from labbook.book.text import clean
from labbook.cli.wording import value_text
from labbook.conditions.secrets import MASK

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["argument_lines", "defaults_among", "quoted"]


def argument_lines(reader: RunReader) -> Iterator[str]:
    """Yield the command, to be run from here, and each argument in a comment."""
    conditions = reader.conditions
    recorded = _object(conditions.get("arguments"))
    words = conditions.get("command")
    if not isinstance(words, list) or not words:
        yield "# the command line was not recorded"
    else:
        yield _command([str(word) for word in words], conditions)
        if any(MASK in str(word) for word in words):
            yield f"# {MASK} stands for a secret that was not recorded: put it in"
    arguments = reader.summary().arguments
    defaults = defaults_among(arguments, recorded)
    for name, value in arguments.items():
        end = "  (default)" if name in defaults else ""
        yield clean(f"# {name} = {value_text(value)}{end}")


def defaults_among(arguments: dict[str, Any], recorded: dict[str, Any]) -> set[str]:
    """Return the names whose value is the parser's default; none where no parser was found."""
    known = dict(flatten(_object(recorded.get("defaults"))))
    if not known:
        return set()
    from labbook.compare.values import same

    return {name for name, value in arguments.items() if name in known and same(value, known[name])}


def quoted(word: str) -> str:
    """Quote one word for a POSIX shell; what cannot be shown goes as `$'\\ooo'`."""
    if word.isprintable():
        return shlex.quote(word)
    bytes_ = word.encode("utf-8", "surrogateescape" if _is_name(word) else "replace")
    plain = (chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\{b:03o}" for b in bytes_)
    return f"$'{''.join(plain)}'"


def _command(words: list[str], conditions: dict[str, Any]) -> str:
    from labbook.restore.recorded import start_folder

    line = " ".join(map(quoted, words))
    script, cwd = conditions.get("script"), conditions.get("cwd")
    start = start_folder(
        tuple(words),
        script if isinstance(script, str) else None,
        cwd if isinstance(cwd, str) else None,
    )
    if start is None or os.path.realpath(start) == os.path.realpath(os.curdir):
        return line
    return f"cd {quoted(os.fspath(start))} && {line}"


def _is_name(word: str) -> bool:
    """Whether all halves of surrogate pairs in it are bytes that were no UTF-8."""
    return all("\udc80" <= c <= "\udcff" for c in word if "\ud800" <= c <= "\udfff")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
