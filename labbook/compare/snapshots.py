"""The code of a run as its conditions tell it, read without trust.

Object ids go to git's command line, so nothing but 40 hexadecimal digits passes for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Code", "Git", "Left"]

_OID = re.compile(r"[0-9a-f]{40}")
_DEEPEST = 20
"""Repositories within repositories; a hostile file could nest them without end."""


@dataclass(frozen=True)
class Left:
    """A file that the snapshot leaves out."""

    bytes: int | None
    mtime: float | None
    why: str


@dataclass(frozen=True)
class Git:
    """What git said: the commit, the branch, and the dirty paths (None: not known)."""

    commit: str | None = None
    branch: str | None = None
    dirty: tuple[str, ...] | None = None
    reason: str | None = None

    @classmethod
    def of(cls, conditions: Mapping[str, Any]) -> Git:
        """Read it from conditions of any shape."""
        git = conditions.get("git")
        if not isinstance(git, dict):
            return cls(reason=_text(conditions.get("git_reason")))
        dirty = git.get("dirty")
        paths = None
        if isinstance(dirty, list):
            paths = tuple(str(f["path"]) for f in dirty if isinstance(f, dict) and "path" in f)
        return cls(_text(git.get("commit")), _text(git.get("branch")), paths)


@dataclass(frozen=True)
class Code:
    """One snapshot. `kind` is complete, partial, none, or absent: the conditions have none.

    `raw`: blobs of files whose bytes are not git's form of them. `left_out` and `omitted` are files
    whose content is not known. `nested` are repositories inside, by path; `editable` the user's
    other repositories, by name.
    """

    kind: str
    reason: str | None = None
    tree: str | None = None
    prefix: str = ""
    raw: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, Left] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    cells: str | None = None
    nested: dict[str, Code] = field(default_factory=dict)
    editable: dict[str, Code] = field(default_factory=dict)

    @classmethod
    def of(cls, conditions: Mapping[str, Any]) -> Code:
        """Read the snapshot and the editable installs."""
        editable = conditions.get("editable")
        others = editable if isinstance(editable, dict) else {}
        found = {str(name): _read(other, _DEEPEST) for name, other in others.items()}
        return _read(conditions.get("snapshot"), _DEEPEST, editable=found)

    @property
    def identity(self) -> tuple[Any, ...] | None:
        """Equal for equal code, as far as it is stored; None when there is none."""
        if self.tree is None or self.kind not in {"complete", "partial"}:
            return None
        inner = tuple(sorted((path, code.identity) for path, code in self.nested.items()))
        return (self.tree, tuple(sorted(self.raw.items())), self.cells, inner)

    def parts(self, label: str = "") -> Iterator[tuple[str, Code]]:
        """Yield this repository ("") and those inside it as (path, code)."""
        yield label, self
        for path, code in self.nested.items():
            yield from code.parts(f"{label}/{path}" if label else path)


def _read(found: Any, depth: int, *, editable: dict[str, Code] | None = None) -> Code:
    if not isinstance(found, dict):
        return Code("absent", "no snapshot was recorded", editable=editable or {})
    kind = _text(found.get("kind"))
    nested, raw, left, omitted = (
        found.get(name) for name in ("nested", "raw", "left_out", "omitted")
    )
    inner = nested if isinstance(nested, dict) and depth else {}
    return Code(
        kind=kind if kind in ("complete", "partial", "none") else "absent",
        reason=_text(found.get("reason")),
        tree=_oid(found.get("tree")),
        prefix=_text(found.get("prefix")) or "",
        raw={str(p): oid for p, blob in raw.items() if (oid := _oid(blob))}
        if isinstance(raw, dict)
        else {},
        left_out=dict(_left(left)) if isinstance(left, list) else {},
        omitted=tuple(map(str, omitted)) if isinstance(omitted, list) else (),
        cells=_oid(found.get("cells")),
        nested={str(path): _read(code, depth - 1) for path, code in inner.items()},
        editable=editable or {},
    )


def _left(found: list[Any]) -> Iterator[tuple[str, Left]]:
    for item in found:
        if isinstance(item, dict) and isinstance(item.get("path"), str):
            size, mtime = item.get("bytes"), item.get("mtime")
            yield (
                item["path"],
                Left(
                    size if isinstance(size, int) else None,
                    mtime if isinstance(mtime, int | float) else None,
                    str(item.get("why")),
                ),
            )


def _oid(value: Any) -> str | None:
    return value if isinstance(value, str) and _OID.fullmatch(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
