"""The group itself: help, errors, exit statuses, pipes. In processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from labbook.cli import VERBS, main
from tests.cli.conftest import environment

VERB_NAMES = [verb for verbs in VERBS.values() for verb in verbs]


def labbook(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labbook.cli", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_groups_the_verbs():
    text = CliRunner().invoke(main, ["--help"]).output
    assert [line for line in text.splitlines() if line.endswith(":")] == [
        "Options:",
        *(f"{heading}:" for heading in VERBS),
    ]
    assert all(f"  {verb} " in text for verb in VERB_NAMES)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_every_verb_has_help_that_fits_and_takes_a_book(verb):
    result = CliRunner().invoke(main, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert "--book" in result.output or "COMMAND" in result.output  # a group: its verbs take it
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("verb", ["ls", "show"])
def test_reading_verbs_take_json(verb):
    assert "--json" in CliRunner().invoke(main, [verb, "--help"]).output


def test_version():
    assert CliRunner().invoke(main, ["--version"]).output.startswith("labbook ")


def test_a_mistyped_verb_is_corrected():
    result = CliRunner().invoke(main, ["shw"])
    assert result.exit_code == 2
    assert "No such command 'shw'. Did you mean 'show'?" in result.stderr


def test_no_book_is_one_line_that_says_what_to_do(tmp_path):
    result = labbook("ls", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: no book at {tmp_path}/.labbook. A training script with labbook.start() makes one; "
        "name another with --book or LABBOOK_DIR\n"
    )


def test_a_book_of_the_future_is_refused(tmp_path):
    (tmp_path / "book.json").write_text('{"format": 99}')
    result = labbook("ls", "--book", str(tmp_path))
    assert result.returncode == 1
    assert "has format 99, and this labbook reads up to 1: upgrade labbook" in result.stderr


def test_misuse_exits_with_2(lab):
    result = labbook("--book", str(lab.book), "ls", "--where", "lr>")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: filter 'lr>' expected a value after '>' at its end\n"


def test_the_book_of_the_group_and_of_the_verb(lab):
    before = labbook("--book", str(lab.book), "ls", "--columns", "name")
    after = labbook("ls", "--columns", "name", "--book", str(lab.book))
    assert before.stdout == after.stdout != ""


def test_a_reader_that_goes_away_is_no_error(lab):
    command = f"'{sys.executable}' -m labbook.cli export --book '{lab.book}' first | head -1"
    result = subprocess.run(
        ["bash", "-c", command], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.stdout == '"step","time","name","value"\n'
    assert result.stderr == ""
