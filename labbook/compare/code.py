"""The code of two runs: whether it is the same, which files differ, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labbook.compare.recorded import Recorded
from labbook.compare.snapshots import Code
from labbook.compare.trees import FileChange, changed_files, patch
from labbook.conditions.objects import ObjectReader
from labbook.errors import SnapshotError

__all__ = ["CodeDifference", "FileChange", "compare_code"]


@dataclass(frozen=True)
class Part:
    """One repository in both runs; its trees as stored."""

    label: str
    """Its path; the name of one of the user's other repositories."""
    a: Code | None
    b: Code | None
    is_elsewhere: bool = False

    @property
    def trees(self) -> tuple[str | None, str | None]:
        """Both trees; None where a run has no such repository."""
        return self.a.tree if self.a else None, self.b.tree if self.b else None


@dataclass(frozen=True)
class CodeDifference:
    """The code of two runs.

    `is_changed` is None where it is not known, for the reason `unknown`. `files` can be empty
    although the code changed: `unlisted` says why it cannot be listed. `dirty_*` count the
    uncommitted files, None without git.
    """

    is_changed: bool | None
    unknown: str | None
    commit_a: str | None
    commit_b: str | None
    dirty_a: int | None
    dirty_b: int | None
    files: tuple[FileChange, ...] = ()
    unlisted: str | None = None
    editable: tuple[str, ...] = ()
    """Names of the user's other repositories whose code differs."""
    notes: tuple[str, ...] = ()
    store: Path | None = field(default=None, repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)

    def patch(self) -> str:
        """Return the unified diff, read from the book now; "" where there is nothing to show.

        Raises `SnapshotError` when the book cannot give it. It is raw text of the run's: clean it
        before a terminal sees it.
        """
        if self.store is None or not self.parts or self.unlisted is not None:
            return ""
        texts: list[str] = []
        with ObjectReader(self.store) as reader:
            for part in self.parts:
                text = patch(reader, *part.trees)
                if text and part.label:
                    texts.append(f"# {part.label}\n")
                texts.append(text)
        return "".join(texts)


def compare_code(
    a: Recorded, b: Recorded, store_a: Path, store_b: Path, *, with_files: bool = True
) -> CodeDifference:
    """Compare the code of two runs, whose books keep it in `store_a` and `store_b`.

    Without `with_files` git is not asked which files differ.
    """
    is_changed, unknown = _is_changed(a, b)
    files: list[FileChange] = []
    unlisted: str | None = None
    parts = tuple(_parts(a.code, b.code))
    if with_files and parts and a.code.identity and b.code.identity:
        if store_a.resolve() != store_b.resolve():
            unlisted = "the runs are in two books; `labbook copy` takes one to the other"
        else:
            files, unlisted = _files(parts, store_a)
    elif is_changed:
        unlisted = _why_none(a.code, b.code)
    return CodeDifference(
        is_changed=is_changed,
        unknown=unknown,
        commit_a=a.git.commit,
        commit_b=b.git.commit,
        dirty_a=None if a.git.dirty is None else len(a.git.dirty),
        dirty_b=None if b.git.dirty is None else len(b.git.dirty),
        files=tuple(files),
        unlisted=unlisted,
        editable=_other_repositories(a.code, b.code),
        notes=tuple(_notes(a.code, b.code)),
        store=store_a,
        parts=parts,
    )


def _is_changed(a: Recorded, b: Recorded) -> tuple[bool | None, str | None]:
    """By what was executed; where that was not stored, by clean commits."""
    left, right = a.code.identity, b.code.identity
    if left is not None and right is not None:
        return left != right, None
    if a.git.commit and b.git.commit:
        if a.git.commit != b.git.commit:
            return True, None
        if a.git.dirty == () == b.git.dirty:
            return False, None
    return None, _why_none(a.code, b.code)


def _why_none(a: Code, b: Code) -> str:
    pairs = ((name, code) for name, code in (("A", a), ("B", b)) if code.identity is None)
    return "; ".join(f"{name}: {code.reason or 'no code was recorded'}" for name, code in pairs)


def _other_repositories(a: Code, b: Code) -> tuple[str, ...]:
    names = sorted({*a.editable, *b.editable})
    nothing = Code("none")
    return tuple(
        name
        for name in names
        if a.editable.get(name, nothing).identity != b.editable.get(name, nothing).identity
    )


def _parts(a: Code, b: Code) -> Iterator[Part]:
    """Yield the repositories with another tree or other bytes: own, nested, editable."""
    for left, right, is_elsewhere in (
        (dict(a.parts()), dict(b.parts()), False),
        (a.editable, b.editable, True),
    ):
        for label in sorted({*left, *right}):
            pair = left.get(label), right.get(label)
            if _own(pair[0]) != _own(pair[1]):
                yield Part(label, *pair, is_elsewhere)


def _own(code: Code | None) -> tuple[str | None, tuple[tuple[str, str], ...]] | None:
    return None if code is None else (code.tree, tuple(sorted(code.raw.items())))


def _files(parts: tuple[Part, ...], store: Path) -> tuple[list[FileChange], str | None]:
    """The changed files of all parts, or why they cannot be listed."""
    found: list[FileChange] = []
    try:
        with ObjectReader(store) as reader:
            for part in parts:
                for name, code in (("A", part.a), ("B", part.b)):
                    if code is not None and code.tree and not reader.has(code.tree):
                        return [], _absent(name, code)
                changes = changed_files(reader, *part.trees)
                known = {change.path for change in changes}
                changes += [FileChange(p, "bytes") for p in _other_bytes(part) if p not in known]
                found += [c.inside(part.label, is_elsewhere=part.is_elsewhere) for c in changes]
    except SnapshotError as error:
        return [], str(error)
    return found, None


def _absent(name: str, code: Code) -> str:
    if code.kind == "partial":
        return f"the code of {name} was stored in part: {code.reason}"
    return f"the code of {name} is not in this book (code: absent)"


def _other_bytes(part: Part) -> list[str]:
    left = part.a.raw if part.a else {}
    right = part.b.raw if part.b else {}
    return sorted(path for path in {*left, *right} if left.get(path) != right.get(path))


def _notes(a: Code, b: Code) -> Iterator[str]:
    for name, code in (("A", a), ("B", b)):
        if code.kind == "partial":
            yield f"{name} was stored in part: {code.reason}"
        for label, inner in code.parts():
            if label and inner.identity is None:
                yield f"{name} lacks the code of {label}: {inner.reason or 'unknown'}"
            if inner.omitted:
                some = ", ".join(inner.omitted[:5]) + (" …" if len(inner.omitted) > 5 else "")
                yield f"{name} lacks modified files that were too large or came too late: {some}"
    yield from _left_out(a, b)
    if a.cells != b.cells:
        yield "the executed cells of the notebook differ"


def _left_out(a: Code, b: Code) -> Iterator[str]:
    """Files outside the snapshots whose size or time tells them apart."""
    for path in sorted({*a.left_out, *b.left_out}):
        left, right = a.left_out.get(path), b.left_out.get(path)
        if left is None or right is None:
            where = "A" if left else "B"
            yield f"{path} is left out of the snapshot of {where}, and is not compared"
        elif (left.bytes, left.mtime) != (right.bytes, right.mtime):
            yield f"{path} is left out of the snapshots, and changed in size or time"
