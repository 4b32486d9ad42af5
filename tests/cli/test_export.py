from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def test_every_series_as_parquet(lab, tmp_path):
    path = tmp_path / "first.parquet"
    result = lab.labbook("export", "first", "-o", str(path))
    assert result.exit_code == 0, result.output
    table = pq.read_table(path)
    assert table.column_names == ["step", "time", "name", "value"]
    loss = pl.read_parquet(path).filter(pl.col("name") == "loss")
    assert loss["value"].to_list() == [1 / (step + 1) + 0.1 for step in range(100)]
    assert pd.read_parquet(path).shape == (201, 4)
    assert result.stderr == f"{path}: 201 rows\n"


def test_csv_to_a_pipe_keeps_every_digit(lab):
    lines = lab.labbook("export", "first", "--series", "loss").stdout.splitlines()
    assert lines[0] == '"step","time","name","value"'
    assert [float(line.split(",")[3]) for line in lines[1:]] == [
        1 / (step + 1) + 0.1 for step in range(100)
    ]


def test_several_runs_have_a_column_run(lab):
    result = lab.labbook("export", "first", "gone", "--series", "loss", "--format", "jsonl")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len({row["run"] for row in found}) == 2
    assert len(found) == 200


def test_the_run_table(lab, tmp_path):
    path = tmp_path / "runs.csv"
    lab.labbook("export", "--runs", "--where", "state=finished", "--sort", "lr", "-o", str(path))
    table = pd.read_csv(path)
    assert table["name"].to_list() == ["second", "first"]
    assert {"id", "state", "args.lr", "last.loss"} <= set(table.columns)


def test_the_run_table_in_markdown(lab):
    result = lab.labbook("export", "--runs", "--format", "markdown", "--limit", "1")
    head, rule, *body = result.stdout.splitlines()
    assert head.startswith("| id | name | state |")
    assert set(rule) <= set("|-: ")
    assert len(body) == 1


def test_arrow_and_events(lab, tmp_path):
    path = tmp_path / "events.arrow"
    assert lab.labbook("export", "first", "--table", "events", "-o", str(path)).exit_code == 0
    with pa.ipc.open_file(path) as file:
        assert {"time", "kind", "text"} <= set(file.read_all().column_names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "export wants either runs (`labbook export RUN`) or --runs"),
        (["first", "--runs"], "export wants either runs (`labbook export RUN`) or --runs"),
        (["first", "--sort", "lr"], "--where, --sort, --limit and --group-by go with --runs"),
        (["first", "-o", "x.xlsx"], "the suffix of 'x.xlsx' names no format: use .csv, "),
        (["first", "--series", "los"], "has no series 'los'; it has diverged, loss, val/acc"),
        (["first", "--table", "chosen"], "has no chosen set 'chosen'; it followed none"),
        (["first", "--table", "rows"], "has no results to take rows from"),
    ],
)
def test_misuse_is_said_in_one_line(lab, arguments, message):
    result = lab.labbook("export", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_cannot_be_written_is_named(lab, tmp_path):
    path = tmp_path / "missing" / "loss.csv"
    result = lab.labbook("export", "first", "-o", str(path))
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path} could not be written: No such file or directory\n"


def test_a_failed_export_leaves_the_old_file_and_no_scrap(lab, tmp_path):
    path = tmp_path / "loss.csv"
    path.write_text("old")
    assert lab.labbook("export", "first", "--series", "nope", "-o", str(path)).exit_code == 2
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["loss.csv"]
