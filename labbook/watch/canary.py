"""An old result made again: does this worker still find what was found?

A worker's first look at a lane takes the earliest result on record that was made by the same code,
arguments, data and settings, loads its checkpoint where that still lies there, and compares the
rows of the first batch. Where they differ, something changed that no key knows of: a driver, a
library, the device, a file that the code reads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from labbook.book.results import Result, Results
from labbook.paths import RunPaths
from labbook.watch.closeness import differing
from labbook.watch.complete import Whole, examine
from labbook.watch.findings import Report
from labbook.watch.rows import Collector, Rows
from labbook.watch.session import Session, Work

__all__ = ["look_again"]


def look_again(
    session: Session, paths: RunPaths, subset: str, same: Mapping[str, Any], report: Report
) -> None:
    """Add what is found to `report`. `same` is what the old result's metadata must agree with.

    Loads other weights into the model: the next checkpoint is loaded anew anyway.
    """
    if session.has_own_loop:
        return
    context = session.context
    before = context.checkpoint, context.step
    try:
        old = _earliest(paths, session.declared.name, subset, same)
        if old is not None:
            _compare(session, *old, report)
    except Exception as error:  # the border to the user's code: a look must not cost a result
        report.not_run["drift"] = f"{type(error).__name__}: {error}"[:300]
    finally:
        context.checkpoint, context.step = before


def _earliest(
    paths: RunPaths, evaluation: str, subset: str, same: Mapping[str, Any]
) -> tuple[Result, Path, Whole] | None:
    results = Results(paths)
    results.refresh()
    for result in results.all():
        is_ours = result.evaluation == evaluation and result.subset == subset
        if not is_ours or result.meta.get("metrics_source") == "told" or not _agrees(result, same):
            continue
        # neither dots nor links lead out of the run's folder
        path = Path(os.path.realpath(paths.root / str(result.checkpoint.get("file"))))
        if not path.is_relative_to(os.path.realpath(paths.checkpoints)) or not path.exists():
            continue
        whole = examine(path, None, time.time_ns(), lambda: None)
        if isinstance(whole, Whole) and whole.digest == result.checkpoint.get("digest"):
            return result, path, whole
    return None


def _agrees(result: Result, same: Mapping[str, Any]) -> bool:
    code, settings = result.meta.get("code"), result.meta.get("settings")
    if not isinstance(code, dict) or not isinstance(settings, dict):
        return False
    told = {
        "code": code.get("digest"),
        "arguments_digest": result.meta.get("arguments_digest"),
        "data_digest": result.meta.get("data_digest"),
        "batch_size": settings.get("batch_size_used"),
        "weights": settings.get("weights"),
        "seed": settings.get("seed"),
    }
    return all(told[name] == value for name, value in same.items())


def _compare(session: Session, old: Result, path: Path, whole: Whole, report: Report) -> None:
    session.load(Work(path, whole.kind, old.subset, old.step))
    session.to_eval()
    session.seed()
    expected = session.expected(old.subset)
    size = old.meta["settings"]["batch_size_used"]
    collector = Collector(session.declared.name)
    with torch.inference_mode():
        ids, batch = next(session.batches(expected, size))
        collector.add(ids, session.step(batch))
    report.n_batches += 1
    found = differing(_rows(old.rows()), collector.finish(), report.tolerance)
    if found is not None:
        report.add(
            "drift",
            f"step {old.step} evaluated again gives other rows than those on record: {found}. "
            f"They were made on {old.meta.get('device')} of {old.meta.get('host')}; the driver, a "
            "library, the device or a file that the code reads is not what it was",
            found.column,
        )


def _rows(table: pa.Table) -> Rows:
    """Columns with one value an example; vectors are left out."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        kind = table.column(name).type
        if pa.types.is_string(kind):
            columns[name] = table.column(name).to_pylist()
        elif name != "example" and not pa.types.is_nested(kind):
            columns[name] = table.column(name).to_numpy()
    return Rows(np.asarray(table.column("example").to_numpy(), dtype=np.int64), columns)
