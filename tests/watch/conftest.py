"""A book with runs and checkpoints written by hand as the client does, and real watchers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from labbook.paths import BookPaths, RunPaths
from labbook.watch.bench import Bench
from labbook.watch.desk import message_of
from labbook.watch.discover import Scanner
from labbook.watch.ledger import Ledger, State
from labbook.watch.program import load_program

WIDTH = 4
N_EXAMPLES = 103  # not a multiple of any batch size used here

EVALUATION = """
import os
import torch
import torch.nn.functional as F
from pathlib import Path
from torch.utils.data import TensorDataset
import labbook

LOG = Path(__file__).with_name("log.txt")

def tell(*words):
    with open(LOG, "a") as file:
        file.write(" ".join(str(word) for word in words) + "\\n")

@labbook.evaluation(batch_size=32, probes=False)
class Validation:
    def setup(self, context):
        tell("setup", context.args.width)
        return torch.nn.Sequential(
            torch.nn.Linear(3, context.args.width), torch.nn.Dropout(0.5),
            torch.nn.Linear(context.args.width, 2))

    def data(self, context):
        tell("data")
        make = torch.Generator().manual_seed(7)
        x = torch.randn(103, 3, generator=make)
        return TensorDataset(x, (x[:, 0] > 0).long())

    def step(self, context, batch):
        x, y = batch
        assert not context.model.training and torch.is_inference_mode_enabled()
        out = context.model(x)
        tell("step", context.step, len(x))
        return {"loss": F.cross_entropy(out, y, reduction="none"), "output": out,
                "correct": out.argmax(1) == y}
"""


def net(width: int = WIDTH, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(3, width), torch.nn.Dropout(0.5), torch.nn.Linear(width, 2)
    )


@dataclass
class Run:
    paths: RunPaths
    files: list[Path] = field(default_factory=list)

    def save(self, step: int, state: object | None = None, *, seed: int | None = None) -> Path:
        """As `run.save` does it: a temporary name, a rename, then the sidecar likewise."""
        path = self.paths.checkpoints / f"step-{step}.pt"
        made = net(seed=step if seed is None else seed).state_dict() if state is None else state
        torch.save(made, path.with_suffix(".tmp"))
        os.rename(path.with_suffix(".tmp"), path)
        self.sidecar(path, step)
        self.files.append(path)
        return path

    def sidecar(self, path: Path, step: int) -> None:
        row = {
            "format": 1,
            "file": f"checkpoints/{path.name}",
            "step": step,
            "size": path.stat().st_size,
            "digest": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
            "time_ns": time.time_ns(),
            "kind": "torch",
        }
        temporary = path.with_name(f".{path.name}.json.tmp")
        temporary.write_text(json.dumps(row))
        os.rename(temporary, path.with_name(f"{path.name}.json"))

    def end(self, state: str = "finished") -> None:
        row = {"format": 1, "state": state, "ended_ns": time.time_ns()}
        (self.paths.attempts / "1" / "r0-aaaaaa.end.json").write_text(json.dumps(row))

    def watch_pattern(self, pattern: str) -> None:
        row = {"fact": "watch", "pattern": pattern, "time_ns": time.time_ns()}
        (self.paths.meta / "watch-r0-aaaaaa.json").write_text(json.dumps(row))

    def results(self, evaluation: str = "validation") -> list[Path]:
        return sorted((self.paths.evaluations / evaluation).glob("*.parquet"))

    def metas(self, evaluation: str = "validation") -> dict[int, dict]:
        found = {}
        for path in self.results(evaluation):
            meta = json.loads(pq.read_schema(path).metadata[b"labbook"])
            found[meta["checkpoint"]["step"]] = meta
        return found

    def reasons(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.paths.reasons.glob("*.json"))]


@dataclass
class Lab:
    root: Path
    book: BookPaths
    running: list[Watcher] = field(default_factory=list)

    def run(self, number: int = 1, *, width: int = WIDTH, name: str = "probe") -> Run:
        paths = self.book.run(f"20260101-{number:06d}-abcdef")
        for folder in (paths.checkpoints, paths.meta, paths.journal, paths.attempts / "1"):
            folder.mkdir(parents=True)
        (paths.journal / "r0-aaaaaa-0.lbj").write_bytes(b"")
        now = time.time_ns()
        row = {"format": 1, "id": paths.id, "name": name, "created_ns": now}
        conditions = {
            "format": 1,
            "rank": 0,
            "started_ns": now,
            "arguments": {"values": {"width": width}},
        }
        (paths.attempts / "1" / "r0-aaaaaa.json").write_text(json.dumps(conditions))
        (paths.run_json).write_text(json.dumps(row))
        return Run(paths)

    def write(self, text: str = EVALUATION, name: str = "evaluation.py") -> Path:
        path = self.root / name
        path.write_text(text)
        return path

    def log(self) -> list[str]:
        path = self.root / "log.txt"
        return path.read_text().splitlines() if path.exists() else []

    def watch(self, *options: str, verb: str = "watch") -> Watcher:
        watcher = Watcher(self.root, verb, options)
        self.running.append(watcher)
        return watcher

    def labbook(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another verb of the command line, to its end."""
        return self.watch(*words[1:], verb=words[0]).finish()

    def once(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.watch("--once", *options).finish()


class Watcher:
    """A real `labbook watch` in a process of its own."""

    def __init__(self, root: Path, verb: str, options: tuple[str, ...]) -> None:
        file = (
            () if verb != "watch" or any(o.endswith(".py") for o in options) else ("evaluation.py",)
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "labbook.cli", verb, *file, *options],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )

    def finish(self) -> subprocess.CompletedProcess[str]:
        out, err = self.process.communicate()
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)

    def line(self) -> str:
        """The next line on stdout: a result."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def said(self, words: str) -> str:
        """Read stderr up to the line that holds `words`."""
        assert self.process.stderr is not None
        read = []
        for line in self.process.stderr:
            read.append(line)
            if words in line:
                return line
        raise AssertionError(f"never said {words!r}, but: {''.join(read)}")

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Here:
    """A worker's bench in this process: what it answers, without the seconds a process costs."""

    def __init__(self, lab: Lab) -> None:
        self.program = load_program(lab.root / "evaluation.py")
        self.answers: list[dict] = []
        self.bench = Bench(self.program, torch.device("cpu"), lab.root, self._hear)
        self.lab = lab

    def _hear(self, **answer: object) -> None:
        # as over the pipe
        self.answers.append(json.loads(json.dumps(answer)))

    def state(self) -> State:
        ledger = Ledger(
            code=self.bench.code["digest"],
            declarations=[declared for declared, _ in self.program.evaluations.values()],
            choice="all",
            say=lambda text: None,
            tick=lambda: None,
            is_once=True,
        )
        return ledger.look(Scanner(self.lab.book).scan(time.time_ns()), time.time_ns())

    def evaluate(self) -> dict[int | None, dict]:
        """Evaluate what is pending; the answer for each step."""
        found = {}
        for job in self.state().pending:
            self.bench.take(message_of(job, job.found.path))
            found[job.found.step] = self.answers[-1]
        return found


@pytest.fixture
def here(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Here]]:
    """Call it with the text of an evaluation file."""
    monkeypatch.chdir(lab.root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    threads = torch.get_rng_state()

    def make(text: str = EVALUATION) -> Here:
        lab.write(text)
        return Here(lab)

    yield make
    torch.set_rng_state(threads)
    for name in set(sys.modules) - before:
        if name in {"evaluation", "extra"}:
            del sys.modules[name]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    root = tmp_path / "project"
    book = BookPaths(root / ".labbook")
    book.runs.mkdir(parents=True)
    book.book_json.write_text('{"format": 1}')
    made = Lab(root, book)
    yield made
    for watcher in made.running:
        watcher.kill()
