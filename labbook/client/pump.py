"""The child process of `output="fd"`: carries bytes from the program to where they went before.

Run by `labbook.client.descriptors`. For each channel it reads what the program wrote, writes it to
the original descriptor first, then appends it to `output.log`. It ends when every writer has
closed its side. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import sys
import termios

__all__ = ["main"]

_BLOCK = 1 << 16


def main(arguments: list[str] | None = None) -> None:
    """Arguments: the log's path, then `source:target` descriptor pairs."""
    log_path, *pairs = sys.argv[1:] if arguments is None else arguments
    channels: dict[int, int] = {}
    for pair in pairs:
        source, _, target = pair.partition(":")
        channels[int(source)] = int(target)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the program ends first, then its output
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    while channels:
        ready, _, _ = select.select(list(channels), [], [], 1.0)
        for readable in ready:
            data = _read(readable)
            if not data:
                del channels[readable]
                continue
            _write(channels[readable], data)
            _write(log, data)
        if not ready:
            for pseudo, terminal in channels.items():
                copy_size(terminal, pseudo)


def copy_size(terminal: int, pseudo: int) -> None:
    """Give a pseudo-terminal the size of the real one; neither has to be one."""
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
        if fcntl.ioctl(pseudo, termios.TIOCGWINSZ, bytes(8)) != size:
            fcntl.ioctl(pseudo, termios.TIOCSWINSZ, size)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _BLOCK)
    except OSError as error:
        if error.errno == errno.EIO:  # how a pseudo-terminal says that its last writer closed
            return b""
        raise


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            select.select([], [target], [], 1.0)
        except OSError:
            return  # a closed terminal or a full disk: the program must not feel it
