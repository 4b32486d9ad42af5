"""The reader thread: the only place that reads files, so that keys are answered meanwhile.

A screen says what it wants to see; the thread builds the model at once, then again each second, and
posts a model only when something changed. What no visible screen wants is not polled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message

from labbook.errors import LabbookError
from labbook_tui.models import Problem, Reading, Want

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
        self._library: Library | None = None  # from here on used by the thread only
        self._shown: dict[Want, object] = {}
        self._due: dict[Want, float] = {}
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

    def is_behind(self) -> bool:
        """Whether something that is wanted has not been read yet."""
        shown = self._shown
        return any(isinstance(shown.get(want), Reading | None) for want in self._wants)

    def _run(self) -> None:
        while True:
            with self._asked:
                if self._stopped:
                    return
                wants, turn = self._wants, self._turn
            self._read(wants, turn)
            with self._asked:
                self._asked.wait_for(partial(self._is_new, turn), self._pause())

    def _is_new(self, turn: int) -> bool:
        """Whether something else is wanted than in this turn."""
        return self._stopped or self._turn != turn

    def _pause(self) -> float:
        """Seconds until the next reading; none after an announcement of one."""
        is_announced = any(isinstance(model, Reading) for model in self._shown.values())
        return 0.0 if is_announced else PERIOD_S

    def _read(self, wants: tuple[Want, ...], turn: int) -> None:
        """Read what is due; stops when something else is wanted meanwhile."""
        self._shown = {want: model for want, model in self._shown.items() if want in wants}
        # what is not on screen yet comes first: the table of a huge book may take its time
        for want in sorted(wants, key=lambda want: want in self._shown):
            began = time.monotonic()
            if want in self._shown and began < self._due.get(want, 0.0):
                continue
            model = self._model(want)
            self._show(want, model)
            ended = time.monotonic()
            rest = max(0.9 * PERIOD_S, REST * (ended - began))
            self._due[want] = ended if isinstance(model, Reading) else ended + rest
            if self._is_new(turn):
                return

    def _model(self, want: Want) -> object:
        """The model, or why there is none."""
        try:
            if self._library is None:
                self._library = self._open()
            return self._library.build(want, self._shown.get(want))
        except LabbookError as error:
            return Problem(str(error))
        except Exception as error:  # the thread's outer border: counted, and said on the screen
            self.faults += 1
            return Problem(f"cannot be read: {type(error).__name__}: {error}")

    def _show(self, want: Want, model: object) -> None:
        before = self._shown.get(want)
        if before is model or (isinstance(model, Problem) and model == before):
            return
        self._shown[want] = model
        self._post(Fresh(want, model))
