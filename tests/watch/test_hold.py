"""A training that keeps one checkpoint: what was chosen and waits for its turn is not lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from labbook.watch import hold
from tests.watch.conftest import EVALUATION, Lab, Run, Watcher, net

GATED = EVALUATION.replace(
    "x, y = batch",
    """x, y = batch
        if context.step == 1 and not Path(__file__).with_name("opened").exists():
            open(Path(__file__).with_name("gate")).read()""",
)
"""Step 1 stops in the middle until somebody writes into the gate."""


def until(seen: Callable[[], bool]) -> None:
    """Poll for what another process does."""
    deadline = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def steps_held(run: Run) -> set[int]:
    """Steps of the checkpoints that are held."""
    found = set()
    for path in run.paths.pins.glob("held-*.json"):
        try:
            found.add(json.loads(path.read_text())["step"])
        except FileNotFoundError:
            pass  # let go in this moment
    return found


def write(lab: Lab, name: str, seed: int) -> Path:
    """A training's own file, renamed in."""
    path = lab.root / "out" / name
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".tmp")
    torch.save(net(seed=seed).state_dict(), aside)
    os.rename(aside, path)
    return path


class Stage:
    """A live run, and a watcher that stands at the gate in its first checkpoint."""

    def __init__(self, lab: Lab, *options: str) -> None:
        self.lab = lab
        self.run = lab.run()
        self.run.watch_pattern("../out/*.pt")
        lab.write(GATED)
        os.mkfifo(lab.root / "gate")
        self.last = write(lab, "step-1.pt", 1)
        self.watcher = lab.watch("--policy", "all", "--poll", "0.1", *options)
        # blocks until the worker opens the other end
        self.gate = os.open(lab.root / "gate", os.O_WRONLY)
        until(lambda: steps_held(self.run) == {1})

    def rotate(self, step: int) -> None:
        """Save a checkpoint, and remove the one before once the new one is held."""
        path = write(self.lab, f"step-{step}.pt", step)
        until(lambda: step in steps_held(self.run))
        self.last.unlink()
        self.last = path

    def open(self) -> None:
        (self.lab.root / "opened").touch()
        os.close(self.gate)


def ended(watcher: Watcher) -> str:
    done = watcher.finish()
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_chosen_checkpoint_of_a_training_that_keeps_one_has_its_result(lab: Lab) -> None:
    stage = Stage(lab, "--until", "finished")
    for step in (2, 3, 4, 5):
        stage.rotate(step)
    stage.run.end()
    stage.last.unlink()
    stage.open()
    ended(stage.watcher)
    metas = stage.run.metas()
    assert sorted(metas) == [1, 2, 3, 4, 5]
    assert metas[3]["checkpoint"]["file"] == "../out/step-3.pt"
    assert len({meta["metrics"]["loss"] for meta in metas.values()}) == 5
    assert stage.run.reasons() == []
    assert list(stage.run.paths.pins.iterdir()) == []


def test_what_is_above_the_budget_is_let_go_with_a_reason(lab: Lab) -> None:
    size = write(lab, "step-1.pt", 1).stat().st_size
    stage = Stage(lab, "--until", "finished", "--pin-budget", str(2 * size + size // 2))
    for step in (2, 3, 4, 5):
        stage.rotate(step)
    # the newest is on the disk by its own name: of the three others, two fit
    until(lambda: len(steps_held(stage.run)) <= 4 and len(stage.run.reasons()) == 1)
    stage.run.end()
    stage.open()
    ended(stage.watcher)
    [reason] = stage.run.reasons()
    assert reason["state"] == "skipped"
    assert reason["reason"].startswith("pin budget: the training removed it before its turn")
    assert sorted([*stage.run.metas(), reason["checkpoint"]["step"]]) == [1, 2, 3, 4, 5]
    assert list(stage.run.paths.pins.iterdir()) == []


def test_the_next_watcher_evaluates_what_only_a_killed_one_held(lab: Lab) -> None:
    stage = Stage(lab)
    for step in (2, 3):
        stage.rotate(step)
    stage.last.unlink()
    stage.watcher.kill()
    os.close(stage.gate)
    (lab.root / "opened").touch()
    stage.run.end()
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert sorted(stage.run.metas()) == [1, 2, 3]
    assert list(stage.run.paths.pins.iterdir()) == []
    shown = lab.labbook("show", stage.run.paths.id).stdout
    assert "gone before it could be evaluated" not in shown


def test_a_name_that_is_written_in_place_again_is_evaluated_as_it_was_each_time(lab: Lab) -> None:
    stage = Stage(lab, "--until", "finished")
    path = lab.root / "out" / "last.pt"

    def kept() -> int:
        names = [
            json.loads(record.read_text())["file"]
            for record in stage.run.paths.pins.glob("held-*.json")
        ]
        return names.count("../out/last.pt")

    for seed in (11, 12, 13):
        torch.save(net(seed=seed).state_dict(), path)
        until(lambda seed=seed: kept() == seed - 10)  # type: ignore[misc]
    stage.run.end()
    stage.open()
    ended(stage.watcher)
    losses = set()
    for result in stage.run.results():
        import pyarrow.parquet as pq

        meta = json.loads(pq.read_schema(result).metadata[b"labbook"])
        if meta["checkpoint"]["file"] == "../out/last.pt":
            losses.add(meta["metrics"]["loss"])
    assert len(losses) == 3
    assert list(stage.run.paths.pins.iterdir()) == []


def test_two_watchers_hold_and_evaluate_each_once(lab: Lab) -> None:
    stage = Stage(lab, "--until", "finished")
    for step in (2, 3):
        stage.rotate(step)
    other = lab.watch("--policy", "all", "--poll", "0.1", "--until", "finished")
    until(lambda: {2, 3} <= set(stage.run.metas()))
    stage.run.end()
    stage.open()
    ended(stage.watcher)
    ended(other)
    assert sorted(stage.run.metas()) == [1, 2, 3]
    assert [lab.log().count(f"step {step} 7") for step in (1, 2, 3)] == [1, 1, 1]
    assert list(stage.run.paths.pins.iterdir()) == []


def test_what_nobody_wanted_for_a_week_is_let_go_with_a_reason(lab: Lab) -> None:
    stage = Stage(lab)
    stage.rotate(2)
    stage.last.unlink()
    stage.watcher.kill()
    os.close(stage.gate)
    old = time.time() - 8 * 86_400
    for path in stage.run.paths.pins.glob("held-*.json"):
        os.utime(path, (old, old))
    hold.sweep(stage.run.paths)
    assert list(stage.run.paths.pins.glob("held-*")) == []
    assert any("none wanted it for a week" in row["reason"] for row in stage.run.reasons())


def test_a_pin_whose_record_points_elsewhere_is_not_read(lab: Lab) -> None:
    run = lab.run()
    run.paths.pins.mkdir(parents=True)
    row = {
        "format": 1, "key": "../../../x", "file": "checkpoints/a.pt", "step": 1, "size": 1,
        "external": False, "time_ns": 1, "kind": "torch", "digest": "zip:1",
        "completeness": "structure", "identity": [["", 1, 1, 1, 1]], "evaluation": "validation",
        "subset": "full", "position": 0,
    }  # fmt: skip
    (run.paths.pins / "held-x.json").write_text(json.dumps(row))
    (run.paths.pins / "held-y.json").write_text("not json")
    assert hold.kept_in(run.paths) == []


MINI = EVALUATION.replace("batch_size=32", "batch_size=32, mini=16, full_every=100")


def test_the_best_on_the_mini_set_is_evaluated_whole_when_its_file_is_gone(lab: Lab) -> None:
    run = lab.run()
    run.watch_pattern("../out/*.pt")
    lab.write(MINI)
    watcher = lab.watch("--policy", "all", "--poll", "0.1", "--until", "finished")
    last = None
    for step in (1, 2, 3):
        path = write(lab, f"step-{step}.pt", step)
        until(lambda step=step: step in steps_held(run) | _steps(run, "mini"))  # type: ignore[misc]
        if last is not None:
            last.unlink()
        last = path
    until(lambda: _steps(run, "mini") == {1, 2, 3})
    assert last is not None
    last.unlink()
    run.end()
    ended(watcher)
    losses = _losses(run, "mini")
    best = min(losses, key=lambda step: losses[step])
    assert best in _steps(run, "full")
    assert list(run.paths.pins.iterdir()) == []


def test_a_watcher_that_ends_leaves_what_another_waits_for(lab: Lab) -> None:
    stage = Stage(lab)
    stage.rotate(2)
    stage.watcher.process.terminate()
    os.close(stage.gate)
    stage.watcher.process.wait()
    assert 2 in steps_held(stage.run)


def test_one_checkpoint_is_copied_once_for_all_its_results(lab: Lab) -> None:
    run = lab.run()
    run.watch_pattern("../out/*.pt")
    lab.write(GATED.replace("batch_size=32", "batch_size=32, mini=16, full_every=1"))
    os.mkfifo(lab.root / "gate")
    path = write(lab, "last.pt", 1)
    lab.watch("--policy", "all", "--poll", "0.1")
    until(lambda: len(list(run.paths.pins.glob("held-*.json"))) == 2)
    inodes = {held.stat().st_ino for held in run.paths.pins.glob("held-*/last.pt")}
    assert len(inodes) == 1
    assert path.stat().st_ino not in inodes


def _losses(run: Run, subset: str) -> dict[int, float]:
    import pyarrow.parquet as pq

    found = {}
    for result in run.results():
        meta = json.loads(pq.read_schema(result).metadata[b"labbook"])
        if meta["subset"] == subset:
            found[meta["checkpoint"]["step"]] = meta["metrics"]["loss"]
    return found


def _steps(run: Run, subset: str) -> set[int]:
    return set(_losses(run, subset))


def test_a_run_that_repeats_another_has_its_own(lab: Lab) -> None:
    lab.write(GATED)
    os.mkfifo(lab.root / "gate")
    runs = [lab.run(1), lab.run(2)]
    for run in runs:
        run.save(1, seed=1)
        run.save(2, seed=2)
    lab.watch("--policy", "all", "--poll", "0.1")
    until(lambda: all(steps_held(run) == {1, 2} for run in runs))
