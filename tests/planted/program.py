"""The programs: bases, faults planted in them, and clean ones.

A fault is a small difference from a base. Whoever writes these does not read the rules that are to
find them, nor is a program changed because a rule misses it or alarms on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

Edits = tuple[tuple[str, str], ...]
"""(old, new) in turn: each old occurs exactly once in the base."""


@dataclass(frozen=True)
class Fault:
    """A mistake planted in a base program."""

    name: str
    base: str
    edits: Edits
    rules: tuple[str, ...]  # any of these names the mistake
    why: str
    exact: str = ""  # the exact check it belongs to, which may neither miss it nor alarm wrongly


@dataclass(frozen=True)
class Variant:
    """A legal oddity: an edit of a base that is no mistake."""

    name: str
    base: str
    edits: Edits
    why: str


@dataclass(frozen=True)
class Program:
    """What is checked: its text, and the fault in it, or None where it is clean."""

    name: str
    text: str
    fault: Fault | None = None


def bases() -> dict[str, Path]:
    """Base programs by name."""
    return {path.stem: path for path in sorted((HERE / "bases").glob("*.py"))}


def written() -> dict[str, Path]:
    """Clean programs that stand alone, by name."""
    return {path.stem: path for path in sorted((HERE / "clean").glob("*.py"))}


def edited(base: str, edits: Edits) -> str:
    """Return the text of a base with edits made; ValueError where one does not fit."""
    original = text = bases()[base].read_text()
    for old, new in edits:
        if original.count(old) != 1 or text.count(old) != 1:
            raise ValueError(f"{original.count(old)} times in {base}.py, not once: {old!r}")
        if old == new:
            raise ValueError(f"an edit of {base}.py changes nothing: {old!r}")
        text = text.replace(old, new)
    return text


def faulty() -> list[Program]:
    """Every program with a fault."""
    from tests.planted.faults import FAULTS

    return [Program(fault.name, edited(fault.base, fault.edits), fault) for fault in FAULTS]


def clean() -> list[Program]:
    """Every clean program: the bases, edits of them that are no mistake, and those written alone."""
    from tests.planted.variants import VARIANTS

    files = {**bases(), **written()}
    found = [Program(name, path.read_text()) for name, path in files.items()]
    found += [Program(v.name, edited(v.base, v.edits)) for v in VARIANTS]
    return found
