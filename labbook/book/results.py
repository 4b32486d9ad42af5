"""Evaluation results: what their footers say, their rows on demand, and the reasons for none."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from labbook.book.facts import Key, as_int, as_text, entries, read_object
from labbook.book.points import open_parquet, read_parquet
from labbook.errors import DamagedFile
from labbook.paths import FORMAT, RunPaths

__all__ = ["Result", "Results", "read_reasons"]


@dataclass(frozen=True)
class Result:
    """One evaluation of one checkpoint."""

    evaluation: str
    key: str
    step: int | None
    checkpoint: dict[str, Any]
    metrics: dict[str, float]
    """Means over the rows, as the worker computed them."""
    stderr: dict[str, float]
    n_examples: int | None
    n_expected: int | None
    subset: str
    """"full" or "mini"."""
    coverage: str
    """"complete"; "unverified" where nobody says how many examples there are; "metrics" where there
    are no rows."""
    meta: dict[str, Any] = field(repr=False)
    path: Path
    run_root: Path = field(repr=False)

    def rows(self, columns: list[str] | None = None) -> pa.Table:
        """One row an example, of some columns or all; raises `DamagedFile`.

        Columns that it does not have are left out.
        """
        return read_parquet(self.run_root, self.path, columns)

    @property
    def order(self) -> tuple[str, bool, int, int, str]:
        """By evaluation and step, those without a step last."""
        ended = as_int(self.meta.get("ended_ns")) or 0
        return self.evaluation, self.step is None, self.step or 0, ended, self.key


class Results:
    """The results of a run; each footer is read once."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.damage: dict[Path, str] = {}
        self._found: dict[Path, tuple[Key, Result]] = {}

    def refresh(self) -> bool:
        """Look for new results; True when any came or went."""
        before = {path: key for path, (key, _) in self._found.items()}
        damaged = dict(self.damage)
        found: dict[Path, tuple[Key, Result]] = {}
        self.damage = {}
        for evaluation in entries(self.paths.evaluations):
            for entry in entries(evaluation.path):
                if entry.name.endswith(".parquet") and not entry.name.startswith("."):
                    self._look(evaluation.name, Path(entry.path), found)
        self._found = found
        return damaged != self.damage or before != {path: k for path, (k, _) in found.items()}

    def all(self) -> list[Result]:
        """By evaluation and step."""
        return sorted((result for _, result in self._found.values()), key=lambda r: r.order)

    def _look(self, evaluation: str, path: Path, found: dict[Path, tuple[Key, Result]]) -> None:
        try:
            info = path.lstat()
            key = (info.st_mtime_ns, info.st_size, info.st_ino)
            known = self._found.get(path)
            if known is None or known[0] != key:
                known = (key, self._read(evaluation, path))
            found[path] = known
        except FileNotFoundError:
            return  # removed since the listing
        except DamagedFile as error:
            self.damage[path] = str(error)

    def _read(self, evaluation: str, path: Path) -> Result:
        with open_parquet(self.paths.root, path) as file:
            raw = (file.metadata.metadata or {}).get(b"labbook")
        try:
            meta = json.loads(raw or b"")
            if not isinstance(meta, dict) or as_int(meta.get("format")) is None:
                raise ValueError("no JSON object with a format")
            if meta["format"] > FORMAT:
                raise ValueError(f"format {meta['format']} is not known to this labbook")
        except (ValueError, RecursionError) as error:
            raise DamagedFile(f"{path} is not a result: {error}") from error
        checkpoint = meta.get("checkpoint")
        checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
        return Result(
            evaluation,
            path.stem,
            as_int(checkpoint.get("step")),
            checkpoint,
            _numbers(meta.get("metrics")),
            _numbers(meta.get("stderr")),
            as_int(meta.get("n_examples")),
            as_int(meta.get("n_expected")),
            as_text(meta.get("subset")) or "full",
            as_text(meta.get("coverage")) or "unverified",
            meta,
            path,
            self.paths.root,
        )


def _numbers(value: object) -> dict[str, float]:
    """Numbers of an object; null is NaN, as the mean of no finite row is."""
    if not isinstance(value, dict):
        return {}
    found: dict[str, float] = {}
    for name, number in value.items():
        if number is None:
            found[name] = math.nan
        elif isinstance(number, int | float):
            found[name] = float(number)
    return found


def read_reasons(paths: RunPaths) -> tuple[list[dict[str, Any]], list[str]]:
    """Return why checkpoints have no result, oldest first, and what could not be read."""
    found: list[dict[str, Any]] = []
    damage: list[str] = []
    for entry in entries(paths.reasons):
        if entry.name.endswith(".json") and not entry.name.startswith("."):
            try:
                found.append(read_object(entry.path) | {"key": entry.name.removesuffix(".json")})
            except FileNotFoundError:
                continue  # settled since the listing
            except DamagedFile as error:
                damage.append(str(error))
    return sorted(found, key=lambda reason: as_int(reason.get("time_ns")) or 0), damage
