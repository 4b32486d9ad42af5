"""The one place that knows file names: where everything of a book and of a run lies.

Invariant: no path built here leaves the book. Names that come from users or from files (run ids,
set names, evaluation names) pass `component()` first. Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labbook.errors import BookNotFound, DamagedFile, MisuseError

__all__ = [
    "FORMAT",
    "TABLES",
    "BookPaths",
    "RunPaths",
    "Span",
    "component",
    "default_book",
    "open_book",
]

FORMAT = 1
"""Version of the on-disk layout, in `book.json`."""

TABLES = ("series", "gauges", "events", "model")
"""The tables every writer seals into one folder each; chosen sets have a folder a set."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_SPAN = re.compile(r"(?P<writer>.+)-(?P<first>[0-9]{1,9})-(?P<last>[0-9]{1,9})")
_SEGMENT = re.compile(r"(?P<writer>.+)-(?P<number>[0-9]{1,9})\.lbj")


def component(name: str, what: str = "name") -> str:
    """Return `name` when it is safe as one file name, else raise `MisuseError`."""
    if not name or name in {".", ".."} or name.startswith(".") or _UNSAFE.search(name):
        raise MisuseError(
            f"{what} {name!r} cannot be a file name: it must not be empty, begin with a dot, or "
            "hold '/', '\\' or control characters"
        )
    if len(name.encode()) > 200:
        raise MisuseError(f"{what} {name[:40]!r}… is longer than 200 bytes")
    return name


@dataclass(frozen=True, order=True)
class Span:
    """Segments `first` to `last` (inclusive) of one writer: what one seal covers."""

    writer: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.writer}-{self.first}-{self.last}"

    @classmethod
    def parse(cls, stem: str) -> Span | None:
        """Read a span back from a file name without its suffix; None when it is not one."""
        match = _SPAN.fullmatch(stem)
        if match is None:
            return None
        return cls(match["writer"], int(match["first"]), int(match["last"]))


@dataclass(frozen=True)
class RunPaths:
    """Every file of one run."""

    root: Path

    @property
    def id(self) -> str:
        """The run's id: the name of its folder."""
        return self.root.name

    @property
    def run_json(self) -> Path:
        """Identity: id, name, group, tags, parent."""
        return self.root / "run.json"

    @property
    def attempts(self) -> Path:
        """One folder an attempt."""
        return self.root / "attempts"

    def conditions(self, attempt: int, writer: str) -> Path:
        """Conditions of one process."""
        return self.attempts / str(attempt) / f"{component(writer, 'writer')}.json"

    def end(self, attempt: int, writer: str) -> Path:
        """How that process ended; absent while it runs, or when it was killed."""
        return self.attempts / str(attempt) / f"{component(writer, 'writer')}.end.json"

    def term(self, attempt: int, writer: str) -> Path:
        """Traceback written at C level on SIGTERM; empty until then."""
        return self.attempts / str(attempt) / f"{component(writer, 'writer')}.term"

    def exit_status(self, attempt: int, writer: str) -> Path:
        """One byte: the exit status, written at C level; empty until the process exits."""
        return self.attempts / str(attempt) / f"{component(writer, 'writer')}.exit"

    @property
    def meta(self) -> Path:
        """Facts known later, one small file a fact and a writer."""
        return self.root / "meta"

    @property
    def journal(self) -> Path:
        """Live records. Never place an inotify watch here: logging would be ten times slower."""
        return self.root / "journal"

    def segment(self, writer: str, number: int) -> Path:
        """One segment of a writer's journal."""
        return self.journal / f"{component(writer, 'writer')}-{number}.lbj"

    def lock(self, writer: str) -> Path:
        """Held (`fcntl.lockf`) by the writing process for as long as it lives."""
        return self.journal / f"{component(writer, 'writer')}.lock"

    def segments(self) -> Iterator[tuple[str, int, Path]]:
        """Journal segments on disk as (writer, number, path), in no order."""
        for entry in _entries(self.journal):
            match = _SEGMENT.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                yield match["writer"], int(match["number"]), Path(entry.path)

    @property
    def seals(self) -> Path:
        """One file commits one seal."""
        return self.root / "seals"

    def seal(self, span: Span) -> Path:
        """The manifest that commits the sealing of a span."""
        return self.seals / f"{span}.json"

    def sealer_lock(self, writer: str) -> Path:
        """Held by whoever seals this writer's segments; not the writer's own lock."""
        return self.seals / f"{component(writer, 'writer')}.lock"

    def part(self, table: str, span: Span) -> Path:
        """A sealed Parquet file of one of `TABLES`."""
        return self.root / table / f"{span}.parquet"

    @property
    def chosen(self) -> Path:
        """One folder a chosen set."""
        return self.root / "chosen"

    def examples(self, chosen_set: str) -> Path:
        """Ids, inputs and targets of a chosen set, once."""
        return self.chosen / component(chosen_set, "chosen set") / "examples.parquet"

    def chosen_part(self, chosen_set: str, span: Span) -> Path:
        """A sealed part of a chosen set's observations."""
        return self.chosen / component(chosen_set, "chosen set") / f"{span}.parquet"

    @property
    def given_folder(self) -> Path:
        """What models were given: one data card a model and a process."""
        return self.root / "given"

    def given(self, writer: str, model: str) -> Path:
        """The data card of one model in one process."""
        return self.given_folder / f"{component(writer, 'writer')}-{component(model, 'model')}.json"

    @property
    def checkpoints(self) -> Path:
        """What `run.save()` wrote, and the sidecars of all checkpoints."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Results, and nothing else."""
        return self.root / "evaluations"

    def result(self, evaluation: str, key: str) -> Path:
        """One result: one row an example."""
        return (
            self.evaluations
            / component(evaluation, "evaluation")
            / f"{component(key, 'key')}.parquet"
        )

    def has_result(self, key: str) -> bool:
        """Whether any evaluation has a result of this key."""
        return any(self.evaluations.glob(f"*/{component(key, 'key')}.parquet"))

    @property
    def watch(self) -> Path:
        """The watcher's own: leases, pins, reasons."""
        return self.root / "watch"

    @property
    def leases(self) -> Path:
        """Claims, one file a generation."""
        return self.watch / "leases"

    @property
    def pins(self) -> Path:
        """Hard links or copies that keep a checkpoint while it is evaluated."""
        return self.watch / "pins"

    @property
    def reasons(self) -> Path:
        """Why a checkpoint has no result."""
        return self.watch / "reasons"

    @property
    def output_log(self) -> Path:
        """What the process wrote to stdout and stderr."""
        return self.root / "output.log"

    @property
    def notes(self) -> Path:
        """The user's notes on this run."""
        return self.root / "notes.md"


@dataclass(frozen=True)
class BookPaths:
    """Every file of a book that belongs to no single run."""

    root: Path

    @property
    def book_json(self) -> Path:
        """Format version of the book."""
        return self.root / "book.json"

    @property
    def code(self) -> Path:
        """Bare object store of the code snapshots of all runs."""
        return self.root / "code.git"

    @property
    def catalog(self) -> Path:
        """Derived: one row a run. Rebuilt when missing or stale."""
        return self.root / "catalog.parquet"

    @property
    def trash(self) -> Path:
        """Removed runs, until `labbook gc`."""
        return self.root / "trash"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.root / "runs"

    @property
    def watchers(self) -> Path:
        """What each watcher is doing now, one small file each."""
        return self.root / "watchers"

    def run(self, run_id: str) -> RunPaths:
        """Paths of one run."""
        return RunPaths(self.runs / component(run_id, "run id"))

    def run_ids(self) -> list[str]:
        """Ids of the runs on disk, newest first; links and foreign folders are not runs."""
        found = [
            entry.name
            for entry in _entries(self.runs)
            if _RUN_ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
        return sorted(found, reverse=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            return list(scan)
    except (FileNotFoundError, NotADirectoryError):
        return []


def default_book(start: str | os.PathLike[str] | None = None) -> Path:
    """Where the book is, whether or not it exists yet.

    `LABBOOK_DIR`, else `.labbook` at the top of the git working tree that holds `start` (default:
    the working directory), else `.labbook` in `start`.
    """
    from_environment = os.environ.get("LABBOOK_DIR")
    if from_environment:
        return Path(from_environment).expanduser().absolute()
    folder = Path(start or os.getcwd()).absolute()
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate / ".labbook"
    return folder / ".labbook"


def open_book(path: str | os.PathLike[str] | None = None) -> BookPaths:
    """Find an existing book for reading.

    Raises `BookNotFound` when there is none, `DamagedFile` when its format is newer than ours.
    """
    import json

    root = Path(path).expanduser().absolute() if path is not None else default_book()
    if root.name != ".labbook" and not (root / "book.json").exists():
        inner = root / ".labbook"
        if (inner / "book.json").exists():
            root = inner
    paths = BookPaths(root)
    try:
        version = json.loads(paths.book_json.read_text())["format"]
    except (FileNotFoundError, NotADirectoryError):
        raise BookNotFound(
            f"no book at {root}. A training script with labbook.start() makes one; "
            "name another with --book or LABBOOK_DIR"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{paths.book_json} cannot be read: {error}") from error
    if not isinstance(version, int) or version > FORMAT:
        raise DamagedFile(
            f"{paths.book_json} has format {version!r}, and this labbook reads up to {FORMAT}: "
            "upgrade labbook"
        )
    return paths
