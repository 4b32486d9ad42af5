"""`labbook best`: which checkpoint is the best, by how much, and what that means for the others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.tables import Column, render, terminal_width
from labbook.cli.wording import bytes_text, number_text
from labbook.errors import MisuseError, StoreError

if TYPE_CHECKING:
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader
    from labbook.compare.best import Best
    from labbook.compare.gaps import Gap
    from labbook.watch.keep import Kept

__all__ = ["best", "standings"]


@click.command()
@click.argument("run")
@click.option("--metric", "-m", help="As in accuracy, or validation.accuracy.")
@click.option("--evaluation", help="Where several evaluations have the metric.")
@click.option("--mode", type=click.Choice(["auto", "min", "max"]), default="auto",
              show_default=True, help="What is better; auto: by the metric's name.")  # fmt: skip
@click.option("--subset", type=click.Choice(["full", "mini"]),
              help="Which results (default: full, or mini where there are none).")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True,
              help="How many checkpoints are shown, or kept by --retention.")  # fmt: skip
@click.option("--export", "folder", type=click.Path(path_type=Path), metavar="DIR",
              help="Put the best checkpoint there, with best.json beside it.")  # fmt: skip
@click.option("--retention", is_flag=True,
              help="Say which checkpoints could be removed; removes nothing.")  # fmt: skip
@json_option
@book_option
def best(
    *,
    book: str | None,
    run: str,
    metric: str | None,
    evaluation: str | None,
    mode: str,
    subset: str | None,
    top: int,
    folder: Path | None,
    retention: bool,
    as_json: bool,
) -> None:
    """Show the best checkpoint of RUN by an evaluation's metric.

    \b
    The next best are compared with it over the same examples: a difference whose
    95 % interval holds zero is noise. Results on the mini set and on the full set
    are never ranked together; of equal values the earliest step is the best.
    """
    from labbook.compare.best import best as best_of

    reader = open_here(book).run(run)
    asked = metric or _only_metric(reader, evaluation)
    found = best_of(reader, asked, evaluation=evaluation, mode=mode, subset=subset, top=top)
    exported = _export(reader, found, folder) if folder is not None else None
    kept = _retention(reader, found, top) if retention else None
    if as_json:
        echo_json(_as_object(reader, found, exported, kept))
        return
    for line in _lines(found, top):
        click.echo(line)
    if exported is not None:
        click.echo(f"exported to {clean(exported)}")
    for line in _retention_lines(kept) if kept is not None else ():
        click.echo(line)


def _only_metric(reader: RunReader, evaluation: str | None) -> str:
    """The metric that is meant when none is named: an accuracy, else a loss, when that is clear."""
    from labbook.direction import direction

    results = [
        result for result in reader.results(strict=False) if evaluation in {None, result.evaluation}
    ]
    names = sorted({f"{r.evaluation}.{m}" for r in results for m in r.metrics})
    if not names:
        raise StoreError("no checkpoint of this run has a result yet; `labbook watch` makes them")
    told = [name for name in names if direction(name) == "max"]
    told = told or [name for name in names if direction(name) == "min"]
    if len(told) != 1:
        raise MisuseError(f"name a metric with --metric; there are {', '.join(names)}")
    return told[0]


# ---------------------------------------------------------------------- text


def _lines(found: Best, top: int) -> list[str]:
    ranked = found.ranking
    more = "more" if ranked.mode == "max" else "less"
    n_left = len(ranked.results) - top
    head = (
        f"{ranked.evaluation}.{ranked.metric} on the {ranked.subset} set, {more} is better, "
        f"{len(ranked.results)} checkpoint{'s' if len(ranked.results) != 1 else ''}"
    )
    lines = [clean(head), "", *_table(found, ranked.results[:top])]
    if n_left > 0:
        lines.append(f"… and {n_left} more (--top {len(ranked.results)})")
    lines += ["", *_verdict(found)]
    return [*lines, *(clean(f"({note})") for note in ranked.notes)]


def _table(found: Best, shown: tuple[Result, ...]) -> list[str]:
    ranked = found.ranking
    gaps: list[Gap | None] = [None, *found.gaps, *([None] * len(shown))]
    texts = [_gap_text(gap, at == 0) for at, gap in enumerate(gaps[: len(shown)])]
    if ranked.best is None:
        texts = ["" for _ in shown]
    columns = [
        Column("step", [number_text(r.step) for r in shown], is_number=True),
        Column(ranked.metric, [_value(ranked.value(r)) for r in shown], is_number=True),
        Column("± stderr", [_error(r, ranked.metric) for r in shown], is_number=True),
        Column("examples", [number_text(r.n_examples) for r in shown], rank=1, is_number=True),
        Column("minus the best", texts),
        Column("file", [str(r.checkpoint.get("file")) for r in shown], rank=2, can_shrink=True),
    ]
    return render(columns, terminal_width())[0]


def _value(value: float) -> str:
    return number_text(value) if math.isfinite(value) else "not finite"


def _error(result: Result, metric: str) -> str:
    return number_text(_finite(result.stderr.get(metric)))


def _gap_text(gap: Gap | None, is_best: bool) -> str:
    if is_best:
        return "best"
    if gap is None:
        return "-"
    spread = "" if gap.stderr is None else f" ± {gap.stderr:.2g}"
    return f"{gap.difference:+.3g}{spread}{' (noise)' if gap.is_noise else ''}"


def _verdict(found: Best) -> list[str]:
    ranked, first = found.ranking, found.ranking.best
    if first is None:
        return [clean(f"no result has a finite {ranked.metric}: there is no best")]
    at = f"step {first.step}" if first.step is not None else first.checkpoint.get("file")
    value = ranked.value(first)
    ties = sum(ranked.value(result) == value for result in ranked.results) - 1
    lines = [clean(f"best: {at}, {ranked.metric} {number_text(value)}")]
    if ties:
        lines.append(f"{ties} more with the same value; the earliest step is taken")
    if found.within_noise:
        steps = ", ".join(number_text(result.step) for result in found.within_noise)
        n = next(gap.n for gap in found.gaps if gap is not None)
        plural = "s" if len(found.within_noise) > 1 else ""
        lines.append(f"within noise of it, over the same {n} examples (95 %): step{plural} {steps}")
    elif found.gaps and all(gap is not None for gap in found.gaps):
        lines.append("better than each of the next by more than noise (95 %, paired)")
    if found.why is not None:
        lines.append(clean(f"not compared by example: {found.why}"))
    return lines


def _retention_lines(kept: list[Kept]) -> list[str]:
    removable = [each for each in kept if each.why is None]
    size = sum(each.checkpoint.size or 0 for each in removable)
    columns = [
        Column("step", [number_text(each.checkpoint.step) for each in kept], is_number=True),
        Column("size", [bytes_text(each.checkpoint.size) for each in kept], rank=1, is_number=True),
        Column("advice", ["could be removed" if e.why is None else "keep" for e in kept]),
        Column("why", [each.why or "evaluated, and not needed" for each in kept]),
        Column("file", [each.checkpoint.file for each in kept], rank=2, can_shrink=True),
    ]
    lines = render(columns, terminal_width())[0] if kept else ["no checkpoints"]
    end = f"{len(removable)} of {len(kept)} could be removed, {bytes_text(size)}; nothing was"
    return ["", *lines, "", end]


# ---------------------------------------------------------------------- what is done


def _export(reader: RunReader, found: Best, folder: Path) -> str:
    from labbook.watch.keep import export

    first = found.ranking.best
    if first is None:
        raise StoreError(f"no result has a finite {found.ranking.metric}: nothing to export")
    facts = {"run": reader.id, **_facts(found), **_result(found, first)}
    return str(export(reader, first, folder, facts))


def _retention(reader: RunReader, found: Best, top: int) -> list[Kept]:
    from labbook.watch.keep import retention

    ranked = found.ranking
    name = f"{ranked.evaluation}.{ranked.metric}"
    finite = [result for result in ranked.results if math.isfinite(ranked.value(result))]
    return retention(reader, {name: finite[:top]})


# ---------------------------------------------------------------------- JSON


def _as_object(
    reader: RunReader, found: Best, exported: str | None, kept: list[Kept] | None
) -> dict[str, Any]:
    ranked = found.ranking
    gaps: list[Gap | None] = [None, *found.gaps, *([None] * len(ranked.results))]
    rows = [
        {**_result(found, result), "against_best": _gap_object(gap)}
        for result, gap in zip(ranked.results, gaps, strict=False)
    ]
    whole: dict[str, Any] = {"run": reader.id, **_facts(found), "results": rows}
    if exported is not None:
        whole["exported"] = exported
    if kept is not None:
        whole["retention"] = [
            {
                "file": each.checkpoint.file,
                "step": each.checkpoint.step,
                "size": each.checkpoint.size,
                "could_be_removed": each.why is None,
                "why": each.why,
            }
            for each in kept
        ]
    return whole


def standings(results: list[Result]) -> list[dict[str, Any]]:
    """The best of each metric whose name says what is better, as `show --json` has it, and the
    newest result's difference to the best before it."""
    from labbook.compare.best import last_against_best

    found = []
    for standing in last_against_best(results):
        ranked, first = standing.ranking, standing.ranking.best
        if first is None:
            continue
        found.append(
            {
                "evaluation": ranked.evaluation,
                "metric": ranked.metric,
                "mode": ranked.mode,
                "subset": ranked.subset,
                "best_step": first.step,
                "value": _finite(ranked.value(first)),
                "stderr": _finite(first.stderr.get(ranked.metric)),
                "newest_step": standing.newest.step,
                "previous_best_step": None if standing.before is None else standing.before.step,
                "against_previous_best": _gap_object(standing.gap),
            }
        )
    return found


def _facts(found: Best) -> dict[str, Any]:
    ranked = found.ranking
    return {
        "evaluation": ranked.evaluation,
        "metric": ranked.metric,
        "mode": ranked.mode,
        "subset": ranked.subset,
        "best_step": None if ranked.best is None else ranked.best.step,
        "within_noise": [result.step for result in found.within_noise],
        "not_compared": found.why,
        "notes": list(ranked.notes),
    }


def _result(found: Best, result: Result) -> dict[str, Any]:
    metric = found.ranking.metric
    return {
        "step": result.step,
        "value": _finite(found.ranking.value(result)),
        "stderr": _finite(result.stderr.get(metric)),
        "n_examples": result.n_examples,
        "checkpoint": result.checkpoint.get("file"),
        "digest": result.checkpoint.get("digest"),
        "key": result.key,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _gap_object(gap: Gap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    return {
        "difference": gap.difference,
        "stderr": gap.stderr,
        "low": gap.low,
        "high": gap.high,
        "n": gap.n,
        "is_noise": gap.is_noise,
    }
