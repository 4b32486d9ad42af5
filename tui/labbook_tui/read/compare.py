"""Two runs or more side by side: a series of each, what changed, the code, and what came out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook.compare.values import value_text
from labbook.errors import SnapshotError
from labbook_tui.comparison import (
    ChangeRow,
    ChangesModel,
    Compared,
    OverlayModel,
    PatchModel,
)
from labbook_tui.read.curves import result_curves, series_curve
from labbook_tui.read.picking import picked
from labbook_tui.read.readers import reader_of
from labbook_tui.series import ordered
from labbook_tui.smooth import heard
from labbook_tui.text import plural

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.summary import RunSummary
    from labbook.compare import CodeDifference, Difference, Item, Section
    from labbook_tui.models import Want

__all__ = ["build_changes", "build_overlay", "build_patch", "with_seen"]


def build_overlay(book: Book, want: Want, before: object) -> OverlayModel:
    """`want.detail` is (baseline, marked ids, axis, series, smoothing); "" is the first
    series."""
    about = picked(book, want)
    about = replace(about, seen=about.runs)
    if isinstance(before, OverlayModel) and before.about.seen == about.seen:
        return before
    axis, name, smooth = want.detail[2:5]
    readers = [reader_of(book, run.id) for run in about.runs]
    results = [result_curves(reader) if axis == "step" else {} for reader in readers]
    names = ordered({name for found in results for name in found} | _series(about.runs))
    name = name or _first(
        names, [{*run.stats, *has} for run, has in zip(about.runs, results, strict=True)]
    )
    curves = {
        reader.id: found.get(name) or series_curve(reader, name, axis, heard(smooth))
        for reader, found in zip(readers, results, strict=True)
        if name in found or name in reader.names()
    }
    return OverlayModel(about, tuple(names), name, curves)


def _first(names: list[str], of_runs: list[set[str]]) -> str:
    """The most telling series that every run has; else the most telling one."""
    shared = [name for name in names if all(name in found for found in of_runs)]
    return next(iter(shared or names), "")


def _series(runs: tuple[RunSummary, ...]) -> set[str]:
    return {name for run in runs for name in run.stats}


def with_seen(about: Compared) -> Compared:
    """What conditions depend on: the runs, their attempts, and how they stand."""
    return replace(about, seen=tuple((run.id, run.attempt, run.state) for run in about.runs))


# ---------------------------------------------------------------------- changes


def build_changes(book: Book, want: Want, before: object) -> ChangesModel:
    """Sections of what differs; of three or more runs one row a thing."""
    from labbook import compare

    about = with_seen(picked(book, want))
    if isinstance(before, ChangesModel) and before.about.seen == about.seen:
        return before
    readers = [reader_of(book, run.id) for run in about.runs]
    if len(readers) < 2:
        return ChangesModel(about, "", (), (), 0)
    if len(readers) > 2:
        several = compare.table(readers)
        return ChangesModel(about, clean(several.headline), (), tuple(_rows_of(several)), 0)
    found = compare.diff(*readers)
    rows = [row for name in _ORDER for row in _part(found, name)]
    return ChangesModel(
        about, clean(found.headline), tuple(_things(found)), tuple(rows), len(found.code.files)
    )


_ORDER = (
    "arguments", "code", "seeds", "data", "given", "model", "launch", "packages", "python",
    "machine", "environment",
)  # fmt: skip


def _things(found: Difference) -> list[str]:
    """The changes that count, and the seed, in a word each."""
    names = [clean(item.name) for item in found.section("arguments").items]
    names += [
        _WORDS.get(change.section) or clean(change.text.split(" (")[0])
        for change in found.changes
        if change.section != "arguments"
    ]
    return list(dict.fromkeys([*names, *(["seed"] if found.seed_changes else [])]))


_WORDS = {"given": "data as given", "model": "the net", "launch": "launch"}


def _part(found: Difference, name: str) -> list[ChangeRow]:
    if name == "code":
        return _code(found.code)
    section = found.section(name)
    rows = _items(section)
    if not rows:
        return []
    same = f"{section.n_same} the same" if section.n_same else ""
    return [ChangeRow("heading", section.title, (same,)), *rows]


def _items(section: Section) -> list[ChangeRow]:
    if section.unknown is not None:
        if "both" in section.unknown:
            return []
        return [ChangeRow("note", f"not known: {clean(section.unknown)}", (), "warn")]
    if section.name == "model":
        from labbook.compare.modules import module_words

        rows = [
            ChangeRow("~", clean(item.name), (clean(", ".join(module_words(item))),))
            if item.kind == "changed"
            else _row(item, is_typed=False)
            for item in section.items
        ]
    else:
        is_typed = section.name in {"arguments", "seeds"}
        # a generator's state differs whenever nobody seeds it: a name says as much as two digests
        states = [item.name for item in section.items if item.name.startswith("state.")]
        rows = [_row(i, is_typed=is_typed) for i in section.items if i.name not in states]
        if states:
            names = ", ".join(clean(name.removeprefix("state.")) for name in states)
            rows.append(ChangeRow("note", f"generators began in another state: {names}", (), "dim"))
    return rows + [ChangeRow("note", clean(note), (), "dim") for note in section.notes]


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _row(item: Item, *, is_typed: bool) -> ChangeRow:
    a = "" if item.kind == "added" else _value(item.a, item.a_default, is_typed)
    b = "" if item.kind == "removed" else _value(item.b, item.b_default, is_typed)
    return ChangeRow(_SIGNS[item.kind], clean(item.name), (a, b))


def _value(value: Any, is_default: bool | None, is_typed: bool) -> str:
    text = clean(value if isinstance(value, str) and not is_typed else value_text(value))
    if text.startswith("sha256:") and len(text) == 71:
        text = text[:19] + "…"
    return f"{text} (default)" if is_default else text


def _code(code: CodeDifference) -> list[ChangeRow]:
    rows: list[ChangeRow] = []
    if code.is_changed is None:
        rows.append(ChangeRow("note", f"not known: {clean(code.unknown)}", (), "warn"))
    elif not code.is_changed and (code.commit_a, code.dirty_a) != (code.commit_b, code.dirty_b):
        rows.append(ChangeRow("note", "the same code, recorded differently", (), "good"))
    if (code.commit_a, code.dirty_a) != (code.commit_b, code.dirty_b) or code.is_changed:
        commits = _commit(code.commit_a, code.dirty_a), _commit(code.commit_b, code.dirty_b)
        rows.append(ChangeRow("~", "commit", commits, "dim"))
    if code.unlisted is not None:
        why = f"the files cannot be listed: {clean(code.unlisted)}"
        rows.append(ChangeRow("note", why, (), "warn"))
    for file in code.files:
        sign = {"added": "+", "removed": "-"}.get(file.status, "~")
        counts = "binary" if file.is_binary else ""
        if file.added is not None:
            counts = f"+{file.added} -{file.removed}"
        name = file.path if file.old_path is None else f"{file.old_path} → {file.path}"
        what = "" if file.status in {"changed", "added", "removed"} else f" {file.status}"
        rows.append(ChangeRow(sign, clean(name), (clean(counts + what),), "file"))
    rows += [ChangeRow("~", f"code of {clean(name)}", ()) for name in code.editable]
    rows += [ChangeRow("note", clean(note), (), "dim") for note in code.notes]
    if not rows:
        return []
    hint = "enter shows the lines" if code.files else ""
    return [ChangeRow("heading", "Code", (hint,)), *rows]


def _commit(commit: str | None, n_dirty: int | None) -> str:
    if commit is None:
        return "no commit"
    return clean(commit)[:7] + (f" +{plural(n_dirty, 'dirty file')}" if n_dirty else "")


def _rows_of(several: Any) -> list[ChangeRow]:
    rows: list[ChangeRow] = []
    section = ""
    for row in several.rows:
        if row.section != section:
            section = row.section
            rows.append(ChangeRow("heading", section.capitalize(), ("",)))
        values = tuple(
            clean(value if isinstance(value, str) else value_text(value)) if there else "–"
            for value, there in zip(row.values, row.is_there, strict=True)
        )
        rows.append(ChangeRow("~", clean(row.name), values))
    return rows


def build_patch(book: Book, want: Want, before: object) -> PatchModel:
    """The lines of the code's difference; control characters in them are made visible."""
    from labbook import compare

    about = with_seen(picked(book, want))
    if isinstance(before, PatchModel) and before.about.seen == about.seen:
        return before
    if len(about.runs) != 2:
        return PatchModel(about, (), "two runs have a difference of code: p picks a pair")
    code = compare.diff(*(reader_of(book, run.id) for run in about.runs)).code
    try:
        text = code.patch()
    except SnapshotError as error:
        return PatchModel(about, (), f"the code cannot be read: {clean(error)}")
    lines = text.removesuffix("\n").split("\n") if text else []
    problem = "" if lines else clean(code.unlisted or code.unknown or "the code is the same")
    return PatchModel(about, tuple(visible(line) for line in lines), problem)


def visible(line: str) -> str:
    """A line of code for a terminal: tabs as blanks, other control characters as `^X`."""
    out = [f"^{chr(ord(char) + 64)}" if ord(char) < 32 else char for char in line.expandtabs(4)]
    return clean("".join(out))
