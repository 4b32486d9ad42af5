"""The header of a run: how it stands, and what must not be missed about its code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from labbook.book.text import clean
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.palette import Ink, seg
from labbook_tui.states import LOUD, last_step, mark, state_line
from labbook_tui.text import cut, grouped, plural, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary
    from labbook_tui.models import CodeModel

__all__ = ["drift_line", "first_few", "second_line", "title_line"]


def title_line(run: RunSummary, width: int, ink: Ink) -> Line:
    """Name, state and step; host and id at the right end as far as they fit."""
    line: Line = [seg(f" {cut(clean(run.name), 32)}  ", ink.of("text", "b")), *state_line(run, ink)]
    step = last_step(run)
    if step is not None:
        line.append(seg(f"  step {grouped(step)}", ink.of("text")))
    where = f"{clean(run.host or '')}  {clean(run.id)} "
    if width_of(line) + len(where) + 2 > width:
        where = f"{clean(run.id)} "
    if width_of(line) + len(where) + 2 <= width:
        line = [*fit(line, width - len(where)), seg(where, ink.of("dim"))]
    return line


def second_line(run: RunSummary, code: CodeModel | None, width: int, ink: Ink) -> Line:
    """How it died and which of its code was in no commit; without a warning, the arguments."""
    line: Line = []
    if run.state in LOUD and run.why:
        _, style = mark(run.state, ink)
        why = f"{run.state}: {clean(run.why)}"
        # what was not committed has to be told too
        room = width - 2 if not run.dirty else max(30, width - 44)
        line = [seg(cut(why, room), style)]
    code_line = _dirty(run, code, width - width_of(line) - (5 if line else 2), ink)
    if line or code_line:
        gap = [seg("   ")] if line and code_line else []
        return [seg(" "), *line, *gap, *code_line]
    words = "  ".join(f"{clean(k)}={clean(value_text(v))}" for k, v in run.arguments.items())
    return [seg(" " + cut(words, width - 2), ink.of("dim"))]


def _dirty(run: RunSummary, code: CodeModel | None, room: int, ink: Ink) -> Line:
    """The dirty files of the start, and whether they have been committed since."""
    if run.dirty is None:
        return [seg("no git commit recorded", ink.of("dim"))] if run.commit is None else []
    if not run.dirty:
        return []
    committed = code.committed if code is not None and code.run == run.id else None
    since = f", committed as {clean(committed)[:7]} since" if committed else ""
    head = f"{ink.glyphs.dirty} dirty tree: {plural(len(run.dirty), 'file')} not as committed"
    if since:
        head = f"{ink.glyphs.done} dirty at the start: {plural(len(run.dirty), 'file')}"
    files = first_few(run.dirty, room - cell_len(head) - len(since) - 2)
    text = f"{head}: {files}{since}" if files else f"{head}{since}"
    return [seg(cut(text, room), ink.of("good" if since else "warn"))]


def drift_line(code: CodeModel | None, width: int, ink: Ink) -> Line:
    """Empty unless the working tree is another than a live run began with."""
    if code is None or not code.changed:
        return []
    words = f" {ink.glyphs.dirty} the code changed since this run began: "
    files = first_few(code.changed, width - cell_len(words) - 1)
    return [seg(cut(words + files, width), ink.of("bad", "b"))]


def first_few(paths: Sequence[str], room: int) -> str:
    """As many paths as fit, then `+2 more`; at least one, cut in its middle folders."""
    shown = ""
    for count, path in enumerate(paths):
        left = len(paths) - count - 1
        more = f" +{left} more" if left else ""
        longer = f"{shown} {clean(path)}".strip()
        if cell_len(longer) + len(more) > room:
            hidden = len(paths) - count
            if shown:
                return f"{shown} +{hidden} more"
            tail = clean(path)[-max(0, room - len(more) - 1) :] if room > len(more) + 4 else ""
            return f"…{tail}{more}" if tail else ""
        shown = longer
    return shown
