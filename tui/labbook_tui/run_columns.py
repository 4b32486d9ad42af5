"""The columns of the runs table: which there are for a book, and what stands in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.marks import Marks
from labbook_tui.models import RunsModel
from labbook_tui.palette import Ink
from labbook_tui.series import is_loss, is_validation, lower_is_better
from labbook_tui.states import age, last_step, mark, took
from labbook_tui.table import Cell, Column
from labbook_tui.text import decimals, fixed, grouped, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

    RunColumn = Column[RunSummary]

__all__ = ["primary_series", "run_columns", "sort_key"]

ARGUMENTS_FIRST = 12
SERIES_MOST = 6


def sort_key(value: object) -> tuple[int, float, str]:
    """Orders numbers before texts, and both before what is missing or NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return (2, 0.0, "")
    if isinstance(value, bool | int | float):
        return (0, float(value), "")
    return (1, 0.0, value_text(value))


def primary_series(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Series for the first columns (validation loss, training loss, a metric), and the rest."""
    losses = [name for name in names if is_loss(name)]
    validation = [name for name in losses if is_validation(name)][:1]
    training = [name for name in losses if not is_validation(name)][:1]
    metrics = [n for n in names if not is_loss(n) and lower_is_better(n) is not None][:1]
    chosen = validation + training + metrics or list(names[:1])
    return chosen, [name for name in names if name not in chosen]


def run_columns(model: RunsModel, ink: Ink, marks: Marks) -> list[RunColumn]:
    """Mark, state, name and dirty mark stay; then values, results, arguments that differ, the
    rest."""
    first, rest = primary_series(model.series)
    columns = [_mark_column(ink, marks), *_fixed_columns(ink)]
    for place, name in enumerate(first):
        columns += _series_columns(name, model, ink, with_best=place == 0)
    columns += [_result_column(pair, model, ink) for pair in model.metrics[:4]]
    columns += [_argument_column(name, model, ink) for name in model.differing[:ARGUMENTS_FIRST]]
    for name in rest[: SERIES_MOST - len(first)]:
        columns += _series_columns(name, model, ink, with_best=False)
    return [*columns, *_last_columns(model, ink)]


def _mark_column(ink: Ink, marks: Marks) -> RunColumn:
    def cell(run: RunSummary) -> Cell:
        index = marks.index(run.id)
        star = "*" if run.id == marks.baseline else ""
        if index is None:
            return star, ink.of("text", "b")
        return marks.letter(run.id) + star, ink.series(index, "b")

    return Column("mark", "", cell, least=2, most=2, spacer=0)


def _fixed_columns(ink: Ink) -> list[RunColumn]:
    dim, warn = ink.of("dim"), ink.of("warn", "b")

    def dirty(run: RunSummary) -> Cell:
        if run.dirty is None:
            return ("", None)
        return (ink.glyphs.dirty, warn) if run.dirty else ("", None)

    def step(run: RunSummary) -> Cell:
        last = last_step(run)
        return (grouped(last) if last is not None else "–", None if last is not None else dim)

    return [
        Column("state", "state", lambda run: mark(run.state, ink), sort=lambda run: run.state),
        Column(
            "name",
            "name",
            lambda run: (clean(run.name), ink.of("text", "b")),
            most=28,
            least=12,
            sort=lambda run: run.name.lower(),
            spacer=1,
        ),
        Column("dirty", "", dirty, least=1),
        Column(
            "age",
            "age",
            lambda run: (age(run), dim),
            right=True,
            least=3,
            sort=lambda run: -(run.created_ns or 0),
        ),
        Column("step", "step", step, right=True, sort=last_step),
    ]


def _last_columns(model: RunsModel, ink: Ink) -> list[RunColumn]:
    """Facts that are mostly alike; a column that would say nothing is left out."""
    dim = ink.of("dim")
    has_tags = any(run.tags for run in model.rows)
    has_hosts = len({run.host for run in model.rows}) > 1
    columns: list[RunColumn] = [
        Column("took", "took", lambda run: (took(run), dim), right=True),
        Column(
            "commit",
            "commit",
            lambda run: (clean(run.commit or "–")[:7], dim),
            sort=lambda r: r.commit,
        ),
        Column(
            "tags",
            "tags",
            lambda run: (clean(" ".join(run.tags)), dim),
            sort=lambda r: " ".join(r.tags),
        ),
        Column("host", "host", lambda run: (clean(run.host or "–"), dim), sort=lambda r: r.host),
        Column("id", "id", lambda run: (clean(run.id), dim), most=32, sort=lambda r: r.id),
    ]
    hidden = ({"tags"} if not has_tags else set()) | ({"host"} if not has_hosts else set())
    return [column for column in columns if column.key not in hidden]


def _value_column(
    key: str, title: str, value: Callable[[RunSummary], float | None], places: int, ink: Ink
) -> RunColumn:
    dim, bad = ink.of("dim"), ink.of("bad")

    def cell(run: RunSummary) -> Cell:
        found = value(run)
        style = dim if found is None else bad if math.isnan(found) else None
        return fixed(found, places), style

    return Column(key, title, cell, right=True, most=16, least=5, sort=value)


def _series_columns(name: str, model: RunsModel, ink: Ink, with_best: bool) -> list[RunColumn]:
    def last(run: RunSummary) -> float | None:
        stat = run.stats.get(name)
        return stat.last if stat else None

    places = decimals(last(run) for run in model.rows[:200])
    columns = [_value_column(name, clean(name), last, places, ink)]
    lower = lower_is_better(name)
    if not with_best or lower is None:
        return columns

    def best(run: RunSummary) -> float | None:
        stat = run.stats.get(name)
        return (stat.min if lower else stat.max) if stat else None

    return [*columns, _value_column(f"best.{name}", "best", best, places, ink)]


def _result_column(pair: tuple[str, str], model: RunsModel, ink: Ink) -> RunColumn:
    evaluation, metric = pair

    def value(run: RunSummary) -> float | None:
        return run.results.get(evaluation, {}).get(metric)

    title = clean(metric)
    if len({name for name, _ in model.metrics}) > 1:
        title = f"{clean(evaluation)[:10]} {title}"
    elif metric in model.series:
        title = f"eval {title}"
    places = decimals(value(run) for run in model.rows[:200])
    return _value_column(f"{evaluation}/{metric}", title, value, places, ink)


def _argument_column(name: str, model: RunsModel, ink: Ink) -> RunColumn:
    def cell(run: RunSummary) -> Cell:
        if name not in run.arguments:
            return "–", ink.of("dim")
        return clean(value_text(run.arguments[name])), None

    leaf = name.rsplit(".", 1)[-1]
    is_unique = sum(other.rsplit(".", 1)[-1] == leaf for other in model.differing) == 1
    short = clean(leaf if is_unique else name)
    values = (run.arguments[name] for run in model.rows[:200] if name in run.arguments)
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return Column(
        f"args.{name}",
        short,
        cell,
        right=is_number,
        most=16,
        sort=lambda run: run.arguments.get(name),
    )
