"""Damaged journals: does the reader ever raise, or return a record that was never written?

One journal of every kind of record is damaged at random: bits flipped, bytes overwritten or put in,
the tail cut, a page of zeros. What is read must be a prefix of what was written, and at least the
records before the first damaged byte.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from labbook.journal.reader import SegmentReader
from labbook.journal.writer import JournalWriter
from labbook.paths import RunPaths
from tests.benchmarks.report import Figure


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    good, written = _journal(RunPaths(folder / "run"))
    rng, journals = random.Random(0), 300 if quick else 10_000
    faults = invented = short = 0
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else folder) as place:
        path = Path(place) / "r0-aaaaaa-1.lbj"
        for _ in range(journals):
            bad, first = _damage(good, rng)
            path.write_bytes(bad)
            try:
                read = [_plain(record) for record in SegmentReader(path).records()]
            except Exception:  # counting them is the point
                faults += 1
                continue
            invented += read != written[: len(read)]
            short += len(read) < _whole(folder / "run", good[:first])
    return [
        Figure("damaged journals read", journals, ""),
        Figure("reader raised", faults, "", goal="0", met=faults == 0),
        Figure("records that were never written", invented, "", goal="0", met=invented == 0),
        Figure("records before the damage missed", short, "", goal="0", met=short == 0),
    ]


def _journal(paths: RunPaths) -> tuple[bytes, list[str]]:
    paths.journal.mkdir(parents=True)
    writer = JournalWriter(paths, "r0-aaaaaa")
    for step in range(60):
        writer.row("series", ("loss", "lr"), (0.5 * step, None), step)
        if step % 5 == 0:
            writer.row("gauges", ("cpu",), (float(step),), None)
            writer.event("note", f"step {step} – é", step, value=step)
        if step % 20 == 0:
            columns = [{"name": "loss", "dtype": "<f4", "shape": []}]
            writer.array({"table": "chosen", "set": "c", "columns": columns}, [bytes(16)], step)
    writer.close()
    path = paths.segment("r0-aaaaaa", 1)
    return path.read_bytes(), [_plain(record) for record in SegmentReader(path).records()]


def _plain(record: Any) -> str:
    """All of a record; a memoryview's own text is its address."""
    return repr([bytes(f) if isinstance(f, memoryview) else f for f in record])


def _damage(good: bytes, rng: random.Random) -> tuple[bytes, int]:
    """Return damaged bytes, and where the damage begins."""
    bad, at = bytearray(good), rng.randrange(len(good))
    kind = rng.randrange(5)
    if kind == 0:
        bad[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        bad[at : at + 16] = rng.randbytes(len(bad[at : at + 16]))
    elif kind == 2:
        bad[at:at] = rng.randbytes(rng.randrange(1, 64))
    elif kind == 3:
        del bad[at:]
    else:
        bad[at : at + 4096] = bytes(len(bad[at : at + 4096]))
    return bytes(bad), at


_counts: dict[int, int] = {}


def _whole(folder: Path, prefix: bytes) -> int:
    """How many records lie whole in a prefix of the journal."""
    if len(prefix) not in _counts:
        path = folder / "prefix.lbj"
        path.write_bytes(prefix)
        _counts[len(prefix)] = len(list(SegmentReader(path).records()))
    return _counts[len(prefix)]
