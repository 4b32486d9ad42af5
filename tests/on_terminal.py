"""Runs a program on a real terminal, and returns what it wrote there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

_STYLES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def on_terminal(
    words: Sequence[object], *, cwd: Path, environment: Mapping[str, str], columns: int = 80
) -> list[str]:
    """The lines of a program that ended well, its stdout and stderr together, without styles."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {name: value for name, value in environment.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [str(word) for word in words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**inherited, "TERM": "xterm"},
    )
    os.close(theirs)
    raw = b""
    try:
        while part := os.read(ours, 4096):
            raw += part
    except OSError:
        pass  # Linux ends a terminal without writers with EIO
    os.close(ours)
    text = raw.decode()
    assert process.wait() == 0, text
    return [line.rpartition("\r")[2] for line in _STYLES.sub("", text).split("\r\n")]
