"""A book from elsewhere: nothing in its small files steers the terminal or ends in a traceback."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from labbook.cli import main

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"


@pytest.fixture
def book(lab, tmp_path):
    """A copy of the book, with the one run `second`."""
    shutil.copytree(lab.book, tmp_path / "book")
    for folder in (tmp_path / "book" / "runs").iterdir():
        if json.loads((folder / "run.json").read_text())["name"] != "second":
            shutil.rmtree(folder)
    (tmp_path / "book" / "catalog.parquet").unlink(missing_ok=True)
    return tmp_path / "book"


def spoil(book, **changes) -> None:
    [path] = [p for p in book.glob("runs/*/attempts/1/*.json") if ".end." not in p.name]
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def invoke(book, *arguments):
    return CliRunner().invoke(main, ["--book", str(book), *arguments])


WRONG = [None, 3, "text", ["list"], {"unexpected": {"nested": [1]}}]


PARTS = ("arguments", "git", "machine", "python", "command", "packages")


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_conditions_of_another_shape_are_shown_as_far_as_they_go(book, wrong):
    spoil(book, **dict.fromkeys(PARTS, wrong))
    for verb in (["ls"], ["show", "second"], ["show", "second", "--args"]):
        result = invoke(book, *verb)
        assert result.exit_code == 0, result.exception
        assert result.exception is None


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_an_end_of_another_shape(book, wrong):
    [path] = book.glob("runs/*/attempts/1/*.end.json")
    path.write_text(json.dumps({"format": 1, "state": "failed", "exception": wrong}))
    assert invoke(book, "show", "second").exit_code == 0


def test_no_escape_sequence_reaches_the_terminal(book):
    spoil(
        book,
        arguments={"values": {ESCAPES: ESCAPES}, "masked": [ESCAPES], "source": ESCAPES},
        command=[ESCAPES],
        host=ESCAPES,
        git={
            "commit": ESCAPES,
            "branch": ESCAPES,
            "remote": ESCAPES,
            "dirty": [{"path": ESCAPES, "status": ESCAPES}],
        },
        machine={"cpu": ESCAPES, "cores": ESCAPES, "gpus": [{"name": ESCAPES}]},
    )
    for verb in (["ls"], ["show", "second"], ["show", "second", "--args"]):
        result = invoke(book, *verb)
        assert result.exit_code == 0, result.exception
        assert "red" in result.output
        assert not set("\x1b\x07\x9b\u202e") & set(result.output)
