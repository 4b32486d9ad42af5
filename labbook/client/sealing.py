"""Sealing the run's own journal, in child processes, while it is written and at its end.

Rolls: when closed segments reach 64 MiB, or the open one is ten minutes old. The child works on
closed segments only; if it fails, the journal stays and every reader reads it as it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from labbook.journal.writer import SEGMENT_BYTES, JournalWriter

__all__ = ["Sealer"]

ROLL_BYTES: Final = 64 << 20
ROLL_NS: Final = 600 * 1_000_000_000
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_NOT_FOR_THE_CHILD: Final = {"PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONSTARTUP"}
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from labbook.book.seal import main; raise SystemExit(main())"
)


class Sealer:
    """Starts at most one sealing child at a time."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._first = 1  # the first segment no seal covers
        self._child: subprocess.Popen[bytes] | None = None
        self._until = 0
        self._due = False

    def tick(self) -> None:
        """Look whether it is time: to be called every second or so."""
        journal = self._journal
        self._reap()
        if journal.number and time.monotonic_ns() - journal.opened_ns > ROLL_NS:
            journal.roll()
            self._due = True
        closed = journal.number - self._first
        if closed * SEGMENT_BYTES >= ROLL_BYTES:
            self._due = True
        if self._due and closed > 0 and self._child is None:
            self._due = False
            self._start(journal.number - 1)

    def finish(self, timeout_s: float) -> bool:
        """Seal what is left after the journal was closed; True when it was done in time.

        The child goes on by itself when the time is up.
        """
        deadline = time.monotonic() + timeout_s
        self._wait(deadline - timeout_s / 2)
        # a child that is still at work holds the sealers' lock: this one waits its turn there
        if self._first <= self._journal.number:
            self._start(self._journal.number, last=True)
        return self._wait(deadline)

    def _start(self, until: int, *, last: bool = False) -> None:
        journal = self._journal
        command = [
            sys.executable,
            "-P",
            "-c",
            _PROGRAM,
            _ROOT,
            str(journal.paths.root),
            "--writer",
            journal.writer,
            "--first",
            str(self._first),
            "--last",
            str(until),
        ]
        if last:
            command.append("--compact")
        environment = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_THE_CHILD}
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=journal.paths.root,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the training, not for its book-keeping
            )
        except (OSError, ValueError) as error:
            journal.fault("seal", f"sealing could not be started ({error}); the journal stays")
            return
        self._until = until

    def _wait(self, deadline: float) -> bool:
        if self._child is None:
            return True
        try:
            self._child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        self._reap()
        return True

    def _reap(self) -> None:
        child = self._child
        if child is None or child.poll() is None:
            return
        self._child = None
        if child.returncode == 0:
            self._first = self._until + 1
        else:
            line = f"sealing failed (exit {child.returncode}); the journal stays as it is"
            self._journal.fault("seal", line)
