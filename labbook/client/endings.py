"""How a process ends, as evidence on disk.

`finish()` writes `end.json` in Python. Two ends leave no time for Python and are written at C
level: SIGTERM (`faulthandler` writes the stack to the `.term` file, then the old handler runs, so
that it works inside one long C call), and the exit status (`on_exit(fputc, file)` of glibc: one
byte in the `.exit` file), which Python tells nobody after a plain `raise SystemExit(3)`.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

__all__ = ["Ending", "Endings", "describe"]

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


class Ending(dict[str, Any]):
    """`state` and, where known, `exit_code` and `exception`, as `end.json` holds them."""


def describe(error: BaseException | None) -> Ending:
    """What an exception that ended the program says about its state."""
    if error is None:
        return Ending(state="finished", exit_code=None, exception=None)
    if isinstance(error, SystemExit):
        code = _exit_code(error)
        state = "finished" if code == 0 else "failed"
        return Ending(state=state, exit_code=code, exception=None)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    told = {"type": type(error).__qualname__, "message": str(error), "traceback": text}
    state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    return Ending(state=state, exit_code=None, exception=told)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


class Endings:
    """Calls `finish(ending)` when the interpreter exits, and keeps evidence of what cannot wait."""

    def __init__(self, finish: Callable[[Ending], None], term: Path, status: Path) -> None:
        self._finish = finish
        self._pid = os.getpid()
        self._error: BaseException | None = None
        self._previous_hook: Hook = sys.excepthook
        self._term: IO[bytes] | None = None
        self._stream: _ExitStream | None = None
        self._hook = self._excepthook
        sys.excepthook = self._hook
        atexit.register(self._at_exit)
        self._watch_sigterm(term)
        self._stream = _ExitStream.open(status)
        os.register_at_fork(after_in_child=self.detach)

    def close(self, *, exiting: bool) -> None:
        """Stop listening. Unless it is `exiting`, what the process does later is not the run's."""
        atexit.unregister(self._at_exit)
        if not exiting and self._stream is not None:
            self._stream.silence()
        if sys.excepthook is self._hook:
            sys.excepthook = self._previous_hook
        self._unwatch_sigterm()

    def detach(self) -> None:
        """In a forked child: its end is not the run's."""
        self._pid = -1
        self._unwatch_sigterm()
        if self._stream is not None:
            self._stream.silence()

    def _excepthook(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if os.getpid() == self._pid:
            self._error = error
        self._previous_hook(kind, error, trace)

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._finish(describe(self._error))

    def _watch_sigterm(self, term: Path) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            return
        try:
            self._term = open(term, "wb", buffering=0)  # noqa: SIM115  # open as long as the run
            faulthandler.register(signal.SIGTERM, self._term, all_threads=False, chain=True)
        except (OSError, RuntimeError, ValueError):
            self._unwatch_sigterm()

    def _unwatch_sigterm(self) -> None:
        stream, self._term = self._term, None
        if stream is not None:
            faulthandler.unregister(signal.SIGTERM)
            stream.close()


class _ExitStream:
    """A C stream to which glibc's `exit` writes the exit status as one byte."""

    def __init__(self, libc: Any, stream: int) -> None:
        self._libc = libc
        self._stream = stream

    @classmethod
    def open(cls, path: Path) -> _ExitStream | None:
        try:
            import ctypes

            libc = ctypes.CDLL(None)
            libc.fopen.restype = ctypes.c_void_p
            libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
            libc.freopen.restype = ctypes.c_void_p
            libc.freopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
            libc.on_exit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
            stream = libc.fopen(os.fsencode(path), b"we")
            if not stream:
                return None
            libc.on_exit(ctypes.cast(libc.fputc, ctypes.c_void_p), stream)
        except (ImportError, OSError, AttributeError):  # another C library
            return None
        return cls(libc, stream)

    def silence(self) -> None:
        self._libc.freopen(b"/dev/null", b"w", self._stream)
