"""Which runs are compared when none or one is marked, and how paths are cut."""

from __future__ import annotations

import pytest

from labbook.book.stats import Stat
from labbook.book.summary import RunSummary
from labbook_tui.models import CodeModel
from labbook_tui.palette import Ink
from labbook_tui.read.compare import visible
from labbook_tui.read.picking import pick
from labbook_tui.run_header import drift_line, first_few


def run(name: str, **least: float) -> RunSummary:
    """A summary with the least values of some series."""
    stats = {key.replace("__", "/"): Stat(v, 1, v, v, 1) for key, v in least.items()}
    nothing = dict.fromkeys(
        (
            "group",
            "parent",
            "created_ns",
            "ended_ns",
            "seen_ns",
            "host",
            "commit",
            "branch",
            "dirty",
        )
    )
    return RunSummary(
        id=name, name=name, tags=(), state="finished", why="", attempt=0, arguments={},
        stats=stats, results={}, n_checkpoints=0, n_results=0, faults={}, **nothing,
    )  # fmt: skip


RUNS = [
    run("d", val__loss=3.0, loss=0.1),
    run("c", val__loss=1.0, loss=0.5),
    run("b", val__loss=2.0, loss=0.01),
    run("a"),
]


@pytest.mark.parametrize(
    ("at", "baseline", "marked", "expected", "why"),
    [
        ("d", "", ["c", "b", "a"], "c b a", ""),
        ("d", "a", [], "a d", "against the baseline"),
        ("d", "d", [], "c d", "against the best other run by val/loss"),
        ("c", "", [], "b c", "against the best other run by val/loss"),
        ("d", "", ["b"], "b d", "against the one marked"),
        ("a", "", [], "b a", "against the run after it"),
        ("", "", [], "c d", "against the best other run by val/loss"),
        ("gone", "gone", ["gone"], "c d", "against the best other run by val/loss"),
    ],
)
def test_pick(at: str, baseline: str, marked: list[str], expected: str, why: str) -> None:
    found = pick(RUNS, at, baseline, marked)
    assert (" ".join(run.id for run in found.runs), found.why) == (expected, why)


def test_runs_without_a_metric_are_held_against_the_one_before() -> None:
    found = pick([run("b"), run("a")], "b", "", [])
    assert ([run.id for run in found.runs], found.why) == (["a", "b"], "against the run before it")
    assert pick([], "", "", []).runs == ()


def test_as_many_paths_as_fit() -> None:
    paths = ["src/train.py", "src/data.py", "src/model.py"]
    assert first_few(paths, 80) == "src/train.py src/data.py src/model.py"
    assert first_few(paths, 26) == "src/train.py +2 more"
    assert first_few(["a/very/long/path/to/train.py"], 12) == "…to/train.py"
    assert first_few([], 10) == ""


def test_no_line_where_nothing_is_known_to_have_changed() -> None:
    assert drift_line(CodeModel("a", None, None), 80, Ink()) == []
    assert drift_line(CodeModel("a", None, ()), 80, Ink()) == []
    assert drift_line(CodeModel("a", None, ("x\x1b[0m.py",)), 80, Ink())[0].text.endswith("x.py")


def test_control_characters_in_code_are_visible() -> None:
    assert visible("+\tx = '\x1b[31m'") == "+   x = '^[[31m'"
