"""`output="fd"`: everything written to descriptors 1 and 2 is copied, C libraries' output too.

The descriptors are replaced by a pseudo-terminal (by a pipe where they are no terminal), which a
child process pumps to where they led before and into `output.log`. `isatty` stays what it was. If
the child dies, the next `check` gives the program its own descriptors back.
"""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

from labbook.client.pump import copy_size
from labbook.client.recorder import Recorder
from labbook.paths import RunPaths

__all__ = ["DescriptorOutput"]

_NAMES: Final = {1: "stdout", 2: "stderr"}
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from labbook.client.pump import main; main()"
)
_LAST_S: Final = 0.5


class DescriptorOutput:
    """The replaced descriptors. Made by `install`."""

    def __init__(self, pump: subprocess.Popen[bytes], originals: dict[int, int]) -> None:
        self._pump = pump
        self._originals = originals

    @classmethod
    def install(cls, paths: RunPaths, writer: Recorder) -> DescriptorOutput | None:
        """Replace descriptors 1 and 2; None when there is nothing to copy, or it cannot be done."""
        wanted = []
        for number, name in _NAMES.items():
            file = _regular_file(number)
            if file is None:
                wanted.append(number)
            elif file:
                writer.event("output", f"{name} goes to {file}", stream=name, path=file)
        if not wanted:
            return None
        _flush()
        try:
            return cls(*_replace(wanted, paths))
        except (OSError, termios.error) as error:
            writer.fault("output", f"output='fd' cannot be set up: {error}; nothing is copied")
            return None

    def check(self) -> None:
        """Give the descriptors back when the pump has died."""
        if self._originals and self._pump.poll() is not None:
            self._give_back()

    def close(self) -> None:
        """Give the descriptors back, and let the pump finish what is on its way."""
        if not self._originals:
            return
        _flush()
        self._give_back()
        try:
            self._pump.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            pass  # a child of the program's holds the other end; the pump goes on with it

    def _give_back(self) -> None:
        for number, original in self._originals.items():
            os.dup2(original, number)
            os.close(original)
        self._originals = {}


def _replace(wanted: list[int], paths: RunPaths) -> tuple[subprocess.Popen[bytes], dict[int, int]]:
    originals = {number: os.dup(number) for number in wanted}
    channels = {number: _channel(original) for number, original in originals.items()}
    sources = {number: source for number, (source, _) in channels.items()}
    pairs = [f"{sources[number]}:{originals[number]}" for number in wanted]
    try:
        pump = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, _ROOT, os.fspath(paths.output_log), *pairs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[*sources.values(), *originals.values()],
            start_new_session=True,  # outlives Ctrl-C, so that the last lines are kept
        )
        for number, (_, sink) in channels.items():
            os.dup2(sink, number)
    finally:
        for source, sink in channels.values():
            os.close(source)
            os.close(sink)
    return pump, originals


def _channel(original: int) -> tuple[int, int]:
    """(end to read, end to write) of what stands in for a descriptor."""
    if not os.isatty(original):
        return os.pipe()
    source, sink = pty.openpty()
    attributes = termios.tcgetattr(sink)
    attributes[1] &= ~termios.OPOST  # bytes as they are: the real terminal does its own mapping
    termios.tcsetattr(sink, termios.TCSANOW, attributes)
    copy_size(original, sink)
    return source, sink


def _regular_file(number: int) -> str | None:
    """Path of the file behind a descriptor; None when it is no file, "" when it is closed."""
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return None
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or none: then nothing is waiting in it
