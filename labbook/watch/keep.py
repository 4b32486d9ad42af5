"""Taking the best checkpoint away, and which of the others are not needed any more.

Nothing is ever removed here: `retention` is advice.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labbook.book.checkpoints import Checkpoint
from labbook.book.results import Result
from labbook.book.runreader import RunReader
from labbook.errors import MisuseError, StoreError
from labbook.watch.complete import Whole, examine
from labbook.watch.evaluation import Declaration
from labbook.watch.pin import is_reused_name
from labbook.watch.policy import lanes

__all__ = ["BEST", "Kept", "export", "retention"]

BEST: Final = "best.json"
"""Names the exported checkpoint: written last, so that it always names a whole one."""


@dataclass(frozen=True)
class Kept:
    """A checkpoint, and why it should stay; None where it could be removed."""

    checkpoint: Checkpoint
    why: str | None


def export(run: RunReader, result: Result, folder: Path, facts: Mapping[str, Any]) -> Path:
    """Put the checkpoint that `result` is of into `folder`, with `facts` beside it in best.json.

    A copy; its name holds the beginning of its digest. At
    every moment best.json names a whole checkpoint: it is renamed in last, and what it named before
    is removed after that. Returns the exported path.

    Raises `MisuseError` for a folder that holds something else, and `StoreError` when the
    checkpoint is gone or was written again since it was evaluated.
    """
    before = _exported(folder)
    source = _source(run, result)
    digest = str(result.checkpoint.get("digest"))
    name = _name(source.path, digest)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as inside:
        partial = Path(inside) / name
        if not target.exists():
            _bring(source, partial)
            _verify(partial, digest, source.file)
            os.rename(partial, target)
        row = {"format": 1, "file": name, **facts, "exported_ns": time.time_ns()}
        partial = Path(inside) / BEST
        partial.write_text(json.dumps(row, indent=2, allow_nan=False) + "\n")
        os.replace(partial, folder / BEST)
    if before not in {None, name}:
        _remove(folder / str(before))
    return target


def retention(run: RunReader, top: Mapping[str, Sequence[Result]]) -> list[Kept]:
    """Each checkpoint of the run, by step, and why it should stay.

    `top` has the results that are to be kept, by the metric they are best by. A checkpoint could be
    removed when every evaluation that the run has results of has all of its results, it is in none
    of `top`, is not the last, and its name is not used again.
    """
    checkpoints = run.checkpoints()
    results = run.results(strict=False)
    best = {r.checkpoint.get("file"): name for name, each in top.items() for r in each}
    kept = []
    for position, checkpoint in enumerate(checkpoints):
        is_last = position == len(checkpoints) - 1
        missing = _missing(results, checkpoint, position, is_last)
        if is_last:
            why: str | None = "the last one"
        elif checkpoint.file in best:
            why = f"among the best by {best[checkpoint.file]}"
        elif checkpoint.external and is_reused_name(checkpoint.path.name):
            why = "its name is used again"
        elif missing:
            why = f"no result: {', '.join(missing)}"
        else:
            why = None if results else "nothing was evaluated"
        kept.append(Kept(checkpoint, why))
    return kept


# ---------------------------------------------------------------------- export


def _exported(folder: Path) -> str | None:
    """The name in an earlier export's best.json; None for a folder that is empty or not there."""
    if folder.exists() and not folder.is_dir():
        raise MisuseError(f"{folder} is a file; name a folder to export to")
    try:
        found = json.loads((folder / BEST).read_text())
    except FileNotFoundError:
        names = [each for each in os.listdir(folder) if each[0] != "."] if folder.is_dir() else []
        if names:
            raise MisuseError(
                f"{folder} holds {names[0]} and no {BEST}: name an empty folder, or one that an "
                "earlier export made"
            ) from None
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / BEST} cannot be read: {error}") from error
    name = found.get("file") if isinstance(found, dict) else None
    # it may only name what lies beside it
    return name if isinstance(name, str) and name == os.path.basename(name) else None


def _source(run: RunReader, result: Result) -> Checkpoint:
    file = result.checkpoint.get("file")
    for checkpoint in run.checkpoints():
        if checkpoint.file == file and checkpoint.path.exists():
            return checkpoint
    raise StoreError(
        f"the checkpoint {file} of step {result.step} is not there any more: it was removed "
        "after it had been evaluated"
    )


def _verify(path: Path, digest: str, name: str) -> None:
    """Is it what was evaluated, all of it? Asked of what was brought, not of where it lay."""
    whole = examine(path, None, time.time_ns(), lambda: None)
    if not isinstance(whole, Whole):
        raise StoreError(f"{name} cannot be exported: {whole.text}")
    if whole.digest != digest:
        raise StoreError(
            f"{name} was written again after it had been evaluated: what was best is gone"
        )


def _name(path: Path, digest: str) -> str:
    part = re.sub(r"[^0-9a-zA-Z]", "", digest.rpartition(":")[2])[:12] or "unknown"
    return f"{path.stem}-{part}{path.suffix}"


def _bring(source: Checkpoint, target: Path) -> None:
    """A copy: what is exported is the user's to change, and the book must not change with it."""
    if source.path.is_dir():
        shutil.copytree(source.path, target)
    else:
        shutil.copy2(source.path, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# ---------------------------------------------------------------------- retention


def _missing(
    results: Sequence[Result], checkpoint: Checkpoint, position: int, is_last: bool
) -> list[str]:
    """Evaluations whose result of this checkpoint is not there, and should be."""
    missing = []
    for name in sorted({result.evaluation for result in results}):
        of_one = [result for result in results if result.evaluation == name]
        have = {r.subset for r in of_one if r.checkpoint.get("file") == checkpoint.file}
        for lane in lanes(_declared(of_one), position, is_last):
            if lane not in have:
                missing.append(name if lane == "full" else f"{name} (mini)")
    return missing


def _declared(results: Sequence[Result]) -> Declaration:
    """The evaluation's lanes, as its newest result has them."""
    told: Any = max(results, key=lambda r: r.meta.get("ended_ns") or 0).meta.get("lanes")
    if not isinstance(told, dict):
        told = {"mini": 1 if any(result.subset == "mini" for result in results) else None}
    every = told.get("full_every")
    return Declaration(results[0].evaluation, told.get("mini"), every if every else 1)
