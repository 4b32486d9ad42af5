"""The text of `labbook diff` and `labbook lineage`: one function a section.

Invariant: whatever comes from a run passes `_shown` or `clean`; control characters in code are
made visible, not dropped, for two files may differ in nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.outcomes import result_lines
from labbook.cli.tables import Column, cell_width, has_colour, render, terminal_width
from labbook.cli.wording import local_time, number_text
from labbook.compare.values import value_text

if TYPE_CHECKING:
    from labbook.compare import (
        Ancestor,
        CodeDifference,
        Difference,
        Item,
        Section,
        Side,
        Table,
    )

__all__ = ["NAMES", "ancestor_lines", "difference_lines", "patch_lines", "table_lines"]

NAMES = (
    "arguments", "code", "launch", "packages", "python", "machine", "environment", "seeds", "data",
    "given", "model", "results",
)  # fmt: skip
"""The sections, in the order in which they are printed."""

_INDENT = "  "
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


def difference_lines(
    found: Difference, only: tuple[str, ...], *, is_summary: bool
) -> Iterator[str]:
    """Yield the headline, the two runs, and the sections asked for."""
    line = clean(found.headline)
    yield _paint(line, fg="yellow", bold=True) if found.is_warning else _paint(line, bold=True)
    yield ""
    yield from _sides((found.a, found.b))
    for name in only:
        if name == "code":
            lines = [*_code(found.code), *(() if is_summary else patch_lines(found.code))]
            title = "Code"
        elif name == "results":
            lines, title = list(result_lines(found.results)), "Results"
        else:
            section = found.section(name)
            lines, title = list(_section(section)), section.title
        if lines:
            yield ""
            yield _paint(title, bold=True)
            yield from (_INDENT + line if line else "" for line in lines)


def table_lines(found: Table, only: tuple[str, ...]) -> Iterator[str]:
    """Yield three or more runs side by side: a row for each thing that differs."""
    yield _paint(clean(found.headline), bold=True)
    yield ""
    yield from _sides(found.runs)
    rows = [row for row in (*found.rows, *found.results) if row.section in only]
    if not rows:
        return
    columns = [
        Column("section", [row.section for row in rows], rank=99),
        Column("name", [row.name for row in rows], can_shrink=True),
    ]
    for at in range(len(found.runs)):
        cells = [
            (
                number_text(row.values[at])
                if row.section == "results"
                else value_text(row.values[at])
            )
            if row.is_there[at]
            else "-"
            for row in rows
        ]
        columns.append(Column(_letter(at), cells, can_shrink=True))
    yield ""
    yield from render(columns, terminal_width())[0]


def ancestor_lines(line: list[Ancestor]) -> Iterator[str]:
    """Yield a line of runs, newest first, and what changed on the way to each."""
    for ancestor in line:
        when = "" if ancestor.created_ns is None else f"  {local_time(ancestor.created_ns)}"
        yield f"{_paint(ancestor.id, bold=True)}  {clean(ancestor.name)}{when}"
        if ancestor.how is None:
            yield f"{_INDENT}the beginning"
        elif ancestor.how == "missing":
            yield f"{_INDENT}from {clean(ancestor.derived_from)}, which is not in this book"
        else:
            text = f"{_INDENT}{clean(ancestor.headline)}"
            yield _paint(text, fg="yellow") if len(ancestor.changes) > 1 else text
            if ancestor.how != "parent":
                yield _paint(f"{_INDENT}(from the run most like it: {ancestor.how})", dim=True)


def patch_lines(code: CodeDifference) -> Iterator[str]:
    """Yield the unified diff, cleaned, in colour on a terminal."""
    from labbook.errors import SnapshotError

    try:
        text = code.patch()
    except SnapshotError as error:
        yield f"the diff cannot be read: {clean(error)}"
        return
    lines = text.removesuffix("\n").split("\n") if text else []
    if lines:
        yield ""
    is_head = True
    for line in lines:
        if line.startswith(("diff --git ", "# ")):
            is_head = True
        elif line.startswith("@@"):
            is_head = False
        yield _patch_line(line, is_head)


def _patch_line(line: str, is_head: bool) -> str:
    shown = _HIDDEN.sub(_visible, line)
    if not has_colour():
        return shown
    if is_head:
        return click.style(shown, bold=True)
    colours = {"+": "green", "-": "red", "@": "cyan"}
    colour = colours.get(line[:1])
    return click.style(shown, fg=colour) if colour else shown


def _visible(found: re.Match[str]) -> str:
    """A control character as `^[`, as `cat -v` has it; any other by its number."""
    code = ord(found[0])
    if code < 32:
        return f"^{chr(code + 64)}"
    return "^?" if code == 127 else f"<U+{code:04X}>"


def _sides(sides: tuple[Side, ...]) -> Iterator[str]:
    room = max(cell_width(clean(side.name)) for side in sides)
    for at, side in enumerate(sides):
        name = clean(side.name)
        space = " " * (room - cell_width(name))
        attempts = f"  (the newest of {side.n_attempts} attempts)" if side.n_attempts > 1 else ""
        when = "" if side.created_ns is None else f"  {local_time(side.created_ns)}"
        yield f"{_letter(at)}  {side.id}  {name}{space}  {clean(side.state)}{when}{attempts}"


def _letter(at: int) -> str:
    return chr(ord("A") + at) if at < 26 else f"#{at + 1}"


# ---------------------------------------------------------------------- sections


def _section(section: Section) -> Iterator[str]:
    if section.unknown is not None:
        if section.name in {"arguments", "packages", "python", "machine"} or (
            "both" not in section.unknown
        ):
            yield _paint(f"not known: {clean(section.unknown)}", fg="magenta")
        return
    if section.name == "model":
        yield from _modules(section.items)
    else:
        yield from _items(section.items, is_typed=section.name in {"arguments", "seeds"})
    yield from (_paint(clean(note), fg="magenta") for note in section.notes)
    if section.items and section.n_same:
        yield _paint(f"({section.n_same} the same)", dim=True)


def _items(items: tuple[Item, ...], *, is_typed: bool) -> Iterator[str]:
    room = max((cell_width(clean(item.name)) for item in items), default=0)
    for item in items:
        name = clean(item.name)
        name += " " * (room - cell_width(name))
        left = _value(item.a, item.a_default, is_typed)
        right = _value(item.b, item.b_default, is_typed)
        if item.kind == "added":
            yield f"{_paint('+', fg='green')} {name}  {right}"
        elif item.kind == "removed":
            yield f"{_paint('-', fg='red')} {name}  {left}"
        else:
            yield f"{_paint('~', fg='yellow')} {name}  {left} → {right}"


def _modules(items: tuple[Item, ...]) -> Iterator[str]:
    """Of a module that changed only what differs in it."""
    from labbook.compare.modules import module_words

    room = max((cell_width(clean(item.name)) for item in items), default=0)
    for item in items:
        name = clean(item.name)
        name += " " * (room - cell_width(name))
        if item.kind == "changed":
            yield f"{_paint('~', fg='yellow')} {name}  {clean(', '.join(module_words(item)))}"
        else:
            sign, colour = ("+", "green") if item.kind == "added" else ("-", "red")
            value = item.b if item.kind == "added" else item.a
            yield f"{_paint(sign, fg=colour)} {name}  {clean(value)}"


def _value(value: Any, is_default: bool | None, is_typed: bool) -> str:
    is_bare = isinstance(value, str) and not is_typed
    text = clean(value if is_bare else value_text(value))
    if _DIGEST.fullmatch(text):
        text = f"{text[:19]}…"
    return f"{text} (default)" if is_default else text


def _code(code: CodeDifference) -> Iterator[str]:
    if code.is_changed is False and not code.editable:
        if code.commit_a != code.commit_b or code.dirty_a != code.dirty_b:
            yield "the same code, recorded differently"
    elif code.is_changed is None:
        yield _paint(f"not known: {clean(code.unknown)}", fg="magenta")
    if (code.commit_a, code.dirty_a) != (code.commit_b, code.dirty_b) or code.is_changed:
        yield f"commit  {_commit(code.commit_a, code.dirty_a)}"
        yield f"     →  {_commit(code.commit_b, code.dirty_b)}"
    if code.unlisted is not None:
        yield _paint(f"the files cannot be listed: {clean(code.unlisted)}", fg="magenta")
    yield from _files(code)
    yield from (_paint(clean(note), fg="magenta") for note in code.notes)


def _commit(commit: str | None, n_dirty: int | None) -> str:
    if commit is None:
        return "no commit"
    files = f" + {n_dirty} uncommitted file{'s' if n_dirty != 1 else ''}" if n_dirty else ""
    return f"{clean(commit)[:10]}{files}"


def _files(code: CodeDifference) -> Iterator[str]:
    """Like `git diff --stat`: one line a file, and the sum."""
    names = [
        _shown(f.path if f.old_path is None else f"{f.old_path} → {f.path}") for f in code.files
    ]
    room = max(map(cell_width, names), default=0)
    for file, name in zip(code.files, names, strict=True):
        space = " " * (room - cell_width(name))
        what = "" if file.status == "changed" else f"  {file.status}"
        if file.is_binary:
            counts = "  binary"
        elif file.added is None:
            counts = ""
        else:
            plus, minus = f"+{file.added}", f"-{file.removed}"
            counts = f"  {_paint(plus, fg='green')} {_paint(minus, fg='red')}"
        yield f"{name}{space}{counts}{what}"
    if code.files:
        added = sum(file.added or 0 for file in code.files)
        removed = sum(file.removed or 0 for file in code.files)
        n = len(code.files)
        yield f"{n} file{'s' if n != 1 else ''}, +{added} -{removed} lines"


def _shown(text: str) -> str:
    return _HIDDEN.sub(_visible, text).replace("\t", "^I").replace("\n", "^J")


def _paint(text: str, **style: Any) -> str:
    return click.style(text, **style) if has_colour() else text
