"""Checkpoints and their results: one row a checkpoint, with a reason where a result is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from labbook.book.agreement import remarks
from labbook.book.text import clean
from labbook.book.watchers import read_watchers
from labbook.compare.best import ranking
from labbook.compare.gaps import Gap, gap_between
from labbook.direction import direction
from labbook.errors import LabbookError
from labbook.paths import BookPaths
from labbook_tui.models import CheckpointRow, EvaluationsModel, Outcome, Want
from labbook_tui.read.curves import series_curve
from labbook_tui.series import ordered, split

if TYPE_CHECKING:
    from labbook.book.checkpoints import Checkpoint
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = ["best_rows", "build"]

Pair = tuple[str, str]

MOST_GAPS = 200
"""Checkpoints, from the newest, whose differences are read."""
_read_gaps: dict[tuple[str, str, str], Gap | None] = {}


def build(reader: RunReader, want: Want) -> EvaluationsModel:
    """All checkpoints, newest first; results whose checkpoint is gone keep a row of their own.

    `want.detail` names the evaluation and metric whose differences are read.
    """
    results = list(reader.results(strict=False))
    reasons = list(reader.reasons())
    rows = [_row(point, results, reasons) for point in reader.checkpoints()]
    shown = {
        id(r) for point in reader.checkpoints() for r in results if _is_of(r.checkpoint, point)
    }
    rows += _orphans([r for r in results if id(r) not in shown])
    rows.sort(key=lambda row: (row.step is not None, row.step or 0), reverse=True)
    pairs = {
        (name, metric) for row in rows for name, o in row.outcomes.items() for metric in o.metrics
    }
    rank = {name: place for place, name in enumerate(ordered({metric for _, metric in pairs}))}
    metrics = tuple(sorted(pairs, key=lambda pair: (pair[0], rank[pair[1]])))
    curves = tuple(series_curve(reader, name) for name in _training_names(reader.names(), metrics))
    best = best_rows(rows, metrics, results)
    compared = want.detail[:2] if want.detail in metrics else metrics[0] if metrics else None
    pair = (compared[0], compared[1]) if compared else None
    return EvaluationsModel(
        reader.summary(),
        tuple(rows),
        metrics,
        best,
        curves,
        pair,
        _gaps(rows, pair, best, results) if pair else {},
        tuple(clean(line) for line in remarks(results)),
        tuple(read_watchers(BookPaths(reader.paths.root.parent.parent))),
    )


def _lane(result: Result) -> str:
    """The evaluation; with `*` where it saw the mini set only, as that is another metric."""
    return clean(result.evaluation) + ("*" if result.subset == "mini" else "")


def _training_names(names: list[str], metrics: tuple[tuple[str, str], ...]) -> list[str]:
    """The training series with the name of the first metric."""
    if not metrics:
        return []
    wanted = split(metrics[0][1])[1]
    return [name for name in ordered(names) if split(name)[1] == wanted][:2]


def _is_of(about: dict[str, Any], point: Checkpoint) -> bool:
    """Whether a record names this checkpoint.

    Digests decide where both are of one scheme (`sha256:` is of the bytes, `zip:` of what is in
    them); else the file and, for one that has been moved, the step.
    """
    mine, theirs = str(point.digest or ""), str(about.get("digest") or "")
    if ":" in mine and mine.partition(":")[0] == theirs.partition(":")[0]:
        return mine == theirs and about.get("step") in {None, point.step}
    if about.get("file"):
        return bool(about["file"] == point.file)
    return point.step is not None and about.get("step") == point.step


def _row(point: Checkpoint, results: list[Result], reasons: list[dict[str, Any]]) -> CheckpointRow:
    mine = sorted(
        (r for r in results if _is_of(r.checkpoint, point)),
        key=lambda r: (r.subset == "full", r.meta.get("ended_ns") or 0),
    )
    outcomes = {_lane(r): _outcome(r) for r in mine}
    reason = "" if outcomes else "no result yet: start one with labbook watch evaluation.py"
    for found in reasons:
        same = _is_of(found.get("checkpoint") or {}, point)
        lane = f"{found.get('evaluation')}{'*' if found.get('subset') == 'mini' else ''}"
        if same and lane not in outcomes:
            tries = found.get("attempts") or 0
            again = f" (tried {tries} times)" if tries > 1 else ""
            reason = clean(f"{found.get('state', 'waiting')}: {found.get('reason', '')}{again}")
    name = clean(os.path.basename(point.file))
    path = clean(str(point.path))
    return CheckpointRow(point.step, name, point.size, point.time_ns, outcomes, reason, path)


def _orphans(results: list[Result]) -> list[CheckpointRow]:
    by_step: dict[tuple[int | None, str], list[Result]] = {}
    for result in results:
        name = clean(os.path.basename(str(result.checkpoint.get("file") or result.key)))
        by_step.setdefault((result.step, name), []).append(result)
    return [
        CheckpointRow(
            step,
            name,
            int(found[0].checkpoint.get("size") or 0),
            None,
            {_lane(r): _outcome(r) for r in found},
            "",
        )
        for (step, name), found in by_step.items()
    ]


def _outcome(result: Result) -> Outcome:
    broken, code = result.meta.get("n_nonfinite") or {}, result.meta.get("code")
    return Outcome(
        {clean(name): float(value) for name, value in result.metrics.items() if value is not None},
        {clean(name): float(value) for name, value in result.stderr.items() if value is not None},
        result.n_examples,
        result.n_expected,
        result.subset,
        result.coverage,
        sum(int(count) for count in broken.values()) if isinstance(broken, dict) else 0,
        tuple(clean(text) for text in result.meta.get("warnings") or ()),
        result.key,
        clean(code.get("mode") or "") if isinstance(code, dict) else "",
    )


def best_rows(
    rows: list[CheckpointRow], metrics: tuple[Pair, ...], results: list[Result]
) -> dict[Pair, int]:
    """The row that `labbook best` takes, for each metric whose name says which way is better."""
    best: dict[Pair, int] = {}
    for name, metric in metrics:
        if direction(metric) is None:
            continue
        subset = "mini" if name.endswith("*") else "full"
        try:
            ranked = ranking(results, metric, evaluation=name.removesuffix("*"), subset=subset)
        except LabbookError:  # a name that had to be cleaned: nothing is claimed about it
            continue
        key = ranked.best.key if ranked.best is not None else None
        places = [i for i, row in enumerate(rows) if name in row.outcomes]
        for place in places:
            if rows[place].outcomes[name].key == key:
                best[(name, metric)] = place
    return best


def _gaps(
    rows: list[CheckpointRow], pair: Pair, best: dict[Pair, int], results: list[Result]
) -> dict[int, tuple[Gap | None, Gap | None]]:
    """Paired differences of the newest rows; each is read once, results never change."""
    name, metric = pair
    by_key = {(_lane(r), r.key): r for r in results}
    held = [
        (place, by_key[(name, row.outcomes[name].key)])
        for place, row in enumerate(rows)
        if name in row.outcomes and metric in row.outcomes[name].metrics
    ]
    top = next((result for place, result in held if place == best.get(pair)), None)
    found: dict[int, tuple[Gap | None, Gap | None]] = {}
    for at, (place, result) in enumerate(held[:MOST_GAPS]):
        before = held[at + 1][1] if at + 1 < len(held) else None
        found[place] = (_gap(result, before, metric), _gap(result, top, metric))
    return found


def _gap(a: Result, b: Result | None, metric: str) -> Gap | None:
    if b is None or a is b or a.meta.get("data_digest") != b.meta.get("data_digest"):
        return None
    at = (str(a.path), str(b.path), metric)
    if at not in _read_gaps:
        if len(_read_gaps) > 50 * MOST_GAPS:
            _read_gaps.clear()
        _read_gaps[at] = gap_between(a, b, metric)[0]
    return _read_gaps[at]
