"""Writing the journal: one `write(2)` a call, and never an error into the caller.

Invariants: one process writes a segment, through one descriptor; a record whose call returned is in
the file in full, or is counted in `faults`; what a failed write left behind is cut off again. A
forked child is detached: it records nothing and says so once.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import struct
import threading
import time
import weakref
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from labbook.journal import format as f
from labbook.paths import RunPaths

write, crc32, time_ns, pack_crc = os.write, zlib.crc32, time.time_ns, f.CRC.pack

__all__ = ["JournalWriter", "RowSchema"]

SEGMENT_BYTES: Final = 8 << 20
RETRY_NS: Final = 250_000_000
"""While no segment can be opened, calls in between are counted and cost nothing more."""

CLOCK_S: Final = 1.0
"""A clock that goes back by less in a second is being slewed, not set."""

_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class RowSchema:
    """Table and names of a row, with what it takes to pack one."""

    __slots__ = ("head", "is_mixed", "length", "names", "nameset", "pack", "segment", "table")

    def __init__(self, table: str, names: tuple[str, ...]) -> None:
        self.table = table
        self.names = names
        self.nameset = frozenset(names)
        packer = struct.Struct(f"<QQqq{len(names)}d")
        self.pack = packer.pack
        self.length = packer.size + f.CRC.size
        self.segment = 0  # the segment that defines it so far
        self.head = 0  # length, kind, flags and id as one word: packed in one go
        self.is_mixed = False  # for its callers: its values are not all plain floats


class JournalWriter:
    """Appends records to the segments of one writer.

    Thread-safe. `warn` is called with one line for the first fault of each kind.
    """

    def __init__(
        self,
        paths: RunPaths,
        writer: str,
        *,
        warn: Callable[[str], None] = lambda line: None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.paths = paths
        self.writer = writer
        self.faults: Counter[str] = Counter()
        self.number = 0
        """The open segment's number; 0 before the first."""
        self.opened_ns = 0
        # re-entrant: a signal handler of the user's may log while its thread is inside a call
        self.lock = threading.RLock()
        self.detached = False
        self.closed = False
        self._warn = warn
        self._limit = segment_bytes
        self._fd: int | None = None
        self._defines = -1  # the open segment's number; -1 while none is open
        self._size = 0
        self._seq = itertools.count(1)
        self._next_id = 1
        self._schemas: dict[tuple[str, tuple[str, ...]], RowSchema] = {}
        self._clock_ns = time_ns() - time.monotonic_ns()
        self._retry_ns = 0
        self._open()
        _writers.add(self)

    # ------------------------------------------------------------------ records

    def row(
        self, table: str, names: tuple[str, ...], values: Iterable[float | None], step: int | None
    ) -> None:
        """Write one row; None is null. For callers that are not in a hurry."""
        cells = tuple(f.NULL if value is None else float(value) for value in values)
        schema = self._schemas.get((table, names))
        if schema is None:
            schema = self._schemas[table, names] = RowSchema(table, names)
        with self.lock:
            self.append(schema, f.NO_STEP if step is None else step, cells)

    def append(self, schema: RowSchema, step: int, values: tuple[float, ...]) -> int:
        """Write one row of doubles and return its seq. The hot path: the caller holds `lock`."""
        seq = next(self._seq)
        if schema.segment != self._defines and not self._ready(schema):
            return seq
        # tuple + tuple goes straight through; `pack(a, b, *values)` would build a list first
        record = schema.pack(*(schema.head, seq, step, time_ns()) + values)  # noqa: RUF005
        try:
            written = write(self._fd, record + pack_crc(crc32(record)))  # type: ignore[arg-type]
        except OSError as error:
            self._failed(error)
            return seq
        if written != schema.length:
            self._short()
            return seq
        self._size += written
        if self._size >= self._limit:
            self._open()
        return seq

    def event(self, kind: str, text: str, step: int | None = None, **fields: Any) -> None:
        """Write an event."""
        body = {"kind": kind, "text": text, **fields}
        self._write(f.EVENT, json.dumps(body, default=repr).encode(), step)

    def array(
        self,
        header: dict[str, Any],
        parts: Iterable[bytes | memoryview],
        step: int | None,
        time_ns: int | None = None,
    ) -> None:
        """Write the columns that `header` describes, their bytes in that order.

        `time_ns` is when they were measured, if that is not now.
        """
        head = json.dumps(header).encode()
        body = b"".join((f.CRC.pack(len(head)), head, *parts))
        self._write(f.ARRAY, body, step, when_ns=time_ns)

    def late(self, seq: int, cells: Iterable[tuple[int, float]]) -> None:
        """Write values that were PENDING in the row with this seq."""
        self._write(f.LATE, b"".join(f.LATE_CELL.pack(*cell) for cell in cells), None, seq)

    def fault(self, kind: str, line: str) -> None:
        """Count a fault; say the first of its kind."""
        self.faults[kind] += 1
        if self.faults[kind] == 1:
            self._warn(line)

    # ------------------------------------------------------------------ life

    def roll(self) -> None:
        """Close the open segment and begin the next, unless nothing was written to it."""
        with self.lock:
            if self._fd is not None and self._size > f.HEADER_SIZE and not self.closed:
                self._open()

    def check(self) -> None:
        """Look after the open segment: to be called every second or so.

        A segment that was removed under the writer is replaced by a new one and counted; the
        modification time of the segment is the run's heartbeat.
        """
        with self.lock:
            if self.detached or self.closed:
                return
            self._check_clock()
            if self._fd is None:
                self._reopen()
                return
            try:
                if os.fstat(self._fd).st_nlink == 0:
                    removed = self.paths.segment(self.writer, self.number)
                    self.fault(
                        "segment-removed",
                        f"{removed} was removed while it was written; recording goes on in a new "
                        "segment",
                    )
                    self._open()
                else:
                    os.utime(self._fd)
            except OSError as error:
                self.fault("heartbeat", f"cannot touch the journal: {error}")

    def close(self) -> None:
        """Close the segment; later records are counted as faults."""
        with self.lock:
            self.closed = True
            self._close_fd()

    def detach(self) -> None:
        """In a forked child: drop the parent's descriptor and record nothing."""
        self.detached = True
        # the parent's may be held by a thread that is not here; callers keep its methods
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]  # as the standard library does
        self._close_fd()

    # ------------------------------------------------------------------ inside

    def _write(
        self,
        kind: int,
        body: bytes,
        step: int | None,
        seq: int | None = None,
        when_ns: int | None = None,
    ) -> None:
        length = f.MIN_RECORD + len(body)
        if length > f.MAX_RECORD:
            self._drop("too-large", f"a record of {length} bytes is over the journal's 1 GiB")
            return
        with self.lock:
            if self._fd is None and not self._reopen():
                return
            number = next(self._seq) if seq is None else seq
            word = f.NO_STEP if step is None else step
            now = time.time_ns() if when_ns is None else when_ns
            head = f.HEAD.pack(length, kind, 0, 0, number, word, now)
            if self._put(f.closed(head + body)) and self._size >= self._limit:
                self._open()

    def _put(self, record: bytes) -> bool:
        """Write one whole record, or nothing."""
        if self._fd is None:
            return False
        try:
            written = os.write(self._fd, record)
        except OSError as error:
            self._failed(error)
            return False
        if written != len(record):
            self._short()
            return False
        self._size += written
        return True

    def _ready(self, schema: RowSchema) -> bool:
        """See that a segment is open and defines the schema."""
        if self._fd is None and not self._reopen():
            return False
        if schema.segment == self.number:
            return True
        if self._next_id > 0xFFFF:
            self._open()
        schema_id = self._next_id
        text = json.dumps({"table": schema.table, "names": schema.names}).encode()
        length = f.MIN_RECORD + len(text)
        head = f.HEAD.pack(length, f.SCHEMA, 0, schema_id, 0, f.NO_STEP, time.time_ns())
        if not self._put(f.closed(head + text)):
            return False
        self._next_id += 1
        schema.head = schema.length | f.ROW << 32 | schema_id << 48
        schema.segment = self.number
        return True

    def _reopen(self) -> bool:
        """Try for a segment again, at most every `RETRY_NS`; False counts a dropped record."""
        if self.detached:
            self._drop(
                "forked",
                "this process was forked from the run's: what it logs is not recorded. "
                "Log from the process that called labbook.start()",
            )
            return False
        if self.closed:
            self._drop("after-finish", "the run is finished: what is logged now is not recorded")
            return False
        now = time.monotonic_ns()
        if now >= self._retry_ns:
            self._open()
        if self._fd is None:
            self.faults["dropped"] += 1
            return False
        return True

    def _open(self) -> None:
        """Begin the next segment. On failure there is none, until `_reopen` succeeds."""
        self._close_fd()
        number = self.number + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        header = f.segment_header(number)
        try:
            while True:
                path = self.paths.segment(self.writer, number)
                try:
                    fd = os.open(path, flags, 0o666)
                    break
                except FileExistsError:
                    number += 1
                    header = f.segment_header(number)
            if os.write(fd, header) != len(header):
                os.close(fd)
                os.unlink(path)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._retry_ns = time.monotonic_ns() + RETRY_NS
            self.fault("no-segment", self._advice(error))
            return
        self._fd, self._size, self.number, self._defines = fd, len(header), number, number
        self._next_id = 1
        self.opened_ns = time.monotonic_ns()

    def _close_fd(self) -> None:
        fd, self._fd, self._defines = self._fd, None, -1
        if fd is not None:
            try:
                os.close(fd)
            except OSError as error:
                self.fault("close", f"closing a journal segment failed: {error}")

    def _failed(self, error: OSError) -> None:
        self._drop(errno.errorcode.get(error.errno or 0, "write"), self._advice(error))
        self._cut_back()

    def _short(self) -> None:
        self._drop("ENOSPC", self._advice(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        self._cut_back()

    def _cut_back(self) -> None:
        """Cut off what a failed write left, or else leave the segment for a new one."""
        try:
            os.ftruncate(self._fd, self._size)  # type: ignore[arg-type]
        except (OSError, TypeError):
            self._close_fd()

    def _drop(self, kind: str, line: str) -> None:
        self.faults["dropped"] += 1
        self.fault(kind, line)

    def _check_clock(self) -> None:
        """Notice a clock that was set back against the monotonic one."""
        clock_ns = time_ns() - time.monotonic_ns()
        back = (self._clock_ns - clock_ns) / 1e9
        self._clock_ns = clock_ns
        if back > CLOCK_S:
            line = f"the clock was set back by {back:.1f} s; times are kept as read"
            self.fault("clock-set-back", line)

    def _advice(self, error: OSError) -> str:
        return (
            f"cannot write the journal in {self.paths.journal}: {error.strerror or error}. "
            "Training goes on; records are dropped and counted until it works again"
        )


def _detach_in_child() -> None:
    for writer in list(_writers):
        writer.detach()


os.register_at_fork(after_in_child=_detach_in_child)
