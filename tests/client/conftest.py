import json
import os
import subprocess
import sys
import textwrap

import pytest

from labbook.client import current
from labbook.journal.reader import Array, SegmentReader
from labbook.journal.writer import JournalWriter
from labbook.paths import BookPaths


class Script:
    """A training script in a folder of its own, run as a real process."""

    def __init__(self, folder):
        self.folder = folder
        self.book = BookPaths(folder / ".labbook")

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LABBOOK_")}
        return {**kept, "LABBOOK_DIR": str(self.book.root), **more}

    def write(self, code, name="train.py"):
        (self.folder / name).write_text(textwrap.dedent(code))
        return self.folder / name

    def run(self, code, *args, name="train.py", **environment):
        path = self.write(code, name)
        return subprocess.run(
            [sys.executable, str(path), *args],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def popen(self, code, *args, name="train.py", **environment):
        path = self.write(code, name)
        return subprocess.Popen(
            [sys.executable, str(path), *args],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def runs(self):
        return [self.book.run(run_id) for run_id in self.book.run_ids()]

    def only(self):
        (run,) = self.runs()
        return run


def conditions_of(paths, attempt=1, rank=0):
    (file,) = [
        f
        for f in (paths.attempts / str(attempt)).glob(f"r{rank}-*.json")
        if not f.name.endswith(".end.json")
    ]
    return json.loads(file.read_text())


def end_of(paths, attempt=1, rank=0):
    (file,) = (paths.attempts / str(attempt)).glob(f"r{rank}-*.end.json")
    return json.loads(file.read_text())


def journal_rows(paths, table="series"):
    """Rows still in the journal, in the order of the calls."""
    rows = []
    for _, _, path in sorted(paths.segments(), key=lambda found: found[:2]):
        rows += [r for r in SegmentReader(path).records() if getattr(r, "table", None) == table]
    return rows


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """`labbook.start` in this process, into a book of its own; every run is finished after."""
    from labbook.client.sealing import Sealer
    from labbook.client.start import start as real

    # what is asked of the journal here is asked of the journal, not of what sealing made of it
    monkeypatch.setattr(Sealer, "finish", lambda self, timeout_s: True)
    made = []

    def begin(args=None, **options):
        options.setdefault("gauges", False)
        options.setdefault("output", False)
        options.setdefault("book", tmp_path / "book")
        run = real(args if args is not None else {}, **options)
        made.append(run)
        return run

    yield begin
    for run in made:
        run.finish()
    monkeypatch.setattr(current, "_current", None)


class Journal:
    """A real journal of its own, and what it holds."""

    def __init__(self, root):
        self.paths = BookPaths(root / "book").run("20260101-000000-abcdef")
        self.paths.journal.mkdir(parents=True)
        self.said = []
        self.writer = JournalWriter(self.paths, "r0-aaaaaa", warn=self.said.append)

    def records(self, kind):
        """Records of one kind (`Row`, `Event`, `Array`), in the order of the calls."""
        found = []
        for _, _, path in sorted(self.paths.segments(), key=lambda segment: segment[1]):
            found += [r for r in SegmentReader(path).records() if type(r) is kind]
        return found

    def columns(self, table, chosen_set="chosen"):
        """(step, {column: numpy array}) of each array record of a table, in order."""
        return [
            (record.step, unpacked(record))
            for record in self.records(Array)
            if record.header["table"] == table and record.header["set"] == chosen_set
        ]

    def header(self, table="examples", chosen_set="chosen"):
        (found,) = [
            record.header
            for record in self.records(Array)
            if record.header["table"] == table and record.header["set"] == chosen_set
        ]
        return found


def unpacked(record):
    import numpy as np

    columns, at = {}, 0
    for column in record.header["columns"]:
        lengths = None
        if "rows" in column:
            lengths = np.frombuffer(record.payload, "<u4", column["rows"], at)
            at += lengths.nbytes
        count = int(np.prod(column["shape"], dtype=int))
        kind = "|u1" if column["dtype"] == "bytes" else column["dtype"]
        values = np.frombuffer(record.payload, kind, count, at).reshape(column["shape"])
        at += values.nbytes
        if lengths is not None:
            values = np.split(values, np.cumsum(lengths)[:-1])
            if column["dtype"] == "bytes":
                values = [row.tobytes() for row in values]
        columns[column["name"]] = values
    assert at == len(record.payload)
    return columns


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path)
    yield made
    made.writer.close()
