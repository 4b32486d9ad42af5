"""The programs: bases, faults planted in them, and clean ones.

A fault is a small difference from a base. Whoever writes these does not read the rules that are to
find them, nor is a program changed because a rule misses it or alarms on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Fault:
    """A mistake planted in a base program."""

    name: str
    base: str
    edits: tuple[tuple[str, str], ...]  # (old, new): old occurs exactly once in the base
    rules: tuple[str, ...]  # any of these names the mistake
    why: str
    exact: str = ""  # the exact check it belongs to, which may neither miss it nor alarm wrongly


@dataclass(frozen=True)
class Variant:
    """A legal oddity: an edit of a base that is no mistake."""

    name: str
    base: str
    edits: tuple[tuple[str, str], ...]
    why: str


def bases() -> dict[str, Path]:
    """Base programs by name."""
    return {path.stem: path for path in sorted((HERE / "bases").glob("*.py"))}


def written() -> dict[str, Path]:
    """Clean programs that stand alone, by name."""
    return {path.stem: path for path in sorted((HERE / "clean").glob("[a-z]*.py"))}


def edited(base: str, edits: tuple[tuple[str, str], ...]) -> str:
    """Return the text of a base with edits made; ValueError where one does not fit."""
    original = text = bases()[base].read_text()
    for old, new in edits:
        if original.count(old) != 1 or text.count(old) != 1:
            raise ValueError(f"{original.count(old)} times in {base}.py, not once: {old!r}")
        if old == new:
            raise ValueError(f"an edit of {base}.py changes nothing: {old!r}")
        text = text.replace(old, new)
    return text
