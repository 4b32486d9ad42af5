"""A copy of what the program prints: a tee of `sys.stdout` and `sys.stderr` into `output.log`.

Invariants: the program's own stream comes first and behaves as before (`isatty`, `fileno`,
encoding, errors, what it raises); the copy is the same bytes, appended by one `write(2)` to a
file, and its faults are counted, never raised. A stream that already is a file is left alone: its
path is recorded instead. What is written below Python (C libraries, child processes) is not seen.
Each `write` of the program is copied by itself: processes that print at the same time may mix
within a line.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from typing import Any, Final

from labbook.client.recorder import Recorder
from labbook.paths import RunPaths

__all__ = ["Output"]

_STREAMS: Final = ("stdout", "stderr")


class Output:
    """The installed tees. Made by `Output.install`."""

    def __init__(self, log: _Log, tees: dict[str, tuple[Any, _TextTee]]) -> None:
        self._log = log
        self._tees = tees

    @classmethod
    def install(
        cls, paths: RunPaths, writer: Recorder, setting: bool | str = True
    ) -> Output | None:
        """Copy both streams from now on; None when there is nothing to copy."""
        if not setting:
            return None
        log = _Log(os.fspath(paths.output_log), writer)
        tees = {}
        for name in _STREAMS:
            stream = getattr(sys, name)
            if stream is None:
                continue
            file = _file_behind(stream)
            if file is not None:
                writer.event("output", f"{name} goes to {file}", stream=name, path=file)
                continue
            tees[name] = stream, _TextTee(stream, log)
        if not tees or not log.open():
            return None
        for name, (_, tee) in tees.items():
            setattr(sys, name, tee)
        return cls(log, tees)

    def check(self) -> None:
        """Nothing to look after: the copy is made by the writing thread itself."""

    def close(self) -> None:
        """Give the program its own streams back, where ours are still in their place."""
        for name, (stream, tee) in self._tees.items():
            if getattr(sys, name) is tee:
                setattr(sys, name, stream)
        # a tee that the program still holds goes on printing; it only copies no more
        self._log.close()


def _file_behind(stream: Any) -> str | None:
    """The path of the regular file that this stream writes to, or None."""
    try:
        fd = stream.fileno()
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return os.readlink(f"/proc/self/fd/{fd}")
    except (OSError, ValueError, AttributeError):
        return None  # a notebook's or a test's stream has no descriptor


class _Descriptor:
    """Closes its number when nobody holds it: never under a thread that is just writing to it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class _Log:
    """The file, opened for appending: forked workers share it, and each write lands whole.

    There is no lock: a child forked while another thread prints would wait for it for ever.
    """

    def __init__(self, path: str, writer: Recorder) -> None:
        self._path = path
        self._writer = writer
        self._descriptor: _Descriptor | None = None

    def open(self) -> bool:
        """Open the file; False, and a counted fault, when that fails."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._descriptor = _Descriptor(os.open(self._path, flags, 0o666))
        except OSError as error:
            self._fault(error)
        return self._descriptor is not None

    def append(self, data: bytes | memoryview) -> None:
        """Append, in one write; a failure is counted."""
        descriptor = self._descriptor
        if descriptor is None:
            return
        try:
            os.write(descriptor.number, data)
        except OSError as error:
            self._fault(error)

    def close(self) -> None:
        """Append no more."""
        self._descriptor = None

    def _fault(self, error: OSError) -> None:
        self._writer.fault(
            "output", f"cannot write {self._path}: {error.strerror}; output is not kept meanwhile"
        )


class _Tee:
    """A stream of bytes that does what the one behind it does, and copies what is written."""

    def __init__(self, stream: Any, log: _Log) -> None:
        self._stream = stream
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __enter__(self) -> Any:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._stream.__exit__(*error)

    def write(self, data: Any) -> Any:
        """Write to the stream, then to the copy; returns and raises what the stream does."""
        written = self._stream.write(data)
        if data:
            self._log.append(self._encoded(data))
        return written

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def _encoded(self, data: Any) -> bytes | memoryview:
        """The bytes that the stream puts out for `data`."""
        return memoryview(data)


class _TextTee(_Tee):
    """A text stream. `isinstance` sees the class of the stream behind it."""

    def __init__(self, stream: Any, log: _Log) -> None:
        super().__init__(stream, log)
        self._buffer: _Tee | None = None

    @property  # type: ignore[misc]  # read-only on purpose
    def __class__(self) -> Any:
        """Libraries ask `isinstance(sys.stdout, io.TextIOBase)` and print less when it is not."""
        return self._stream.__class__

    @property
    def buffer(self) -> Any:
        """The bytes below, copied as well: `sys.stdout.buffer.write(b"…")` is output too."""
        if self._buffer is None:
            self._buffer = _Tee(self._stream.buffer, self._log)
        return self._buffer

    def _encoded(self, data: Any) -> bytes | memoryview:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        errors = getattr(self._stream, "errors", None) or "backslashreplace"
        try:
            return data.encode(encoding, errors)  # type: ignore[no-any-return]  # a str
        except (UnicodeError, LookupError):
            return data.encode("utf-8", "backslashreplace")  # type: ignore[no-any-return]
