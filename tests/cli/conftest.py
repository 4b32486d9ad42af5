"""One book with real runs in it, made by real trainings in a real repository."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

TRAIN = """
import argparse, sys
import labbook

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--model", default="cnn")
parser.add_argument("--called")
parser.add_argument("--then", default="end")
args = parser.parse_args()
run = labbook.start(name=args.called, tags=["small"], gauges=None, output=False)
for step in range(100):
    run.log({"loss": 1 / (step + 1) + args.lr, "val/acc": step / 100}, step=step)
run.log(diverged=float("nan"), step=100)
if args.then == "fail":
    raise RuntimeError("out of \\x1b[31mmemory\\x1b[0m")
if args.then == "hang":
    print("ready", flush=True)
    sys.stdin.read()
run.finish()
"""


@dataclass(frozen=True)
class Lab:
    """A repository with a book."""

    root: Path

    @property
    def book(self) -> Path:
        return self.root / ".labbook"

    def labbook(self, *arguments: str) -> Result:
        return CliRunner().invoke(_main(), [arguments[0], "--book", str(self.book), *arguments[1:]])

    def train(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "train.py", *arguments],
            cwd=self.root,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def kill(self, *arguments: str) -> None:
        with subprocess.Popen(
            [sys.executable, "train.py", "--then", "hang", *arguments],
            cwd=self.root,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"ready"
            process.send_signal(signal.SIGKILL)
            process.wait()


def _main():
    from labbook.cli import main

    return main


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABBOOK_")}
    root = Path(__file__).parent.parent.parent
    return {**kept, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tui'}"}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Four runs: `first` clean and finished; `second` dirty; `broken` failed; `gone` killed."""
    root = tmp_path_factory.mktemp("a lab")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main", str(root)], check=True)
    (root / "train.py").write_text(TRAIN)
    subprocess.run([*git, "add", "train.py"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "train"], cwd=root, check=True)
    lab = Lab(root)
    assert lab.train("--called", "first").returncode == 0
    (root / "train.py").write_text(TRAIN + "# a change\n")
    assert lab.train("--called", "second", "--lr", "0.001", "--model", "mlp").returncode == 0
    assert lab.train("--called", "broken", "--then", "fail").returncode == 1
    lab.kill("--called", "gone", "--lr", "0.5")
    return lab
