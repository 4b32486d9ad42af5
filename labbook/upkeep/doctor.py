"""`labbook doctor`: verify a whole book, say what is wrong, and repair only what was named.

What it looks for, run by run: parts whose checksum is not the one their seal names, Parquet pages
that do not verify, segments that cannot be read to the end, files no seal names, segments a seal
covers already, half-written temporary files, results and JSON that cannot be read, old leases.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from labbook.book import checkpoints
from labbook.book.facts import Facts
from labbook.book.runreader import RunReader
from labbook.book.seals import Manifest, Seals
from labbook.errors import DamagedFile
from labbook.journal.reader import SegmentReader
from labbook.paths import TABLES, BookPaths, RunPaths

__all__ = ["Finding", "Report", "examine", "repair"]

OLD_S: Final = 86_400
"""A temporary file or lease younger than a day may belong to somebody at work."""

Repair = Literal["delete", "seal", "none"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what `--repair` would do about it."""

    run_id: str | None
    path: Path
    what: str
    repair: Repair = "none"


@dataclass
class Report:
    """What an examination found."""

    findings: list[Finding] = field(default_factory=list)
    n_runs: int = 0
    n_files: int = 0
    bytes_by_run: dict[str, int] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def examine(book: BookPaths) -> Iterator[tuple[str, Report]]:
    """Examine run by run; yields (run id, the report so far), last the whole one."""
    report = Report()
    for run_id in book.run_ids():
        paths = book.run(run_id)
        report.n_runs += 1
        report.findings += _examine_run(paths)
        n_files, n_bytes = _size(paths.root)
        report.n_files += n_files
        report.bytes_by_run[run_id] = n_bytes
        yield run_id, report
    report.findings += _leftovers(None, book.root, deep=False)
    if book.catalog.exists():
        problem = _unreadable_parquet(book.catalog)
        if problem:
            report.findings.append(
                Finding(None, book.catalog, f"{problem}; it is derived", "delete")
            )
    yield "", report


def repair(book: BookPaths, findings: list[Finding]) -> list[tuple[Finding, str]]:
    """Do what the findings name; returns what was done, or why not, for each that has a repair."""
    done = []
    sealed: set[str] = set()
    for finding in findings:
        if finding.repair == "delete":
            done.append((finding, _delete(book, finding)))
        elif finding.repair == "seal" and finding.run_id and finding.run_id not in sealed:
            sealed.add(finding.run_id)
            done.append((finding, _seal(book.run(finding.run_id))))
    return done


def _delete(book: BookPaths, finding: Finding) -> str:
    if not finding.path.is_relative_to(book.root) or ".." in finding.path.parts:
        return "not inside the book: left alone"
    try:
        finding.path.unlink()
    except OSError as error:
        return f"cannot delete it: {error.strerror}"
    return "deleted"


def _seal(paths: RunPaths) -> str:
    from labbook.book.seal import seal_dead

    outcome = seal_dead(paths)
    return (
        "; ".join(
            f"{writer}: {spans}" if isinstance(spans, str) else f"{writer}: sealed"
            for writer, spans in outcome.items()
        )
        or "nothing to seal"
    )


def _examine_checkpoints(paths: RunPaths, facts: Facts) -> Iterator[Finding]:
    """What labbook saved, against the size and the digest of its sidecar."""
    found, _ = checkpoints.find(paths, facts, None)
    for checkpoint in found:
        if checkpoint.external or not checkpoint.path.is_file():
            continue  # others' files are theirs to change, and checkpoints may be removed
        size = checkpoint.path.stat().st_size
        if checkpoint.size is not None and size != checkpoint.size:
            why = f"has {size} bytes, and {checkpoint.size} when it was saved"
            yield Finding(paths.id, checkpoint.path, why)
        elif checkpoint.digest is not None and checkpoint.digest.startswith("sha256:"):
            with open(checkpoint.path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != checkpoint.digest.removeprefix("sha256:"):
                yield Finding(paths.id, checkpoint.path, "is not what was saved: another digest")


def _examine_run(paths: RunPaths) -> Iterator[Finding]:
    run_id = paths.id
    facts = Facts(paths)
    try:
        facts.refresh()
    except FileNotFoundError:
        yield Finding(run_id, paths.run_json, "is missing: the run was never started completely")
    for path, why in facts.damage.items():
        yield Finding(run_id, Path(path), why)
    seals = Seals(paths)
    try:
        seals.refresh()
    except DamagedFile as error:
        yield Finding(run_id, paths.seals, str(error))
        return
    for manifest in seals.in_force():
        yield from _examine_parts(run_id, manifest)
    yield from _examine_segments(paths, seals)
    yield from _orphans(paths, seals)
    yield from _examine_results(paths)
    yield from _examine_checkpoints(paths, facts)
    yield from _leftovers(run_id, paths.root, deep=True)


def _examine_parts(run_id: str, manifest: Manifest) -> Iterator[Finding]:
    for part in manifest.parts:
        try:
            digest = hashlib.sha256(part.path.read_bytes()).hexdigest()
        except OSError as error:
            yield Finding(
                run_id, part.path, f"is named by {manifest.path.name}, but {error.strerror}"
            )
            continue
        if digest != part.sha256.removeprefix("sha256:"):
            yield Finding(run_id, part.path, "its checksum is not the one its seal names")
        problem = _unreadable_parquet(part.path)
        if problem:
            yield Finding(run_id, part.path, problem)
    for number, why in manifest.damaged.items():
        yield Finding(run_id, manifest.path, f"segment {number} was sealed only in part: {why}")


def _examine_segments(paths: RunPaths, seals: Seals) -> Iterator[Finding]:
    kept = {(m.span.writer, number) for m in seals.all.values() for number in m.damaged}
    for writer, number, path in sorted(paths.segments()):
        if seals.covers(writer, number):
            if (writer, number) not in kept:
                yield Finding(paths.id, path, "its rows are sealed already", "delete")
            continue
        reader = SegmentReader(path)
        try:
            reader.poll()
        except OSError as error:
            yield Finding(paths.id, path, f"cannot be read: {error.strerror}")
            continue
        if reader.damage:
            yield Finding(paths.id, path, f"{reader.damage}; what is before it reads", "none")
        elif _is_dead(paths):
            torn = f", {reader.torn_bytes} torn bytes at its end" if reader.torn_bytes else ""
            yield Finding(paths.id, path, f"is not sealed though the run is over{torn}", "seal")


def _is_dead(paths: RunPaths) -> bool:
    try:
        return RunReader(paths).state.name not in {"running", "unknown"}
    except (OSError, DamagedFile):
        return False


def _orphans(paths: RunPaths, seals: Seals) -> Iterator[Finding]:
    named = {part.path for manifest in seals.all.values() for part in manifest.parts}
    folders = [paths.root / table for table in TABLES]
    folders += [entry for entry in _children(paths.chosen) if entry.is_dir()]
    for folder in folders:
        for path in _children(folder):
            if path.suffix == ".parquet" and path not in named and _is_old(path):
                yield Finding(
                    paths.id, path, "no seal names it: a seal that was broken off", "delete"
                )


def _examine_results(paths: RunPaths) -> Iterator[Finding]:
    for folder in _children(paths.evaluations):
        for path in _children(folder):
            if path.suffix != ".parquet":
                continue
            problem = _unreadable_parquet(path)
            if problem:
                yield Finding(paths.id, path, problem)
            elif b"labbook" not in (pq.read_schema(path).metadata or {}):
                yield Finding(paths.id, path, "has no labbook metadata: it is no result")


def _leftovers(run_id: str | None, root: Path, *, deep: bool) -> Iterator[Finding]:
    walk = os.walk(root) if deep else [(os.fspath(root), [], [p.name for p in _children(root)])]
    for folder, _, names in walk:
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") and name.endswith(".tmp") and _is_old(path):
                yield Finding(run_id, path, "was left half-written", "delete")


def _unreadable_parquet(path: Path) -> str | None:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=False) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group)
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {str(error).splitlines()[0]}"
    return None


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat(follow_symlinks=False).st_mtime > OLD_S
    except OSError:
        return False


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(root: Path) -> tuple[int, int]:
    n_files = n_bytes = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                n_bytes += os.lstat(os.path.join(folder, name)).st_size
                n_files += 1
            except OSError:
                pass  # removed while we count: a live run
    return n_files, n_bytes
