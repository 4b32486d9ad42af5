"""The example, run as `make demo` runs it, and for seconds instead of a minute."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import labbook

ROOT = Path(__file__).parent.parent.parent


def demo(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as somebody whose environment leads elsewhere."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tui'}",
        "LABBOOK_DIR": "/nonexistent",
        "LABBOOK_MODE": "off",
        "LABBOOK_NAME": "not this",
    }
    return subprocess.run(
        [sys.executable, "examples/digits/demo.py", *arguments],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    clone = tmp_path_factory.mktemp("digits") / "a clone"
    shutil.copytree(ROOT / "examples", clone / "examples")
    return clone


@pytest.fixture(scope="module")
def first(clone) -> subprocess.CompletedProcess[str]:
    return demo(clone, "--epochs", "8", "--width", "16")


def run_of(done: subprocess.CompletedProcess[str]) -> str:
    """The id of the run that a demo trained; others may be in the book by then."""
    [run_id] = re.findall(r"^labbook: run (\S+)", done.stdout + done.stderr, re.MULTILINE)
    return run_id


@pytest.mark.timeout(300)
def test_the_demo_prints_the_runs_the_evaluations_and_what_next(first):
    assert first.returncode == 0, first.stderr
    assert "$ labbook ls\n" in first.stdout
    assert "accuracy" in first.stdout
    assert "the terminal program" in first.stdout


@pytest.mark.timeout(300)
def test_every_checkpoint_has_one_result_over_all_validation_examples(first, clone):
    book = labbook.open(clone / ".labbook")
    run = book.run(run_of(first))
    checkpoints = [checkpoint.step for checkpoint in run.checkpoints()]
    assert 8 <= len(checkpoints) <= 12
    assert [result.step for result in run.results()] == checkpoints
    for result in run.results():
        rows = result.rows()
        assert sorted(rows["example"].to_pylist()) == list(range(450))
        assert (result.subset, result.coverage) == ("full", "complete")


@pytest.mark.timeout(300)
def test_the_last_checkpoint_knows_its_digits(first, clone):
    book = labbook.open(clone / ".labbook")
    rows = book.run(run_of(first)).results()[-1].rows()
    right = rows["accuracy"].to_pylist()
    assert sum(right) / len(right) >= 0.95


@pytest.mark.timeout(300)
def test_the_demo_can_be_run_again(first, clone):
    again = demo(clone, "--epochs", "1", "--width", "4")
    assert again.returncode == 0, again.stderr
    assert len(labbook.open(clone / ".labbook").ids()) == 2


@pytest.mark.timeout(300)
def test_the_demo_reports_a_training_that_fails_and_stops_its_watcher(clone):
    failed = demo(clone, "--epochs", "none")
    assert failed.returncode == 1
    assert "the training failed with exit status 2" in failed.stderr


def test_training_evaluates_nothing_but_the_chosen_set(tmp_path, monkeypatch):
    """Count the examples that pass through the network in eval mode."""
    torch = pytest.importorskip("torch")
    seen: list[int] = []

    def count(module, inputs, _):
        if isinstance(module, torch.nn.Sequential) and not module.training:
            seen.append(len(inputs[0]))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs", "3", "--width", "4"])
    n_threads = torch.get_num_threads()
    hook = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        runpy.run_path(str(ROOT / "examples/digits/train.py"), run_name="__main__")
    finally:
        hook.remove()
        torch.set_num_threads(n_threads)
    [run_id] = labbook.open(tmp_path / ".labbook").ids()
    observed = labbook.open(tmp_path / ".labbook").run(run_id).chosen()
    assert sum(seen) == observed.num_rows == 2 * 64
