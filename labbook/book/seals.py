"""Seal manifests: which parts count, and which segments they cover.

A seal counts from the moment its manifest is there. Readers take the parts that manifests in force
name and nothing else; a manifest is in force unless another one replaces it. Standard library only
(the summaries in it aside).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labbook.book.facts import as_int, entries, read_object
from labbook.book.stats import SeriesStat
from labbook.errors import DamagedFile, MisuseError
from labbook.paths import FORMAT, TABLES, RunPaths, Span

__all__ = ["EXAMPLES", "Manifest", "Part", "Seals", "read_manifest"]

EXAMPLES = "examples/"
"""A part of table `examples/<set>` is a chosen set's inputs; `chosen/<set>` its observations."""


@dataclass(frozen=True)
class Part:
    """One Parquet file of a seal."""

    table: str
    path: Path
    rows: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What one seal committed."""

    span: Span
    path: Path
    parts: tuple[Part, ...]
    replaces: frozenset[Span]
    series: dict[str, SeriesStat]
    """Statistics of each series in the parts."""
    damaged: dict[int, str] = field(default_factory=dict)
    """Segments kept on disk because not all of them could be read, and why."""

    def covers(self, writer: str, number: int) -> bool:
        """Whether the rows of this segment are in the parts."""
        span = self.span
        return span.writer == writer and span.first <= number <= span.last


def read_manifest(paths: RunPaths, path: Path) -> Manifest:
    """Read one manifest.

    Raises `DamagedFile` naming the file, and `FileNotFoundError` when a newer seal replaced it.
    """
    value = read_object(path)
    span = Span.parse(path.stem)
    try:
        if span is None or value.get("span") != str(span):
            raise ValueError("its span is not its name")
        if as_int(value.get("format")) is None or value["format"] > FORMAT:
            raise ValueError(f"format {value.get('format')!r} is not known to this labbook")
        return Manifest(
            span,
            path,
            tuple(_part(paths, span, part) for part in value.get("parts", ())),
            frozenset(filter(None, map(Span.parse, value.get("replaces", ())))),
            {str(k): SeriesStat.from_json(v) for k, v in value.get("series", {}).items()},
            {int(k): str(v) for k, v in value.get("damaged", {}).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, MisuseError) as error:
        raise DamagedFile(f"{path} is not a seal: {error}") from error


def part_path(paths: RunPaths, table: str, span: Span) -> Path:
    """Where the part of a table lies; `MisuseError` when the table is not one."""
    if table in TABLES:
        return paths.part(table, span)
    folder, _, chosen_set = table.partition("/")
    if folder == "chosen":
        return paths.chosen_part(chosen_set, span)
    if folder == "examples":
        return paths.examples(chosen_set)
    raise MisuseError(f"there is no table {table!r}")


def _part(paths: RunPaths, span: Span, value: dict[str, Any]) -> Part:
    # the path is derived, never taken: a hostile manifest cannot point out of the run
    path = part_path(paths, str(value["table"]), span)
    if value["path"] != os.path.relpath(path, paths.root):
        raise ValueError(f"part {value['path']!r} is not where it belongs")
    rows, n_bytes = as_int(value["rows"]), as_int(value["bytes"])
    if rows is None or n_bytes is None:
        raise ValueError("rows and bytes are not numbers")
    return Part(value["table"], path, rows, n_bytes, str(value["sha256"]))


class Seals:
    """The manifests of a run, read once each."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.all: dict[str, Manifest] = {}

    def refresh(self) -> bool:
        """Read new manifests, forget removed ones; True when any came or went.

        Raises `DamagedFile`.
        """
        while True:
            names = {e.name for e in entries(self.paths.seals) if _is_manifest(e.name)}
            try:
                new = {
                    name: read_manifest(self.paths, self.paths.seals / name)
                    for name in names - self.all.keys()
                }
            except FileNotFoundError:
                continue  # replaced between the listing and the reading
            kept = {name: m for name, m in self.all.items() if name in names}
            changed = bool(new) or len(kept) != len(self.all)
            self.all = {**kept, **new}
            return changed

    def in_force(self) -> list[Manifest]:
        """Manifests that no other one replaces, by writer and first segment."""
        replaced = {span for m in self.all.values() for span in m.replaces}
        return sorted(
            (m for m in self.all.values() if m.span not in replaced), key=lambda m: m.span
        )

    def covers(self, writer: str, number: int) -> bool:
        """Whether a segment's rows are in sealed parts."""
        return any(m.covers(writer, number) for m in self.all.values())


def _is_manifest(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")
