"""The second example: nothing of it is an image, and every part of the product is used."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import labbook

ROOT = Path(__file__).parent.parent.parent
SHORT = ["--steps", "40", "--width", "16", "--layers", "1", "--batch-size", "8"]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABBOOK_")}
    kept["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tui'}"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A short training, and a watcher that evaluated its checkpoints once."""
    folder = tmp_path_factory.mktemp("text")
    shutil.copytree(ROOT / "examples", folder / "examples")
    python(folder, "examples/text/train.py", *SHORT)
    python(folder, "-m", "labbook.cli", "watch", "examples/text/evaluation.py", "--once")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    book = labbook.open(folder / ".labbook")
    [run_id] = book.ids()
    return book.run(run_id)


@pytest.mark.timeout(300)
def test_it_learns(run):
    losses = run.series("loss")["value"].to_pylist()
    assert len(losses) == 40
    assert losses[0] > 5  # about log(256), for it knows nothing
    assert sum(losses[-5:]) / 5 < 3.7


@pytest.mark.timeout(300)
def test_the_prompts_are_followed_by_their_likeliest_bytes_and_how_they_go_on(run):
    examples, rows = run.examples(), run.chosen()
    assert examples["text"].to_pylist()[0] == "import os\nimport s"
    assert rows.num_rows == 8
    for row in rows.to_pylist():
        assert len(row["top5"]) == len(row["top5_p"]) == 5
        assert row["top5_p"] == sorted(row["top5_p"], reverse=True)
        assert len(bytes(row["greedy"])) == 32


@pytest.mark.timeout(300)
def test_every_held_out_byte_counts_once(run):
    import sysconfig

    every = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    held_out = every[::20]
    results = run.results()
    assert [result.step for result in results] == [10, 20, 30, 40]
    for result in results:
        rows = result.rows()
        n_tokens, losses = rows["n_tokens"].to_pylist(), rows["loss"].to_pylist()
        assert result.coverage == "complete"
        assert sum(n_tokens) == sum(path.stat().st_size - 1 for path in held_out)
        weighted = sum(n * loss for n, loss in zip(n_tokens, losses, strict=True)) / sum(n_tokens)
        assert result.metrics["loss"] == pytest.approx(weighted, rel=1e-5)
        assert result.metrics["bits_per_byte"] == pytest.approx(weighted / math.log(2), rel=1e-5)


@pytest.mark.timeout(300)
def test_the_command_line_shows_and_exports_it(folder, run):
    shown = python(folder, "-m", "labbook.cli", "show", run.id).stdout
    assert "chosen: 8 examples, observed once, step 40" in shown
    assert "held_out.bits_per_byte" in shown
    assert "train: 40 steps" in shown
    card = python(folder, "-m", "labbook.cli", "data", run.id).stdout
    assert "tokens  int64 (8, 64) on cpu" in card
    assert "held out  " in card
    exported = python(
        folder, "-m", "labbook.cli", "export", run.id, "--table", "chosen", "--format", "jsonl"
    )
    assert len(json.loads(exported.stdout.splitlines()[0])["top5"]) == 5
