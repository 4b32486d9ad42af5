"""`labbook show RUN --args`: the command line again, as a shell takes it, and what it came to.

Invariant: the output is a shell script of one command; whatever a run says is quoted, or in a
comment that no line end in it can leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.book.summary import flatten
from labbook.book.text import clean
from labbook.cli.wording import value_text
from labbook.conditions.secrets import MASK
from labbook.restore.typed import command_line

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["argument_lines", "defaults_among"]


def argument_lines(reader: RunReader) -> Iterator[str]:
    """Yield the command, to be run from here, and each argument in a comment."""
    conditions = reader.conditions
    recorded = _object(conditions.get("arguments"))
    words = conditions.get("command")
    if not isinstance(words, list) or not words:
        yield "# the command line was not recorded"
    else:
        yield command_line(conditions)
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


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
