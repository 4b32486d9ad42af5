"""The exceptions labbook raises, all of one tree.

LabbookError
├── StoreError            a book, or a file in it, cannot be used as asked
│   ├── BookNotFound      there is no book where one was looked for
│   ├── RunNotFound       no run has this id, prefix or name
│   ├── AmbiguousRun      several runs do
│   └── DamagedFile       a file is truncated, corrupt or of an unknown format; names the file
├── MisuseError           the call is wrong: what was expected is in the text (also a ValueError)
├── DirtyTreeError        `dirty="refuse"` and the working tree has uncommitted changes
├── SnapshotError         the code could not be recorded or restored
├── EvaluationError       an `evaluation.py` cannot be loaded, or breaks its contract
│   └── Skip              raised by the user's evaluation: no result for this checkpoint, and why
└── CheckFailed           a check found a fault

After `start()`, storage faults never raise into a training loop: they are counted
(`run.faults`). Misuse always raises, as `MisuseError` or the built-in `TypeError`.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousRun",
    "BookNotFound",
    "CheckFailed",
    "DamagedFile",
    "DirtyTreeError",
    "EvaluationError",
    "LabbookError",
    "MisuseError",
    "RunNotFound",
    "Skip",
    "SnapshotError",
    "StoreError",
]


class LabbookError(Exception):
    """Anything labbook raises on purpose."""


class StoreError(LabbookError):
    """A book, or a file in it, cannot be used as asked."""


class BookNotFound(StoreError):
    """There is no book where one was looked for."""


class RunNotFound(StoreError):
    """No run has this id, prefix or name."""


class AmbiguousRun(StoreError):
    """Several runs have this prefix or name."""


class DamagedFile(StoreError):
    """A file is truncated, corrupt or of an unknown format."""


class MisuseError(LabbookError, ValueError):
    """The call is wrong; the text says what was expected."""


class DirtyTreeError(LabbookError):
    """The working tree has uncommitted changes and `dirty="refuse"`."""


class SnapshotError(LabbookError):
    """The code could not be recorded or restored."""


class EvaluationError(LabbookError):
    """An evaluation file cannot be loaded, or breaks its contract."""


class Skip(EvaluationError):
    """Raise it in an evaluation to leave a checkpoint without a result, with a reason."""


class CheckFailed(LabbookError):
    """A check found a fault."""
