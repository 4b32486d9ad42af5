"""The benchmarks run at all, and give the figures they promise. No figure is judged here."""

import json
import subprocess
import sys

import pytest

from tests.benchmarks.__main__ import NAMES
from tests.benchmarks.ground import ROOT, environment
from tests.benchmarks.report import Figure, table

QUICK = ("log_cost", "data_cost", "corrupt", "bytes_per_point", "memory", "chosen_set", "tui_runs")
"""Of each kind one; the rest only differ in what they run."""


def run(*words):
    command = [sys.executable, "-m", "tests.benchmarks", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_benchmark_gives_its_figures(name):
    done = run(name, "--one", "--quick")
    assert done.returncode == 0, done.stderr
    figures = [Figure(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    assert figures
    assert all(figure.value >= 0 for figure in figures)


def test_results_are_written_without_names_of_places(tmp_path):
    out = tmp_path / "results.md"
    done = run("corrupt", "--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert "## corrupt" in text
    assert "| damaged journals read | 300 |" in text
    assert str(ROOT) not in text
    assert str(tmp_path) not in text


def test_an_unknown_name_lists_the_known_ones():
    done = run("nothing")
    assert done.returncode == 2
    assert all(name in done.stderr.replace("\n", " ") for name in NAMES[:3])


def test_a_goal_that_is_missed_is_said():
    text = table([Figure("x", 3.0, "µs", 1.5, "floor", goal="≤ 2 µs", met=False)])
    assert "| x | 3 µs | floor 1.5 µs | 2.00 | ≤ 2 µs | **not met** |" in text
