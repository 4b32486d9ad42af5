"""ResNet-18, trained, saved, watched and read again: all parts together, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional as F

import labbook
from tests.benchmarks.nets import pictures, resnet18
from tests.benchmarks.resnet import lay
from tests.on_terminal import on_terminal

pytestmark = pytest.mark.timeout(180)

ARGS = SimpleNamespace(side=8, n_validation=40, classes=10)
OPTIONS = ["--side", "8", "--n-validation", "40", "--n-train", "32", "--batch", "8"]


def _environment(book: Path) -> dict[str, str]:
    path = os.pathsep.join(sys.path)
    return {**os.environ, "PYTHONPATH": path, "LABBOOK_DIR": str(book), "OMP_NUM_THREADS": "1"}


def _train(folder: Path, book: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "train.py", *OPTIONS],
        cwd=folder, env=_environment(book), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def _watching(folder: Path, book: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--poll", "0.3"]
    with open(folder / "watch.log", "w") as log:
        watcher = subprocess.Popen(
            words, cwd=folder, env=_environment(book), stdout=log, stderr=log, text=True
        )
    try:
        yield watcher
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.wait()


def _await(n_results: int, run_id: str, book: Path, folder: Path) -> None:
    deadline = time.monotonic() + 120
    while len(labbook.open(book).run(run_id).results()) < n_results:
        assert time.monotonic() < deadline, (folder / "watch.log").read_text()
        time.sleep(0.1)


def test_resnet18_from_the_training_script_to_the_results(tmp_path: Path):
    folder = lay(tmp_path / "project")
    alone = _train(folder, tmp_path / "alone")
    book = tmp_path / "book"
    book.mkdir()
    with _watching(folder, book):
        trained = _train(folder, book)
        _await(4, trained["id"], book, folder)
    assert trained["digest"] == alone["digest"]  # losses and weights, bit for bit

    run = labbook.open(book).run(trained["id"])
    assert run.state.name == "finished"
    assert run.series("loss").num_rows == 8
    assert set(run.chosen("chosen").column("step").to_pylist()) == {2, 4, 6, 8}
    x, y = pictures(ARGS.n_validation, 3, ARGS.side, seed=2)
    net = resnet18()
    for result in run.results():
        weights = run.paths.checkpoints / f"step-{result.step}.pt"
        net.load_state_dict(torch.load(weights, weights_only=True))
        with torch.inference_mode():
            logits = net.eval()(x)
        rows = pq.read_table(result.path)
        assert rows["example"].to_pylist() == list(range(ARGS.n_validation))
        losses = torch.tensor(rows["loss"].to_pylist())
        assert torch.allclose(losses, F.cross_entropy(logits, y, reduction="none"), atol=1e-4)
        assert rows["prediction"].to_pylist() == logits.argmax(1).tolist()
        assert result.coverage == "complete"
        assert result.metrics["accuracy"] == pytest.approx((logits.argmax(1) == y).float().mean())
        assert (result.meta["code"]["mode"], result.meta["warnings"]) == ("run", [])
    again = on_terminal(
        [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--once"],
        cwd=folder, environment=_environment(book),
    )  # fmt: skip
    assert "0 new results, 0 failed" in again
