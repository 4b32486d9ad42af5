"""What can be typed next in a filter: fields, states, and what is true or false.

Only the end of the text is completed. Every candidate can be read by `labbook.book.filtering`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from labbook.book.fields import Fields
from labbook.book.states import STATES

__all__ = ["Completion", "complete", "complete_field"]

_LAST = re.compile(r"""(?P<field>[^\s()=<>~!"'&]+)(?:[=!]=|!~|[=~:])(?P<values>[^\s()"']*)$""")
_WORD = re.compile(r"""(?:^|[\s(])-?(?P<word>[^\s()=<>~!"'&]*)$""")
_PLAIN = re.compile(r"""[^\s()=<>~!"'&-][^\s()=<>~!"'&]*""")
_PARTS = re.compile(r"[./]")
_WORDS = ("and", "or", "not")
_FIRST = ("state", "since", "tag", "dirty")
"""Asked for most; then what these runs have of their own, then the facts of any run."""


@dataclass(frozen=True)
class Completion:
    """`found` can each stand in place of `text[start:]`."""

    text: str
    start: int
    found: tuple[str, ...] = ()

    @property
    def common(self) -> str:
        """The text as far as all candidates agree; it is never shorter than what was typed."""
        typed = self.text[self.start :].lower()
        if not all(name.lower().startswith(typed) for name in self.found):
            return self.text if len(self.found) != 1 else self.with_(self.found[0])
        first, last = min(self.found, default=""), max(self.found, default="")
        differing = (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
        count = next(differing, min(len(first), len(last)))
        return self.with_(first[:count]) if count > len(self.text) - self.start else self.text

    def with_(self, candidate: str) -> str:
        """The text with a candidate at its end."""
        return self.text[: self.start] + candidate


def complete(text: str, fields: Fields) -> Completion:
    """What the end of a filter may become: a field, or a value of `state` and `dirty`."""
    if text.count('"') % 2 or text.count("'") % 2:
        return Completion(text, len(text))
    of_value = _LAST.search(text)
    known = _values(of_value["field"].lower()) if of_value is not None else ()
    if of_value is not None and known:
        value = re.split(r"[,|]", of_value["values"])[-1]
        return _among(text, value, known)
    word = _WORD.search(text)
    if word is None:
        return Completion(text, len(text))
    own = [name for name in fields.names if not fields.is_of_all(name)]
    names = dict.fromkeys([*_FIRST, *own, *fields.names])
    return _among(text, word["word"], filter(None, map(_quoted, names)))


def complete_field(text: str, fields: Fields) -> Completion:
    """What the field to sort by may become, after a `-` too."""
    return _among(text, text.removeprefix("-"), fields.names)


def _values(field: str) -> tuple[str, ...]:
    if field == "state":
        return STATES
    return ("true", "false", "unknown") if field == "dirty" else ()


def _among(text: str, typed: str, known: Iterable[str]) -> Completion:
    """Those that begin as what was typed does, without regard to case; none that is it already.

    Where none does, those of which a later part does: `acc` finds `validation.accuracy`.
    """
    wanted, names = typed.lower(), tuple(known)
    found = [name for name in names if name.lower().startswith(wanted) and name != typed]
    if not found and typed not in names:
        found = [n for n in names if any(p.startswith(wanted) for p in _PARTS.split(n.lower()))]
    return Completion(text, len(text) - len(typed), tuple(dict.fromkeys(found)))


def _quoted(name: str) -> str:
    """A name as a filter has to be given it; "" for one that it cannot be given."""
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    quote = next((mark for mark in ('"', "'") if mark not in name), "")
    return f"{quote}{name}{quote}" if quote else ""
