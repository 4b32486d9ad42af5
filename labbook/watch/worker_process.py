"""One warm worker: a subprocess that is told what to evaluate, and may die at any time.

It is told by JSON lines on its stdin and answers by JSON lines on a pipe of their own, so that
whatever the user's code prints cannot be mistaken for an answer. It leads its own process group,
which is killed as a whole: data loader processes must not outlive it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import labbook
from labbook.watch.codes import Code
from labbook.watch.devices import Device

__all__ = ["WorkerOptions", "WorkerProcess"]

_TAIL_BYTES = 16 << 10
_LINE_LIMIT = 1 << 20


@dataclass(frozen=True)
class WorkerOptions:
    """How every worker of a watcher is started. `cache` is the folder for the code of runs."""

    files: tuple[Path, ...]
    cache: Path
    threads: int | None = None
    niceness: int = 10


class WorkerProcess:
    """A running worker. Its two pipes are read without blocking whenever they are ready."""

    def __init__(self, options: WorkerOptions, code: Code, device: Device) -> None:
        answers, theirs = os.pipe()
        command = [
            *(sys.executable, "-P", "-m", "labbook.watch.worker", "--answers", str(theirs)),
            *(word for file in options.files for word in ("--file", str(file))),
            *("--device", device.name),
            *("--parent", str(os.getpid()), "--nice", str(options.niceness)),
        ]
        if code.run_root is not None:
            command += ["--run-root", str(code.run_root), "--code", code.id]
            command += ["--cache", str(options.cache)]
        if options.threads:
            command += ["--threads", str(options.threads)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                start_new_session=True,
                env=_environment(device),
            )
        except OSError:
            os.close(answers)
            raise
        finally:
            os.close(theirs)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.answers = answers
        self.output = self._process.stdout.fileno()
        os.set_blocking(self.answers, False)
        os.set_blocking(self.output, False)
        self._pending = b""
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._process.pid

    def rss_bytes(self) -> int | None:
        """Memory it has resident; null where the system does not say (only Linux does, here)."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return None
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def send(self, message: dict[str, Any]) -> bool:
        """Tell it something; False when it is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def read_answers(self) -> tuple[list[dict[str, Any]], bool]:
        """New answers, and whether the worker closed its end (it died)."""
        raw, is_closed = _drain(self.answers)
        lines = (self._pending + raw).split(b"\n")
        self._pending = lines.pop()[-_LINE_LIMIT:]
        found = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # the user's code wrote into our pipe; an answer is always one whole line
            if isinstance(message, dict):
                found.append(message)
        return found, is_closed

    def read_output(self) -> tuple[bytes, bool]:
        """What it printed since, and whether its output is closed; the end of it is kept."""
        raw, is_closed = _drain(self.output)
        if raw:
            self._tail.append(raw[-_TAIL_BYTES:])
            self._tail_bytes += len(self._tail[-1])
            while self._tail_bytes - len(self._tail[0]) >= _TAIL_BYTES:
                self._tail_bytes -= len(self._tail.popleft())
        return raw, is_closed

    def last_words(self) -> str:
        """The end of what it printed."""
        return b"".join(self._tail)[-_TAIL_BYTES:].decode(errors="replace").strip()

    def stop(self, grace_s: float) -> str:
        """End it and everything it started; says how it ended. Safe to call twice."""
        if self._process.poll() is None and grace_s > 0:
            _signal_group(self.pid, signal.SIGTERM)
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                pass  # what follows cannot be ignored
        _signal_group(self.pid, signal.SIGKILL)
        code = self._process.wait()
        self._close()
        return _how(code)

    def _close(self) -> None:
        if self.answers < 0:
            return
        self.read_output()
        os.close(self.answers)
        self.answers = -1
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass  # a message it never read


def _environment(device: Device) -> dict[str, str]:
    """Ours, with this labbook importable in a process that starts elsewhere."""
    home = str(Path(labbook.__path__[0]).parent)
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*([inherited] if inherited else []), home])
    # an evaluation that imports the training script must not begin a run
    own = {"PYTHONPATH": path, "LABBOOK_MODE": "off", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own, **device.variables}


def _drain(fd: int) -> tuple[bytes, bool]:
    """All bytes that are there now (at most 16 MiB), and whether the other end is closed."""
    if fd < 0:
        return b"", True
    parts: list[bytes] = []
    for _ in range(256):
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            return b"".join(parts), False
        if not part:
            return b"".join(parts), True
        parts.append(part)
    return b"".join(parts), False


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # already gone


def _how(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal"
    more = " (the system kills like this when memory runs out)" if -code == signal.SIGKILL else ""
    return f"it was killed by {name}{more}"
