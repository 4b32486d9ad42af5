"""Experiment tracker and reproducibility daemon for deep learning: plain files, no server.

import labbook

run = labbook.start()
run.log(loss=0.1, step=0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labbook import dynamics
    from labbook.book.reading import open_book as open  # labbook.open is its name
    from labbook.checks.checking import check
    from labbook.checks.finding import Report
    from labbook.checks.same import same_as
    from labbook.checks.subject import Subject, subject
    from labbook.checks.tools import equivariant, primes
    from labbook.client.current import current, log
    from labbook.client.mini import mini
    from labbook.client.run import Run
    from labbook.client.start import start
    from labbook.conditions.seeds import seed
    from labbook.errors import LabbookError, Skip
    from labbook.watch.evaluation import evaluation

__version__ = "0.1.0"

__all__ = [
    "LabbookError",
    "Report",
    "Run",
    "Skip",
    "Subject",
    "check",
    "current",
    "dynamics",
    "equivariant",
    "evaluation",
    "log",
    "mini",
    "open",
    "primes",
    "same_as",
    "seed",
    "start",
    "subject",
]

# imported at first use: `import labbook` itself costs milliseconds
_PUBLIC = {
    "LabbookError": "labbook.errors",
    "Report": "labbook.checks.finding",
    "Run": "labbook.client.run",
    "Skip": "labbook.errors",
    "Subject": "labbook.checks.subject",
    "check": "labbook.checks.checking",
    "current": "labbook.client.current",
    "dynamics": "labbook.dynamics",
    "equivariant": "labbook.checks.tools",
    "evaluation": "labbook.watch.evaluation",
    "log": "labbook.client.current",
    "mini": "labbook.client.mini",
    "open": "labbook.book.reading:open_book",
    "primes": "labbook.checks.tools",
    "same_as": "labbook.checks.same",
    "seed": "labbook.conditions.seeds",
    "start": "labbook.client.start",
    "subject": "labbook.checks.subject",
}


def __getattr__(name: str) -> Any:
    try:
        path, _, attribute = _PUBLIC[name].partition(":")
    except KeyError:
        raise AttributeError(f"module 'labbook' has no attribute {name!r}") from None
    value = importlib.import_module(path)
    if path != f"labbook.{name}":  # else the package itself is the public name
        value = getattr(value, attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
