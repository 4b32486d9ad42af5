"""Ends the program when its terminal is gone: not every lost connection sends a signal."""

from __future__ import annotations

import os
import termios
import threading
import time

__all__ = ["watch_terminal"]

EVERY_S = 2.0
EXIT_CODE = 129  # as after SIGHUP


def watch_terminal(fd: int) -> None:
    """From a thread of its own: the app may hang in a write, or read nothing for ever.

    Does nothing where `fd` is no terminal to begin with.
    """
    if os.isatty(fd):
        threading.Thread(target=_watch, args=(fd,), name="labbook-hangup", daemon=True).start()


def _watch(fd: int) -> None:
    while True:
        time.sleep(EVERY_S)
        try:
            termios.tcgetattr(fd)
        except termios.error:
            os._exit(EXIT_CODE)  # there is nobody to tell, and nothing that could be put right
