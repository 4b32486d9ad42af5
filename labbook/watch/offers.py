"""What each code has to offer: its evaluations, as a worker that imported it said.

What a worker said of a run's code is kept beside the files of that code: a watcher that is started
again knows without importing anything what is done. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labbook.paths import RunPaths
from labbook.watch.codes import Code, Refusal, code_of
from labbook.watch.evaluation import Declaration
from labbook.watch.facts import RunFacts, read_json
from labbook.watch.identity import canonical

__all__ = ["Offer", "Offers"]

_FORMAT = 1


@dataclass(frozen=True)
class Offer:
    """The evaluations of a code, each with the digest that the keys of its results hold."""

    evaluations: tuple[tuple[Declaration, str], ...]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [declared.name for declared, _ in self.evaluations]


class Offers:
    """Which code each run has, and what is known of it."""

    def __init__(
        self, files: tuple[Path, ...], cache: Path, mode: str, *, is_trusting: bool, store: Path
    ) -> None:
        self._files = tuple(file.absolute() for file in files)
        self._cache = cache / "offers"
        self._mode = mode
        self._is_trusting = is_trusting
        self._store = store
        self._known: dict[str, Offer] = {}
        self._refused: dict[str, Refusal] = {}
        self._codes: dict[str, tuple[Any, Code | Refusal]] = {}
        self._looked: set[str] = set()
        self._stamp: tuple[Any, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True while no code has anything to offer."""
        return not self._known

    @property
    def names(self) -> list[str]:
        """All evaluations that some code offers."""
        return sorted({name for offer in self._known.values() for name in offer.names})

    def code(self, facts: RunFacts, paths: RunPaths) -> Code | Refusal:
        """The code for a run's checkpoints."""
        known = self._codes.get(facts.id)
        if known is None or known[0] is not facts.conditions:
            found = code_of(facts, paths, self._mode, self._is_trusting)
            known = self._codes[facts.id] = (facts.conditions, found)
        return known[1]

    def of(self, code: Code) -> Offer | Refusal | None:
        """What is known of a code; null: a worker has to import it first."""
        found = self._refused.get(code.id) or self._known.get(code.id)
        if found is None and code.mode == "run" and code.id not in self._looked:
            self._looked.add(code.id)
            found = self._recall(code)
            if found is not None:
                self._known[code.id] = found
        return found

    def learn(self, code: Code, answer: Mapping[str, Any]) -> bool:
        """A worker has imported a code; True when it offers something new."""
        offer = _offer(answer["evaluations"])
        self._refused.pop(code.id, None)
        if self._known.get(code.id) == offer:
            return False
        self._known[code.id] = offer
        if code.mode == "run":
            self._remember(code, answer)
        return True

    def refuse(self, code: Code, text: str) -> None:
        """Nothing can be evaluated in a code, until a file that matters changes."""
        self._refused[code.id] = Refusal(text)
        self._known.pop(code.id, None)

    def refresh(self) -> None:
        """Forget refusals when an evaluation file, or the code in the book, has changed."""
        places = [*self._files, self._store / "refs/labbook/trees", self._store / "packed-refs"]
        stamp = tuple(_stamp(path) for path in places)
        if stamp != self._stamp:
            self._stamp = stamp
            self._refused.clear()

    def _path(self, code: Code) -> Path:
        files = hashlib.sha256(canonical([str(file) for file in self._files])).hexdigest()[:16]
        return self._cache / f"{code.id}-{files}.json"

    def _recall(self, code: Code) -> Offer | None:
        """What a worker said before, unless a file that is not part of the code has changed."""
        row = read_json(self._path(code))
        if row is None or row.get("format") != _FORMAT:
            return None
        try:
            for path, digest in row["outside"].items():
                if _digest(Path(path)) != digest:
                    return None
            return _offer(row["evaluations"])
        except (OSError, KeyError, TypeError, AttributeError):
            return None

    def _remember(self, code: Code, answer: Mapping[str, Any]) -> None:
        path = self._path(code)
        aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            outside = {path: _digest(Path(path)) for path in answer["outside"].values()}
            row = {"format": _FORMAT, "evaluations": answer["evaluations"], "outside": outside}
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            aside.write_text(json.dumps(row))
            os.replace(aside, path)
        except OSError:
            pass  # a worker will be asked again


def _offer(evaluations: Any) -> Offer:
    known = set(asdict(Declaration("x")))
    found = []
    for each in evaluations:
        fields = {name: value for name, value in each.items() if name in known}
        found.append((Declaration(**fields), str(each["code"])))
    return Offer(tuple(found))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
