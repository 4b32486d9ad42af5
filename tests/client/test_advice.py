"""Advice to the training: what results say about going on, and what it costs to ask."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import labbook
from labbook.client.advice import Adviser
from labbook.client.footers import read_footer
from labbook.client.off import OffRun
from labbook.errors import MisuseError
from labbook.paths import RunPaths
from tests.client.conftest import Script

ROOT = Path(__file__).parent.parent.parent


class Faults:
    """Counts what is told to the journal."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def fault(self, kind: str, line: str) -> None:
        self.told.append(line)


class Desk:
    def __init__(self, folder: Path) -> None:
        self.paths = RunPaths(folder / "run")
        self.faults = Faults()
        self.adviser = Adviser(self.paths, self.faults)  # type: ignore[arg-type]
        self.n = 0

    def result(self, step: int | None, value: float | None, **more: object) -> Path:
        self.n += 1
        evaluation = str(more.pop("evaluation", "validation"))
        meta = {
            "format": 1,
            "checkpoint": {"step": step, "digest": more.pop("digest", f"zip:{step}")},
            "metrics": {str(more.pop("metric", "accuracy")): value},
            "subset": "full",
            "data_digest": "sha256:1",
            "ended_ns": self.n,
            **more,
        }
        path = self.paths.evaluations / evaluation / f"{self.n:04}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"example": [0, 1]})
        pq.write_table(table.replace_schema_metadata({"labbook": json.dumps(meta)}), path)
        return path

    def ask(self, metric: str = "accuracy", **options: object):
        asked = {"evaluation": None, "mode": "auto", "patience": 2, "min_delta": 0.0}
        asked |= {"subset": None} | options
        self.adviser.ask(metric, *asked.values())
        self.adviser.tick()
        return self.adviser.ask(metric, *asked.values())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_nothing_is_known_until_a_result_comes(desk: Desk):
    first = desk.adviser.ask("accuracy", None, "auto", 2, 0.0, None)
    assert (first.stop, first.reason) == (False, "not looked yet")
    assert desk.ask().reason == "no result has 'accuracy' yet"
    desk.result(1, 0.5)
    advice = desk.ask()
    assert (advice.stop, advice.best, advice.best_step, advice.n_since) == (False, 0.5, 1, 0)
    assert not advice


def test_patience_counts_checkpoints_by_step_in_whatever_order_they_are_evaluated(desk: Desk):
    for step, value in ((5, 0.7), (1, 0.5), (4, 0.8), (3, 0.9), (2, 0.6)):
        desk.result(step, value)
    advice = desk.ask()
    assert advice.stop
    assert advice
    assert (advice.best, advice.best_step, advice.last_step) == (0.9, 3, 5)
    assert (advice.n_since, advice.n_results) == (2, 5)
    assert advice.reason == (
        "accuracy: best 0.9 at step 3, 2 checkpoints since not better (patience 2)"
    )
    assert not desk.ask(patience=3)
    desk.result(6, 0.95)
    assert not desk.ask()
    assert desk.ask().best_step == 6


@pytest.mark.parametrize(
    ("values", "options", "best_step", "n_since"),
    [
        ([1.0, 0.5, 0.7, 0.6], {"metric": "loss"}, 2, 2),  # less is better, by the name
        ([0.5, 0.5, 0.5], {}, 1, 2),  # of equal ones the earliest
        ([0.5, None, 0.6, None], {}, 3, 1),  # what is not finite is never better
        ([None, None], {}, None, 2),
        ([0.5, 0.504, 0.508], {"min_delta": 0.005}, 3, 0),  # in small steps, against the best
        ([0.5, 0.504, 0.504], {"min_delta": 0.005}, 1, 2),
        ([3.0, 2.0, 4.0], {"metric": "speed", "mode": "min"}, 2, 1),
    ],
)
def test_what_is_better(
    desk: Desk,
    values: list[float | None],
    options: dict[str, object],
    best_step: int | None,
    n_since: int,
):
    metric = str(options.pop("metric", "accuracy"))
    for step, value in enumerate(values, 1):
        desk.result(step, value, metric=metric)
    advice = desk.ask(metric, **options)
    assert (advice.best_step, advice.n_since) == (best_step, n_since)
    assert advice.stop == (n_since >= 2)


def test_mini_and_full_results_are_never_mixed(desk: Desk):
    desk.result(1, 0.9, digest="a")
    for step in (1, 2, 3):
        desk.result(step, 0.5, subset="mini", digest=f"zip:{step}")
    assert desk.ask().n_results == 3
    assert desk.ask().best == 0.5
    assert desk.ask(subset="full").n_results == 1


def test_other_data_and_older_results_of_a_checkpoint_do_not_count(desk: Desk):
    desk.result(1, 0.99, data_digest="sha256:other")
    desk.result(2, 0.8)
    desk.result(2, 0.6)  # by newer code
    advice = desk.ask()
    assert (advice.best, advice.n_results) == (0.6, 1)


def test_two_evaluations_with_one_metric_are_told_apart(desk: Desk):
    desk.result(1, 0.5)
    desk.result(1, 0.6, evaluation="test")
    said = "several evaluations have 'accuracy': test, validation; name one"
    assert desk.ask().reason == said
    assert desk.ask(evaluation="test").best == 0.6


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("speed", None, "auto", 5, 0.0, None), "'speed' does not say whether more or less"),
        (("accuracy", None, "best", 5, 0.0, None), "mode must be 'min', 'max' or 'auto'"),
        (("accuracy", None, "auto", 0, 0.0, None), "patience=. must be a whole number from 1"),
        (("accuracy", None, "auto", 5, math.nan, None), "min_delta=. must be a number from 0"),
        (("accuracy", None, "auto", 5, 0.0, "half"), "subset=. must be 'full' or 'mini'"),
        (("accuracy", 3, "auto", 5, 0.0, None), "evaluation=.: the name of an evaluation"),
        ((["accuracy"], None, "auto", 5, 0.0, None), "advice.metric.: the name of a metric"),
    ],
)
def test_wrong_questions_raise_at_once(desk: Desk, asked: tuple, told: str):
    with pytest.raises(MisuseError, match=told):
        desk.adviser.ask(*asked)


def test_files_that_are_no_results_cost_nothing(desk: Desk):
    good = desk.result(1, 0.5)
    folder = good.parent
    whole = good.read_bytes()
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "short.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "long.parquet").write_bytes(b"\xff" * 20 + b"\xff\xff\xff\x7fPAR1")
    (folder / "link.parquet").symlink_to(good)
    pq.write_table(pa.table({"a": [1]}), folder / "other.parquet")
    desk.result(9, 0.9, format=2)
    desk.result(None, 0.9)
    desk.result(8, 0.9, metrics=[1])
    assert desk.ask().n_results == 1
    assert len(desk.faults.told) == 1  # the link: it is not followed
    assert "a result cannot be read" in desk.faults.told[0]


def test_a_footer_is_read_as_pyarrow_reads_it(desk: Desk):
    """Also where a column's statistics hold what looks like the key, and in a long one."""
    meta = {"format": 1, "text": "é \\x18\x07labbook\x18 " + "x" * 70_000}
    path = desk.paths.root / "one.parquet"
    path.parent.mkdir(parents=True)
    table = pa.table({"text": ["\x18\x07labbook\x18\x02{}"] * 3, "example": [0, 1, 2]})
    table = table.replace_schema_metadata({"labbook": json.dumps(meta), "z": "after"})
    pq.write_table(table, path, compression="zstd")
    assert read_footer(str(path)) == meta
    assert json.loads(pq.read_schema(path).metadata[b"labbook"]) == meta


def test_nothing_is_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    monkeypatch.setattr(
        "labbook.client.advice.read_footer", lambda path: read.append(path) or read_footer(path)
    )
    desk.result(1, 0.5)
    desk.ask()
    desk.ask()
    desk.result(2, 0.6)
    desk.ask()
    assert len(read) == 2


def test_off_never_stops_and_refuses_the_same():
    run = OffRun(None)
    assert not run.advice("accuracy", patience=1)
    with pytest.raises(MisuseError, match="does not say"):
        run.advice("speed")


TRAIN = """
import sys, time, torch, labbook
run = labbook.start({}, output=False)
steps = 0
while True:
    advice = run.advice("score", patience=3)
    if advice.stop:
        break
    time.sleep(0.05)  # what a step takes
    if steps < 6:
        steps += 1
        score = steps if steps <= 3 else 2.9 - steps / 4  # better until step 3, worse after it
        run.save({"weight": torch.tensor([[float(score)]])}, step=steps)
assert "pyarrow" not in sys.modules
print(advice.reason)
run.finish()
"""

EVALUATION = """
import torch, labbook
@labbook.evaluation(probes=False)
class Validation:
    def setup(self, context):
        return torch.nn.Linear(1, 1, bias=False)
    def data(self, context):
        return torch.utils.data.TensorDataset(torch.ones(4, 1))
    def step(self, context, batch):
        return {"score": context.model(batch[0])[:, 0]}
"""


@pytest.mark.slow
def test_a_training_stops_by_what_a_watcher_found(script: Script):
    (script.folder / "evaluation.py").write_text(EVALUATION)
    training = script.popen(TRAIN)
    watcher = subprocess.Popen(
        [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--poll", "0.2"],
        cwd=script.folder,
        env=script.environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        out, err = training.communicate(timeout=50)
    finally:
        watcher.terminate()
        watcher.wait()
        training.kill()
    assert training.returncode == 0, err
    assert "score: best 3 at step 3, 3 checkpoints since not better (patience 3)" in str(out)
    assert labbook.open(script.book.root).ids()
