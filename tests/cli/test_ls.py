from __future__ import annotations

import json
from dataclasses import replace

from labbook.book.fields import Fields
from labbook.book.reading import Book
from labbook.cli import columns, listing
from labbook.paths import BookPaths


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


def test_lists_newest_first_with_state_dirt_differing_arguments_and_values(lab):
    result = lab.labbook("ls")
    assert result.exit_code == 0, result.output
    head, *runs = rows(result.stdout)
    assert head[:6] == ["id", "state", "name", "age", "took", "dirty"]
    assert {"lr", "model", "then", "loss"} <= set(head)
    assert [run[1:3] for run in runs] == [
        ["killed", "gone"],
        ["failed", "broken"],
        ["finished", "second"],
        ["finished", "first"],
    ]
    assert ["*" in run for run in runs] == [True, True, True, False]
    assert "\x1b" not in result.stdout


def test_arguments_that_do_not_differ_are_left_out(lab):
    head, *_ = rows(lab.labbook("ls", "--where", "name=first or name=second").stdout)
    assert {"lr", "model"} <= set(head)
    assert "then" not in head


def test_where_sort_limit_columns(lab):
    result = lab.labbook(
        "ls",
        "--where",
        "state!=failed",
        "--sort",
        "-lr",
        "--limit",
        "2",
        "--columns",
        "name,lr,dirty",
    )
    assert rows(result.stdout) == [
        ["name", "lr", "dirty"],
        ["gone", "0.5", "true"],
        ["first", "0.1", "false"],
    ]
    assert "… and 1 older runs: --limit 0 lists all" in result.stderr


def test_the_issue_filter(lab):
    result = lab.labbook("ls", "--where", "lr>1e-3 and model=cnn and state=killed and dirty")
    assert [row[2] for row in rows(result.stdout)[1:]] == ["gone"]


def test_nothing_matches(lab):
    result = lab.labbook("ls", "--where", "lr>100")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no run matches 'lr>100'\n"


def test_an_empty_book(tmp_path):
    from click.testing import CliRunner

    from labbook.cli import main

    (tmp_path / "book.json").write_text('{"format": 1}')
    result = CliRunner().invoke(main, ["ls", "--book", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (0, f"no runs in {tmp_path} yet\n")


def test_json_has_everything_the_table_has(lab):
    found = json.loads(lab.labbook("ls", "--json", "--sort", "created").stdout)
    first, second, broken, gone = found
    assert [run["state"] for run in found] == ["finished", "finished", "failed", "killed"]
    assert second["arguments"]["model"] == "mlp"
    assert second["git"]["dirty"] == ["train.py"]
    assert first["git"]["dirty"] == []
    assert first["tags"] == ["small"]
    assert gone["series"]["loss"]["count"] == 100
    assert broken["series"]["diverged"]["last"] == "NaN"


def test_text_of_a_run_cannot_steer_the_terminal(lab):
    result = lab.labbook("ls", "--where", "name=broken", "--columns", "name,why")
    assert "out of memory" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_terminal_gets_a_table_that_fits_and_says_what_does_not(lab, monkeypatch):
    monkeypatch.setattr(listing, "terminal_width", lambda: 60)
    result = lab.labbook("ls")
    assert max(map(len, result.stdout.splitlines())) <= 60
    assert "more columns need a wider terminal, or --columns)" in result.stderr
    assert "loss" in result.stdout.splitlines()[0]


def test_the_best_value_is_the_largest_of_a_score_and_the_least_of_a_loss():
    assert columns._MORE_IS_BETTER.search("val/acc")
    assert not columns._MORE_IS_BETTER.search("loss")


def test_created_sorts_runs_of_one_second(lab):
    runs = Book(BookPaths(lab.book)).summaries()
    shuffled = [replace(run, created_ns=10**18 + n) for n, run in enumerate([*runs[2:], *runs[:2]])]
    fields = Fields(runs)
    found = listing.chosen_runs(shuffled[::-1], fields, None, "created")
    assert [run.id for run in found] == [run.id for run in shuffled]
    found = listing.chosen_runs(shuffled, fields, None, "-created")
    assert [run.id for run in found] == [run.id for run in shuffled[::-1]]
