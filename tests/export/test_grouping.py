"""Runs folded by what they share: means and spreads, and the best in bold."""

import statistics

import pyarrow as pa
import pytest

from labbook.errors import MisuseError
from labbook.export import printed
from labbook.export.grouping import fold, group


@pytest.fixture
def runs():
    return pa.table(
        {
            "id": [f"r{i}" for i in range(6)],
            "args.lr": [0.1, 0.1, 0.1, 0.01, 0.01, None],
            "args.model.width": [64] * 6,
            "args.seed": [0, 1, 2, 0, 1, 0],
            "last.loss": [1.0, 2.0, 4.0, 0.5, None, 9.0],
            "result.validation.accuracy": [0.9, 0.8, 0.85, 0.95, 0.97, 0.1],
            "last.lr": [0.0] * 6,
        }
    )


def test_means_and_sample_deviations_over_the_runs_that_have_a_value(runs):
    rows = group(runs, ["lr"]).to_pylist()
    by_lr = {row["args.lr"]: row for row in rows}
    losses = [1.0, 2.0, 4.0]
    assert by_lr[0.1]["runs"] == 3
    assert by_lr[0.1]["last.loss.mean"] == pytest.approx(statistics.mean(losses))
    assert by_lr[0.1]["last.loss.std"] == pytest.approx(statistics.stdev(losses))
    assert by_lr[0.01]["runs"] == 2
    assert by_lr[0.01]["last.loss.mean"] == 0.5
    assert by_lr[0.01]["last.loss.std"] is None
    assert by_lr[None]["runs"] == 1


def test_a_metric_named_twice_is_one_column(runs):
    once, twice = group(runs, ["width"], ["lr"]), group(runs, ["width"], ["lr", "args.lr"])
    assert once.column_names == twice.column_names


def test_fields_are_found_by_their_last_part(runs):
    assert group(runs, ["width", "lr"]).column_names[:2] == ["args.model.width", "args.lr"]
    with pytest.raises(MisuseError, match="no run has a field 'depth' to group by; arguments: lr"):
        group(runs, ["depth"])


def test_the_best_of_a_column_follows_what_the_metric_is(runs):
    titles, rows, best = fold(group(runs, ["lr"], ["loss", "validation.accuracy", "last.lr"]))
    assert titles == ["args.lr", "runs", "loss", "validation.accuracy", "last.lr"]
    lrs = [row[0] for row in rows]
    assert lrs[best[2]] == "0.01"
    assert lrs[best[3]] == "0.01"
    assert best[4] is None
    assert rows[lrs.index("0.1")][2] == "2.3 ± 1.5"
    assert fold(group(runs, ["lr"], ["loss"]))[0] == ["lr", "runs", "loss"]


def test_markdown_and_latex_show_spread_and_best(runs):
    grouped = group(runs, ["lr"], ["validation.accuracy"])
    assert "**0.960 ± 0.014**" in printed.folded_markdown(grouped)
    latex = printed.folded_latex(grouped)
    assert r"\textbf{0.960 $\pm$ 0.014}" in latex
    assert latex.startswith(r"\begin{tabular}{rrr}")
