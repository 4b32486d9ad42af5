"""Figures of the watcher: `python tests/benchmarks/watching.py`. Ratios and counts, no verdicts.

- latency: from the rename of a checkpoint to the first line of the user's step, with a warm worker
  (`python -m tests.benchmarks watch_resnet` measures a sidecar that polls, too);
- scan: one look at an idle book of 500 runs with 20 checkpoints each, and the supervisor's memory;
- idle: a real watcher on such a book, everything evaluated: its processor time and memory;
- code: how long the code of a run of 600 files takes to be made, and to be found made.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

EVALUATION = """
import os, time, torch, labbook
from torch.utils.data import TensorDataset

@labbook.evaluation(batch_size=256)
class Validation:
    def setup(self, context):
        return torch.nn.Linear(8, 2)
    def data(self, context):
        return TensorDataset(torch.ones(64, 8))
    def step(self, context, batch):
        with open(os.environ["BEGUN"], "a") as file:
            file.write(f"{context.step} {time.time_ns()}\\n")
        return {"out": context.model(batch[0])[:, 0]}
"""


_DIGEST = """
from pathlib import Path
from labbook.watch.program import load_program
print(load_program(Path("evaluation.py")).key_digest("validation"))
"""


def main() -> None:
    """Print everything."""
    wanted = sys.argv[1:]
    for measure in (latency, scan, idle, code):
        if wanted and measure.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for name, value in measure(Path(folder)).items():
                print(f"{measure.__name__:>10}  {name:<44} {value}")


def latency(folder: Path, count: int = 40) -> dict[str, str]:
    """Rename to the first line of the user's step."""
    import torch

    run = _run(folder / ".labbook", 1)
    (folder / "evaluation.py").write_text(EVALUATION)
    begun = folder / "begun"
    environment = {**os.environ, "BEGUN": str(begun), "PYTHONPATH": str(HERE.parent.parent)}
    command = [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py"]
    watcher = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    renamed: dict[int, int] = {}
    try:
        assert watcher.stdout is not None
        for step in range(count):
            torch.manual_seed(step)
            _save(run, step, torch.nn.Linear(8, 2).state_dict(), renamed)
            watcher.stdout.readline()
            time.sleep(0.1)  # a training does something in between
    finally:
        watcher.terminate()
        watcher.communicate()
    started = dict(map(int, line.split()) for line in begun.read_text().splitlines())
    waits = sorted((started[step] - renamed[step]) / 1e6 for step in range(1, count))
    return {
        "rename to the user's step, p50": f"{statistics.median(waits):.1f} ms",
        "p99": f"{waits[int(len(waits) * 0.99)]:.1f} ms",
    }


def scan(folder: Path, runs: int = 500, each: int = 20) -> dict[str, str]:
    """A look at a book in which nothing happens: processor time."""
    from labbook.paths import BookPaths
    from labbook.watch.discover import Scanner
    from labbook.watch.evaluation import Declaration
    from labbook.watch.ledger import Ledger

    book = BookPaths(folder / ".labbook")
    for number in range(runs):
        run = _run(book.root, number)
        for step in range(each):
            (run / "checkpoints" / f"step-{step}.pt").write_bytes(_archive(number, step))
            _register(run, step, None)
        (run / "attempts/1/r0-aaaaaa.end.json").write_text('{"ended_ns": 1}')
    scanner = Scanner(book)
    later = time.time_ns() + 60 * 10**9
    ledger = Ledger("code", [Declaration("v")], "newest", lambda text: None, lambda: None)
    began = time.process_time()
    state = ledger.look(scanner.scan(later), later)
    first = time.process_time() - began
    for job in state.pending:
        job.result.parent.mkdir(parents=True, exist_ok=True)
        job.result.touch()
    ledger = Ledger("code", [Declaration("v")], "newest", lambda text: None, lambda: None)
    began = time.process_time()
    ledger.look(scanner.scan(later), later)
    again = time.process_time() - began
    times = []
    for _ in range(20):
        began = time.process_time()
        scenes = scanner.scan(later)
        scanner.folders()
        ledger.look(scenes, later)
        times.append(time.process_time() - began)
    usual = statistics.median(times)
    # not ru_maxrss, which remembers the process this one was forked from
    code = """if True:
        import labbook.watch.supervisor
        status = open("/proc/self/status").read()
        print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    """
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    memory = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return {
        f"first look, {runs} runs x {each} checkpoints": f"{first * 1e3:.0f} ms",
        "first look after a restart, all evaluated": f"{again * 1e3:.0f} ms",
        "every other look": f"{usual * 1e3:.2f} ms",
        "of one CPU, looking every 2 s": f"{usual / 2:.2%}",
        "supervisor's memory": f"{int(memory.stdout) / 1024:.0f} MiB",
    }


def idle(folder: Path, runs: int = 500, each: int = 20, seconds: float = 30.0) -> dict[str, str]:
    """The supervisor and its worker while nothing happens, from /proc."""
    from labbook.paths import BookPaths
    from labbook.watch.discover import Scanner
    from labbook.watch.evaluation import Declaration
    from labbook.watch.ledger import Ledger

    book = BookPaths(folder / ".labbook")
    for number in range(runs):
        run = _run(book.root, number)
        for step in range(each):
            (run / "checkpoints" / f"step-{step}.pt").write_bytes(_archive(number, step))
            _register(run, step, None)
        if number % 10:  # some are live
            (run / "attempts/1/r0-aaaaaa.end.json").write_text('{"ended_ns": 1}')
    (folder / "evaluation.py").write_text(EVALUATION)
    environment = {**os.environ, "BEGUN": str(folder / "begun"), "PYTHONPATH": ":".join(sys.path)}
    digest = subprocess.run(
        [sys.executable, "-P", "-c", _DIGEST], cwd=folder, env=environment, capture_output=True,
        text=True, check=True,
    ).stdout.strip()  # fmt: skip
    declared = [Declaration("validation")]
    ledger = Ledger(digest, declared, "newest", lambda text: None, lambda: None)
    for job in ledger.look(Scanner(book).scan(time.time_ns()), time.time_ns()).pending:
        job.result.parent.mkdir(parents=True, exist_ok=True)
        job.result.touch()
    watcher = subprocess.Popen(
        [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--code", "current"],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert watcher.stderr is not None
        ready = watcher.stderr.readline()
        spent = -1.0
        while _cpu_s(watcher.pid) - spent > 0.1:  # the first looks after a start are no idling
            spent = _cpu_s(watcher.pid)
            time.sleep(3.0)
        (worker,) = Path(f"/proc/{watcher.pid}/task/{watcher.pid}/children").read_text().split()
        before = _cpu_s(watcher.pid), _cpu_s(int(worker))
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        assert not (folder / "begun").exists(), "it was not idle"
        used = _cpu_s(watcher.pid) - before[0], _cpu_s(int(worker)) - before[1]
        memory = _rss_mib(watcher.pid)
    finally:
        watcher.terminate()
        watcher.communicate()
    assert "ready" in ready
    return {
        f"supervisor, {runs} runs x {each}, of one CPU": f"{used[0] / passed:.2%}",
        "its idle worker, of one CPU": f"{used[1] / passed:.2%}",
        "supervisor's memory": f"{memory:.1f} MiB",
    }


def code(folder: Path, files: int = 600) -> dict[str, str]:
    """Making the code of a run as files, and finding it made."""
    from labbook.conditions.snapshot import take
    from labbook.paths import BookPaths
    from labbook.watch.facts import read_facts
    from labbook.watch.materialise import materialise

    book = BookPaths(folder / ".labbook")
    run = _run(book.root, 1)
    top = folder / "project"
    for number in range(files):
        path = top / f"package{number % 20}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" * 50)
    snapshot = take(top, book.code, private_cache=folder / "private")
    row = {
        "rank": 0, "script": str(top / "train.py"), "cwd": str(top), "command": ["python"],
        "snapshot": snapshot.as_condition(), "started_ns": time.time_ns(),
    }  # fmt: skip
    (run / "attempts/1/r0-aaaaaa.json").write_text(json.dumps(row))
    paths = book.run(run.name)
    facts = read_facts(paths)
    assert facts is not None
    times = []
    for _ in range(2):
        began = time.perf_counter()
        materialise(facts, paths, folder / "cache", None)
        times.append(time.perf_counter() - began)
    return {
        f"{files} files made": f"{times[0] * 1e3:.0f} ms",
        "found made, and checked": f"{times[1] * 1e3:.0f} ms",
    }


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far: proc_pid_stat(5), fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _run(book: Path, number: int) -> Path:
    book.mkdir(parents=True, exist_ok=True)
    (book / "book.json").write_text('{"format": 1}')
    run = book / "runs" / f"20260101-{number:06d}-abcdef"
    for inner in ("checkpoints", "meta", "attempts/1"):
        (run / inner).mkdir(parents=True)
    row = {"format": 1, "id": run.name, "name": run.name, "created_ns": time.time_ns()}
    (run / "run.json").write_text(json.dumps(row))
    (run / "attempts/1/r0-aaaaaa.json").write_text('{"rank": 0, "arguments": {"values": {}}}')
    return run


def _archive(*content: int) -> bytes:
    """A small file in the format of `torch.save`, with no tensors."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(content))
    return raw.getvalue()


def _save(run: Path, step: int, state: Any, renamed: dict[int, int]) -> None:
    import torch

    target = run / "checkpoints" / f"step-{step}.pt"
    torch.save(state, target.with_suffix(".tmp"))
    os.rename(target.with_suffix(".tmp"), target)
    renamed[step] = time.time_ns()
    _register(run, step, target.stat().st_size)


def _register(run: Path, step: int, size: int | None) -> None:
    row = {"file": f"checkpoints/step-{step}.pt", "step": step, "size": size, "time_ns": step}
    sidecar = run / "checkpoints" / f"step-{step}.pt.json"
    sidecar.with_suffix(".tmp").write_text(json.dumps(row))
    os.rename(sidecar.with_suffix(".tmp"), sidecar)


if __name__ == "__main__":
    main()
