"""A real book: runs of real trainings in a real repository, one killed, one failed, one dirty."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent

TRAIN = """
import argparse, os, sys
import labbook

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--called", default="run")
parser.add_argument("--then", default="end")
args = parser.parse_args()
torchless = args.then != "end"
run = labbook.start(name=args.called, output=False)
if not torchless:
    import torch
    torch.manual_seed(0)
    images = torch.rand(32, 1, 8, 8)
    labels = torch.arange(32) % 10
    data = torch.utils.data.TensorDataset(images, labels)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    loss_fn = torch.nn.functional.cross_entropy
    optimizer = torch.optim.SGD(model.parameters(), args.lr)
    chosen = run.choose(data, n=8)
for step in range(1, 61):
    if torchless:
        run.log({"loss": 2.3 / step + args.lr, "val/loss": 2.5 / step}, step=step)
        continue
    loss = loss_fn(model(images), labels)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    run.log({"loss": loss, "val/loss": loss + 0.1, "lr": args.lr}, step=step)
    if step % 10 == 0:
        chosen.observe(model, loss_fn, step=step)
    if step % 20 == 0:
        run.save(model.state_dict(), step=step)
        print("saved at", step)
if args.then == "fail":
    raise RuntimeError("out of \\x1b[31mmemory\\x1b[0m")
if args.then in {"hang", "live"}:
    print("ready", flush=True)
    step = 60
    for line in sys.stdin:
        for _ in range(int(line)):
            step += 1
            run.log({"loss": 2.3 / step + args.lr, "val/loss": 2.5 / step}, step=step)
        print("logged", flush=True)
run.finish()
"""


def environment() -> dict[str, str]:
    """The environment of a user: no settings of labbook, nothing about colours."""
    unwanted = ("LABBOOK_", "NO_COLOR", "COLORTERM", "TEXTUAL", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tui'}", "TERM": "xterm-256color"}


@dataclass(frozen=True)
class Lab:
    """A repository with a book."""

    root: Path

    @property
    def book(self) -> Path:
        return self.root / ".labbook"

    def train(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "train.py", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=environment(), capture_output=True, text=True, check=False
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """A run that logs as many steps as each line on its stdin says, until that is closed."""
        process = subprocess.Popen(
            [sys.executable, "train.py", "--then", "live", *arguments],
            cwd=self.root,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return process

    def kill(self, *arguments: str) -> None:
        with self.begin(*arguments) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()


def make_lab(root: Path) -> Lab:
    """A repository with the training script, committed."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main", str(root)], check=True)
    (root / "train.py").write_text(TRAIN)
    subprocess.run([*git, "add", "train.py"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "train"], cwd=root, check=True)
    return Lab(root)


def evaluate(lab: Lab, name: str) -> None:
    """Results of two of a run's three checkpoints, published as a worker does."""
    import labbook
    from labbook.watch.publish import publish, to_table
    from labbook.watch.rows import Rows

    reader = labbook.open(lab.book).run(name)
    for point in reader.checkpoints()[:2]:
        right = np.arange(40) % (5 if point.step == 20 else 10) != 0
        rows = Rows(np.arange(40), {"accuracy": right})
        about = {
            "format": 1,
            "run": reader.id,
            "evaluation": "validation",
            "key": f"key{point.step}",
            "checkpoint": {"file": point.file, "step": point.step, "digest": point.digest},
            "subset": "full",
            "coverage": "complete",
            "n_examples": 40,
            "n_expected": 40,
            "metrics": {"accuracy": float(right.mean())},
            "stderr": {"accuracy": 0.0474},
            "n_nonfinite": {},
            "warnings": [],
            "chosen": {"chosen": {"same": True}},  # found to be of the same data
        }
        target = reader.paths.result("validation", f"key{point.step}")
        assert publish(to_table(rows, about), target, reader.paths.root)
