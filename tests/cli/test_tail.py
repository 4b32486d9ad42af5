"""`labbook tail`: the last updates, then each as it comes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.lab import Lab, environment, make_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = make_lab(tmp_path_factory.mktemp("tailed"))
    assert lab.train("--called", "ended", "--then", "none").returncode == 0
    return lab


def command(book: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "labbook.cli", "tail", *arguments, "--book", str(book)]


def tail(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(lab.book, *arguments),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_last_updates_of_an_ended_run(lab: Lab) -> None:
    done = tail(lab, "ended", "--lines", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "step 59  loss 0.139  val/loss 0.04237",
        "step 60  loss 0.1383  val/loss 0.04167",
    ]
    assert done.stderr == "ended: finished\n"


def test_json_has_all_digits_of_the_chosen_series(lab: Lab) -> None:
    done = tail(lab, "ended", "--json", "--series", "val/*", "-n", "1")
    (update,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert update["values"] == {"val/loss": 2.5 / 60}
    assert update["step"] == 60
    assert update["time_ms"] > 1_600_000_000_000


def test_no_lines_is_none_of_the_past(lab: Lab) -> None:
    assert tail(lab, "ended", "--lines", "0").stdout == ""


def test_unknown_series_is_said_with_those_there_are(lab: Lab) -> None:
    done = tail(lab, "ended", "--series", "los")
    assert done.returncode == 1
    assert done.stderr == ("Error: no series of ended is called so; there are: loss, val/loss\n")


def test_a_live_run_is_followed_to_its_end(lab: Lab) -> None:
    with lab.begin("--called", "alive") as process:
        assert process.stdin is not None
        with subprocess.Popen(
            command(lab.book, "alive", "--json", "-n", "1"),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as tailing:
            assert tailing.stdout is not None
            assert tailing.stderr is not None
            lines: Iterator[str] = iter(tailing.stdout)
            assert json.loads(next(lines))["step"] == 60
            process.stdin.write("3\n")
            process.stdin.flush()
            assert [json.loads(next(lines))["step"] for _ in range(3)] == [61, 62, 63]
            process.stdin.close()
            assert [*lines] == []
            assert tailing.stderr.read() == "alive: finished\n"
        assert tailing.returncode == 0
