"""Several watchers on one book, killed and paused at random: each key is published once.

Leases expire after a few seconds here, so that a watcher that is paused longer loses its claim,
wakes up, and must not spoil anything.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from labbook.paths import BookPaths
from tests.watch.conftest import EVALUATION, N_EXAMPLES, Lab, Run

__all__ = ["Outcome", "contend"]

_TTL_S = 3.0
_PROGRAM = f"""
import labbook.watch.lease as lease
lease.HEARTBEAT_S, lease.TTL_S = 0.5, {_TTL_S}
from labbook.cli import main
main()
"""


@dataclass
class Outcome:
    """What came of it; `wrong` names what should not be."""

    keys: int
    evaluations: int = 0
    kills: int = 0
    pauses: int = 0
    wrong: tuple[str, ...] = ()


def contend(folder: Path, *, checkpoints: int, watchers: int, faults: int, seed: int) -> Outcome:
    """Let `watchers` share the work under `faults` random faults, then let one finish it."""
    lab = Lab(folder / "project", BookPaths(folder / "project" / ".labbook"))
    lab.book.runs.mkdir(parents=True)
    lab.book.book_json.write_text('{"format": 1}')
    lab.write(EVALUATION)
    run = lab.run()
    for step in range(checkpoints):
        run.save(step)
    draw = random.Random(seed)
    outcome = Outcome(checkpoints)
    crew = [_Watcher(lab) for _ in range(watchers)]
    try:
        _disturb(crew, lab, run, draw, faults=faults, outcome=outcome)
    finally:
        for watcher in crew:
            watcher.kill()
    time.sleep(_TTL_S)  # what the last ones held expires
    done = _Watcher(lab, "--once").finish()
    _judge(lab, run, outcome, done)
    return outcome


def _disturb(
    crew: list[_Watcher], lab: Lab, run: Run, draw: random.Random, *, faults: int, outcome: Outcome
) -> None:
    paused: list[tuple[float, int]] = []
    for _ in range(faults):
        time.sleep(draw.uniform(0.2, 1.0))
        now = time.monotonic()
        for until, pid in [each for each in paused if each[0] <= now]:
            _signal(pid, signal.SIGCONT)
            paused.remove((until, pid))
        if len(run.results()) == outcome.keys:
            break
        place = draw.randrange(len(crew))
        victim = draw.choice([crew[place].process.pid, *crew[place].workers()])
        if draw.random() < 0.5:
            _signal(victim, signal.SIGKILL)
            outcome.kills += 1
            if victim == crew[place].process.pid:
                crew[place].kill()
                crew[place] = _Watcher(lab)
        else:
            _signal(victim, signal.SIGSTOP)
            outcome.pauses += 1
            paused.append((now + draw.uniform(0.5, 2 * _TTL_S), victim))
    for _, pid in paused:
        _signal(pid, signal.SIGCONT)


def _judge(lab: Lab, run: Run, outcome: Outcome, done: int) -> None:
    wrong = [] if done == 0 else [f"the last watcher exited with {done}"]
    steps = []
    for path in run.results():
        table = pq.read_table(path)
        if table["example"].to_pylist() != list(range(N_EXAMPLES)):
            wrong.append(f"{path.name} has not every example once")
        steps.append(path)
    if len(steps) != outcome.keys:
        wrong.append(f"{len(steps)} results of {outcome.keys} keys")
    if sorted(run.metas()) != list(range(outcome.keys)):
        wrong.append("a step has no result, or two")
    for name in ("leases", "pins"):
        left = [p.name for p in getattr(run.paths, name).glob("*")]
        if left:
            wrong.append(f"left in {name}: {', '.join(left)}")
    per_evaluation = -(-N_EXAMPLES // 32)
    outcome.evaluations = sum(line.startswith("step ") for line in lab.log()) // per_evaluation
    outcome.wrong = tuple(wrong)


class _Watcher:
    def __init__(self, lab: Lab, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, "watch", "evaluation.py", "--poll", "0.3", *options],
            cwd=lab.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )

    def workers(self) -> list[int]:
        """Process ids of its workers; none when it is gone."""
        pid = self.process.pid
        try:
            return [
                int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            ]
        except OSError:
            return []

    def kill(self) -> None:
        """End it and its workers, which go with it."""
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        for pid in workers:
            _signal(pid, signal.SIGCONT)  # a paused one must wake up to die

    def finish(self) -> int:
        """Wait for its end."""
        return self.process.wait()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # gone before
