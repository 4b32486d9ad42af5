"""The recorded command line, made to run in another folder.

Paths below the run's own folder lead to the copy of it, secrets that were masked are put back by
whoever runs it, everything else stays as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labbook.conditions.secrets import MASK
from labbook.errors import MisuseError, SnapshotError
from labbook.restore.recorded import Recorded

__all__ = ["Command", "Mapped", "map_path", "rebuild"]

_WITH_VALUE = "WX"
_PROGRAM = "cm"


@dataclass(frozen=True)
class Mapped:
    """A word of the command line that was replaced, for telling; a secret is never told."""

    before: str
    after: str


@dataclass(frozen=True)
class Command:
    """What will be run: words, the folder to run in, and the words that were mapped.

    `script` is the program's file, null for `-m` and `-c`.
    """

    words: tuple[str, ...]
    folder: Path
    script: Path | None
    mapped: tuple[Mapped, ...]
    secrets: frozenset[int] = frozenset()

    def shown(self) -> tuple[str, ...]:
        """The words without the secrets that were put back."""
        return tuple(MASK if i in self.secrets else w for i, w in enumerate(self.words))


def rebuild(
    recorded: Recorded, copy: Path, python: str, given: Mapping[str, str] | None = None
) -> Command:
    """Return the command of a run with its folder's place taken by `copy`.

    `given` are the secrets that were masked, by name. Raises `MisuseError` when one is missing,
    `SnapshotError` when there is nothing to run or no folder to run it in.
    """
    words = list(recorded.command)
    at, is_file = _program(recorded)
    secrets = _fill(words, dict(given or {}))
    top, start = recorded.top, recorded.start
    if top is None or start is None:
        raise SnapshotError(
            f"where run {recorded.run_id} ran cannot be told: script {recorded.script!r}, working "
            f"directory {recorded.cwd!r}. Restore it and run it by hand"
        )
    inside = map_path(start, top, copy)
    mapped = []
    for i in range(at, len(words)):
        if i in secrets:
            continue
        after = _map_word(words[i], top, start, copy, is_program=is_file and i == at)
        if after != words[i]:
            mapped.append(Mapped(words[i], after))
            words[i] = after
    folder = inside or start
    words[0] = python
    script = folder / words[at] if is_file else None
    return Command(tuple(words), folder, script, tuple(mapped), frozenset(secrets))


def map_path(path: str | os.PathLike[str], top: Path, copy: Path) -> Path | None:
    """The place in `copy` of a path below `top`, by name or with links resolved; else null."""
    for form in (os.path.normpath(path), os.path.realpath(path)):
        if form == str(top):
            return copy
        if form.startswith(f"{top}/"):
            return copy / form[len(str(top)) + 1 :]
    return None


def _program(recorded: Recorded) -> tuple[int, bool]:
    """The index of the program (script, module or code), and whether it is a file."""
    words = recorded.command
    run_id = recorded.run_id
    if recorded.snapshot.cells is not None or any("ipykernel" in word for word in words):
        raise SnapshotError(
            f"run {run_id} was recorded in a notebook: restore it, and run labbook.cells.py"
        )
    if any("multiprocessing." in word and "import" in word for word in words):
        raise SnapshotError(
            f"run {run_id} was recorded in a process that another program started: restore it, "
            "and start that program"
        )
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        letters = "" if words[at].startswith("--") else words[at][1:]
        skip = words[at] == "--check-hash-based-pycs"
        for i, letter in enumerate(letters):
            is_last = i == len(letters) - 1
            if letter in _PROGRAM:
                return (at + 1 if is_last else at), False
            if letter in _WITH_VALUE:
                skip = is_last
                break
        at += 2 if skip else 1
    if at >= len(words) or words[at] == "-":
        raise SnapshotError(
            f"run {run_id} has no program in its command line ({' '.join(words) or 'empty'}): it "
            "was typed in or piped in, and cannot be run again"
        )
    return at, True


def _fill(words: list[str], given: dict[str, str]) -> set[int]:
    """Put the secrets back, in place; returns where they are."""
    named = {_plain(name): value for name, value in given.items()}
    places: set[int] = set()
    unknown = []
    for i, name in _masked(words):
        value = named.pop(_plain(name), None)
        if value is None:
            unknown.append(name)
            continue
        head, equals, _ = words[i].partition("=")
        words[i] = f"{head}={value}" if equals and MASK not in head else value
        places.add(i)
    if unknown:
        some = unknown[0]
        raise MisuseError(
            f"the secret argument{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} "
            f"{'were' if len(unknown) > 1 else 'was'} not recorded: give --set {some}=VALUE, or "
            f"--set {some} to take it from the environment variable {some}"
        )
    if named:
        raise MisuseError(f"no masked argument is called {', '.join(sorted(named))}")
    return places


def _masked(words: list[str]) -> Iterator[tuple[int, str]]:
    """The words with a mask in them, each with the name it goes by."""
    for i, word in enumerate(words):
        if i == 0 or MASK not in word:
            continue
        head, equals, value = word.partition("=")
        if equals and MASK in value and MASK not in head:
            yield i, head.lstrip("-")
        elif words[i - 1].startswith("-") and "=" not in words[i - 1]:
            yield i, words[i - 1].lstrip("-")
        else:
            yield i, f"argument{i}"


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").lower()


def _map_word(word: str, top: Path, start: Path, copy: Path, *, is_program: bool) -> str:
    """Map a path, or the path in `--name=path`; relative ones only where they lead elsewhere."""
    head, equals, value = word.partition("=")
    if not is_program and equals and head.startswith("-"):
        return f"{head}={_map_value(value, top, start, copy)}"
    return _map_value(word, top, start, copy, is_program=is_program)


def _map_value(value: str, top: Path, start: Path, copy: Path, *, is_program: bool = False) -> str:
    if os.path.isabs(value):
        return str(map_path(value, top, copy) or value)
    is_path = is_program or value == ".." or value.startswith("../")
    if not is_path or "\0" in value:
        return value
    full = os.path.normpath(start / value)
    now = map_path(full, top, copy)
    if now is None:
        return full  # from the copy, it would lead somewhere else
    return value if map_path(start, top, copy) is not None else str(now)
