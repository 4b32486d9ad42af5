"""The reader thread: the only place that reads files, so that keys are answered meanwhile.

A screen says what it wants to see; the thread builds the model at once, then again each second, and
posts a model only when something changed. What no visible screen wants is not polled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from labbook.errors import LabbookError
from labbook_tui.models import Problem, Want

if TYPE_CHECKING:
    from labbook_tui.read.library import Library

__all__ = ["Feed", "Fresh"]

PERIOD_S = 1.0
REST = 4.0
"""A reading that took long is repeated after a rest of so many times as long."""


class Fresh(Message):
    """A model that is new, or has changed."""

    def __init__(self, want: Want, model: object) -> None:
        super().__init__()
        self.want = want
        self.model = model

    def can_replace(self, message: Message) -> bool:
        """Only the newest model of a kind is worth drawing."""
        return isinstance(message, Fresh) and message.want == self.want


class Feed:
    """One daemon thread that turns wants into models and hands them to `post`."""

    def __init__(
        self, open_library: Callable[[], Library], post: Callable[[Fresh], object]
    ) -> None:
        self._open = open_library
        self._post = post
        self._wants: tuple[Want, ...] = ()
        self._asked = threading.Condition()
        self._stopped = False
        self._turn = 0
        self._thread = threading.Thread(target=self._run, name="labbook-reader", daemon=True)
        self.faults = 0

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stop soon; a read that hangs on a dead file system is left behind."""
        with self._asked:
            self._stopped = True
            self._asked.notify()

    def want(self, wants: tuple[Want, ...]) -> None:
        """Read these from now on, at once for the first time."""
        with self._asked:
            if wants != self._wants:
                self._wants = wants
                self._turn += 1
                self._asked.notify()

    def _run(self) -> None:
        library: Library | None = None
        shown: dict[Want, object] = {}
        due: dict[Want, float] = {}
        while True:
            with self._asked:
                if self._stopped:
                    return
                wants, turn = self._wants, self._turn
            shown = {want: model for want, model in shown.items() if want in wants}
            # what is not on screen yet comes first: the table of a huge book may take its time
            for want in sorted(wants, key=lambda want: want in shown):
                began = time.monotonic()
                if want in shown and began < due.get(want, 0.0):
                    continue
                try:
                    if library is None:
                        library = self._open()
                    model = library.build(want, shown.get(want))
                except LabbookError as error:
                    model = Problem(str(error))
                except Exception as error:  # a reader's fault must not end the reading: say it
                    self.faults += 1
                    model = Problem(f"cannot be read: {type(error).__name__}: {error}")
                self._show(want, model, shown)
                ended = time.monotonic()
                due[want] = ended + max(0.9 * PERIOD_S, REST * (ended - began))
                if self._turn != turn:
                    break
            with self._asked:
                self._asked.wait_for(lambda t=turn: self._stopped or self._turn != t, PERIOD_S)  # type: ignore[misc]

    def _show(self, want: Want, model: object, shown: dict[Want, object]) -> None:
        before = shown.get(want)
        if before is model or (isinstance(model, Problem) and model == before):
            return
        shown[want] = model
        self._post(Fresh(want, model))
