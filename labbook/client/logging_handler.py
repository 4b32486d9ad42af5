"""The standard logging module, sent to a run: each record becomes an event of kind `log`.

Invariant: what a program logs never raises here, never comes back here, and costs one write. The
records of forked children (data-loader workers) and those after the run's end are left to the
program's other handlers.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.client.run import Run

__all__ = ["RunHandler", "make"]


class RunHandler(logging.Handler):
    """Sends log records to a run, with their own time (`logged_ns`), level and logger."""

    def __init__(self, run: Run, level: int | str) -> None:
        super().__init__(level)
        self._run = run
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Record one event; whatever goes wrong is logging's to report, as with any handler."""
        run = self._run
        # formatting may log by itself: that record would come back here without end
        if run.finished or run._journal.detached or getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            run.event(
                self.format(record),
                kind="log",
                level=record.levelname,
                logger=record.name,
                logged_ns=round(record.created * 1e6) * 1000,  # a double holds no more
            )
        except Exception:  # an outer border: a record that cannot be formatted stops no training
            self.handleError(record)
        finally:
            self._inside.busy = False


def make(run: Run, level: int | str) -> RunHandler:
    """Return a handler; raises `MisuseError` for a level that logging does not know."""
    try:
        return RunHandler(run, level)
    except (ValueError, TypeError) as error:
        raise MisuseError(f"logging_handler(level={level!r}): {error}") from error
