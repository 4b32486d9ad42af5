"""Averaged weights (EMA): are they the ones that were meant, and do they move?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from labbook.errors import EvaluationError
from labbook.watch import dcp
from labbook.watch.findings import Report
from labbook.watch.fingerprints import Prints, prints
from labbook.watch.load import DamagedLoad, read_state

__all__ = ["Averages"]

_NAME = re.compile(r"(^|_)(ema|swa|shadow|averaged?)(_|$)", re.IGNORECASE)


@dataclass
class Averages:
    """Remembers the last checkpoint's weights of a run, to compare the next one's with."""

    _run: str | None = None
    _raw: Prints | None = None
    _averaged: Prints | None = None

    def look(self, run: str, path: Path, kind: str, weights: str, report: Report) -> None:
        """Compare what the checkpoint holds with what was evaluated. Reads it once more."""
        try:
            if weights == "ema":
                self._compare(run, path, kind, report)
            elif (name := _averaged_in(path, kind)) is not None:
                report.add(
                    "ema",
                    f"the checkpoint has averaged weights under {name!r} too, and the raw ones "
                    "were evaluated; weights='ema' evaluates those",
                    name,
                )
        except (EvaluationError, DamagedLoad, OSError, RuntimeError, ValueError) as error:
            report.not_run["ema"] = f"{type(error).__name__}: {error}"[:300]

    def _compare(self, run: str, path: Path, kind: str, report: Report) -> None:
        raw = _bare(prints(read_state(path, kind, "model")))
        averaged = _bare(prints(read_state(path, kind, "ema")))
        shared = raw.keys() & averaged.keys()
        if not shared:
            report.not_run["ema"] = "the raw and the averaged weights have no name in common"
            return
        has_moved = self._run == run and self._raw != raw
        if has_moved and self._averaged == averaged:
            report.add(
                "ema",
                "the averaged weights are what they were at the checkpoint before, though the raw "
                "ones have changed: they are never updated",
            )
        elif has_moved and all(raw[name] == averaged[name] for name in shared):
            report.add(
                "ema",
                "the averaged weights equal the raw ones bit for bit: a copy, not an average",
            )
        self._run, self._raw, self._averaged = run, raw, averaged


def _bare(found: Prints) -> Prints:
    names = {name.replace("_orig_mod.", "").removeprefix("module."): name for name in found}
    return {bare: found[name] for bare, name in names.items() if bare != "n_averaged"}


def _averaged_in(path: Path, kind: str) -> str | None:
    """The name of averaged weights in a checkpoint; None where there are none."""
    if kind == "torch":
        # on the meta device no tensor's content is read
        held: Any = torch.load(path, map_location="meta", weights_only=True, mmap=False)
        names = [str(key) for key, value in held.items() if _holds_weights(value)] if isinstance(
            held, Mapping) else []  # fmt: skip
    elif kind == "dcp":
        names = sorted({item.name.partition(".")[0] for item in dcp.read_items(path)[0]})
    else:
        return None
    return next((name for name in names if _NAME.search(name)), None)


def _holds_weights(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(v, torch.Tensor) or _holds_weights(v) for v in value.values())
