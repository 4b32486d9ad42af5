"""Every measure against its definition in plain Python, on any history that can be recorded."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labbook import dynamics
from labbook.paths import BookPaths
from tests.dynamics.conftest import Set
from tests.dynamics.making import choose, record
from tests.dynamics.reference import History, example_row, step_row

LOSSES = st.one_of(
    st.sampled_from([0.0, 0.5, 0.5, 1.0]),
    st.floats(0, 100, width=32),
    st.sampled_from([math.nan, math.inf]),
)


@st.composite
def histories(draw: Any) -> History:
    """Class scores of a few examples; some steps miss some of them, some targets are no class."""
    n, n_classes = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    target = draw(st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n))
    if n > 1 and draw(st.booleans()):
        target[0] = -100
    history = History(n, target)
    # in quarters, so that equal scores are common and none is near a probability distribution
    score = st.integers(-8, 8).map(lambda x: x / 4 + 2.5)
    for step in sorted(draw(st.sets(st.integers(0, 50), min_size=1, max_size=6))):
        seen = sorted(draw(st.sets(st.integers(0, n - 1), min_size=1)))
        history.cells[step] = {}
        for example in seen:
            output = draw(st.lists(score, min_size=n_classes, max_size=n_classes))
            cell = {"loss": draw(LOSSES), "output": output}
            cell["prediction"] = output.index(max(output))
            if target[example] >= 0:
                cell["correct"] = cell["prediction"] == target[example]
            history.cells[step][example] = cell
    return history


def recorded(history: History, folder: Path) -> dynamics.Observed:
    root = folder / ".labbook"
    root.mkdir()
    (root / "book.json").write_text('{"format": 1}')
    run = Set(BookPaths(root), "20260101-000000-aaa000")
    journal = run.attempt()
    choose(journal, (np.arange(history.n * 2.0).reshape(-1, 2), np.array(history.target)))
    for step, cells in history.cells.items():
        columns = {
            "loss": np.array([cell["loss"] for cell in cells.values()], np.float32),
            "output": np.array([cell["output"] for cell in cells.values()], np.float32),
        }
        record(journal, step, columns, list(cells))
    return dynamics.read(run.read())


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return (math.isnan(found) and math.isnan(expected)) or found == pytest.approx(
            expected, rel=1e-9, abs=1e-9
        )
    return bool(found == expected)


def check(found: dict[str, Any], expected: dict[str, Any], where: str) -> None:
    wrong = {
        key: (found[key], value) for key, value in expected.items() if not same(found[key], value)
    }
    assert not wrong, f"{where}: (found, expected) {wrong}"


@pytest.mark.timeout(300)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_tables_are_what_the_definitions_say(history):
    with tempfile.TemporaryDirectory() as folder:
        seen = recorded(history, Path(folder))
        examples, steps = dynamics.examples(seen), dynamics.steps(seen)
    assert seen.scores is None or seen.scores.kind == "logits"
    for row in examples.to_pylist():
        check(row, example_row(history, row["example"]), f"example {row['example']}")
    assert steps.column("step").to_pylist() == sorted(history.cells)
    for row in steps.to_pylist():
        check(row, step_row(history, row["step"]), f"step {row['step']}")
    # what changes at the steps is what changes in the examples
    changed = sum(n or 0 for n in examples.column("n_changes").to_pylist())
    assert changed == round(
        sum(
            (1 - row["agreement"]) * _n_with_earlier(history, row["step"])
            for row in steps.to_pylist()
            if row["agreement"] is not None
        )
    )
    assert sum(n or 0 for n in examples.column("forgettings").to_pylist()) == sum(
        n or 0 for n in steps.column("n_forgotten").to_pylist()
    )


def _n_with_earlier(history: History, step: int) -> int:
    return sum(bool(history.before(step, i, "prediction")) for i in history.at(step, "prediction"))
