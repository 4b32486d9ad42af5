"""Folds, orders, columns and the survey of runs: pure functions."""

from __future__ import annotations

import dataclasses
import math

import pytest

from labbook.book.fields import Fields
from labbook.book.stats import Stat
from labbook.book.summary import RunSummary, unreadable_run
from labbook_tui.arranging import arranged, sort_key
from labbook_tui.fold_cells import FoldCells
from labbook_tui.folding import Fold, Spread, common, fold, fold_key, spread
from labbook_tui.marks import Marks
from labbook_tui.models import RunsModel
from labbook_tui.palette import Ink
from labbook_tui.read.survey import Survey
from labbook_tui.run_columns import RunColumns
from labbook_tui.states import quiet_mark, state_line
from labbook_tui.table import Cell
from labbook_tui.text import on_the_point, point_of


def run(number: int = 0, **fields: object) -> RunSummary:
    plain = dataclasses.replace(
        unreadable_run(f"20260101-000000-{number:06x}", OSError("")),
        name=f"vit-{number}",
        state="finished",
        created_ns=10**18 + number,
        commit="8dde4c6",
        dirty=(),
        arguments={"optim.lr": 0.001, "seed": number},
        stats={"loss": Stat(last=0.5 + number, step=9, min=0.25, max=2.0, count=9)},
    )
    return dataclasses.replace(plain, **fields)  # type: ignore[arg-type]


def model_of(*runs: RunSummary) -> RunsModel:
    survey = Survey()
    survey.update(runs)
    fields = Fields.named(survey.arguments, survey.series, survey.metrics, survey.texts)
    series, metrics = tuple(survey.series), tuple(survey.metrics)
    return RunsModel(runs, tuple(survey.differing), series, metrics, fields)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"arguments": {"optim.lr": 0.001, "seed": 77}}, True),
        ({"name": "other"}, True),
        ({"arguments": {"optim.lr": 0.01, "seed": 1}}, False),
        ({"arguments": {"optim.lr": "0.001", "seed": 1}}, False),
        ({"arguments": {"seed": 1}}, False),
        ({"commit": "1234567"}, False),
        ({"dirty": ("train.py",)}, False),
        ({"group": "other"}, False),
    ],
)
def test_what_folds_together(change: dict[str, object], is_same: bool) -> None:
    assert (fold_key(run(1)) == fold_key(run(2, **change))) is is_same


@pytest.mark.parametrize("name", ["seed", "train.seed", "data-seed", "seed_torch", "random_state"])
def test_names_of_seeds(name: str) -> None:
    assert fold_key(run(1, arguments={name: 1, "a": 1})) == fold_key(
        run(2, arguments={name: 2, "a": 1})
    )


def test_runs_without_arguments_never_fold() -> None:
    rows = fold([run(1, arguments={}), run(2, arguments={})], set())
    assert len(rows) == 2


def test_a_spread_is_over_what_was_measured() -> None:
    assert spread([1.0, None, 3.0]) == Spread(2.0, math.sqrt(2), 2)
    assert spread([5.0, None]) == Spread(5.0, None, 1)
    assert spread([None]) is None
    diverged = spread([1.0, math.nan])
    assert diverged is not None
    assert math.isnan(diverged.mean)
    assert diverged.deviation is None


def test_what_a_fold_has_in_common() -> None:
    row = Fold("k", (run(1), run(2)))
    assert common(row, lambda r: r.state) == "finished"
    assert common(row, lambda r: r.name) is None
    assert common(row, lambda r: r.stats["loss"].last) == 2.0
    assert row.name == "vit…"


def test_missing_and_nan_come_last_either_way() -> None:
    values = {0: 2.0, 1: None, 2: math.nan, 3: 1.0}
    runs = [run(n) for n in values]
    for is_down, expected in ((False, [3, 0, 1, 2]), (True, [0, 3, 1, 2])):
        rows, count = arranged(runs, by=lambda r: values[r.arguments["seed"]], is_down=is_down)
        assert [row.arguments["seed"] for row in rows] == expected  # type: ignore[union-attr]
        assert count == 4
    assert sort_key(1) < sort_key("a") < sort_key(None)


def test_an_open_fold_is_followed_by_its_runs() -> None:
    runs = [run(3), run(2), run(1, arguments={"optim.lr": 1.0})]
    key = fold_key(runs[0])
    assert key is not None
    rows, count = arranged(runs, folds=fold_key, opened={key})
    assert [row.name for row in rows] == ["vit…", "vit-3", "vit-2", "vit-1"]
    assert count == 3


def test_the_survey_forgets_what_changed_or_is_gone() -> None:
    survey = Survey()
    first, second = run(1), run(2, arguments={"optim.lr": 0.1, "only": 1}, dirty=("a.py",))
    survey.update([first, second])
    assert set(survey.differing) == {"optim.lr", "seed", "only"}
    assert survey.n_dirty == 1
    changed = dataclasses.replace(second, arguments={"optim.lr": 0.001, "seed": 1}, dirty=())
    survey.update([first, changed])
    assert survey.differing == []
    assert survey.arguments == ["optim.lr", "seed"]
    assert survey.n_dirty == 0
    survey.update([])
    assert (survey.arguments, survey.series, survey.texts) == ([], [], {})


def test_a_fold_says_how_many_were_measured() -> None:
    model = model_of(run(1), run(2), run(3, stats={}))
    made = RunColumns(model, Ink(), Marks(), {}, is_folded=True)
    column = made.column("last.loss")
    assert column is not None
    assert column.cell(Fold("k", model.rows))[0].strip() == "2.000 ±0.707 n=2"
    assert column.value is not None
    assert column.value(Fold("k", model.rows)) == 2.0
    assert column.value(model.rows[2]) is None


def test_every_known_column_can_be_made_and_drawn() -> None:
    model = model_of(
        run(1, results={"val": {"accuracy": 0.9}}),
        unreadable_run("20260101-000000-abcdef", OSError()),
    )
    for is_folded in (False, True):
        made = RunColumns(model, Ink(), Marks(), {}, is_folded)
        for column in made.columns(made.known()):
            for row in (*model.rows, Fold("k", model.rows)):
                assert isinstance(column.cell(row)[0], str)
                if column.value is not None:
                    column.value(row)
        assert len(made.columns(made.known())) == len(made.known()) + 4
        assert made.column("last.nothing") is None


def test_a_live_run_says_when_it_is_silent() -> None:
    import time

    now = time.time_ns()
    assert quiet_mark(run(state="running", seen_ns=now), Ink())[0] == "● running"
    assert quiet_mark(run(state="running", seen_ns=now - 42 * 10**9), Ink())[0].endswith(" 42s")
    assert quiet_mark(run(state="running", seen_ns=None), Ink())[0] == "● running"
    assert quiet_mark(run(seen_ns=now - 42 * 10**9), Ink())[0] == "✓ finished"


@pytest.mark.parametrize(("seconds", "said"), [(0, "  now  took"), (42, "  42s ago  took")])
def test_when_a_run_ended_is_said_in_words(seconds: int, said: str) -> None:
    import time

    ended = run(ended_ns=time.time_ns() - seconds * 10**9)
    assert said in "".join(part.text for part in state_line(ended, Ink()))


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["0.001", "0.1", "1", "10"], ["0.001", "0.1  ", "1    ", "10    "]),
        (["1", "20"], ["1", "20"]),
        (["0.1", "1e-05", "nan"], ["0.1", "1e-05", "nan"]),
    ],
)
def test_arguments_stand_on_the_point(texts: list[str], shown: list[str]) -> None:
    places = max(map(point_of, texts))
    assert [on_the_point(text, places) for text in texts] == shown


def test_a_fold_is_looked_through_only_when_its_runs_change() -> None:
    cells, made = FoldCells(), []

    def make(row: Fold) -> Cell:
        made.append(row.runs)
        return str(len(row.runs)), None

    first, ink = Fold("k", (run(1), run(2))), Ink()
    for _ in range(2):
        cells.use(ink)
        assert cells.cell("last.loss", first, make) == ("2", None)
    assert cells.cell("args.lr", first, make) == ("2", None)
    assert made == [first.runs] * 2
    changed = Fold("k", (run(1), run(2, state="killed"), run(3)))
    assert cells.cell("last.loss", changed, make) == ("3", None)
    cells.use(Ink(dark=False))  # other styles
    cells.cell("last.loss", changed, make)
    assert made[2:] == [changed.runs] * 2


def test_the_survey_takes_its_time_in_turns() -> None:
    survey, runs = Survey(), [run(n) for n in range(3)]
    assert not survey.update(runs, -1.0)
    assert survey.update(runs)
    assert set(survey.texts) == {one.id for one in runs}
