"""What `labbook check` takes: of a run with 100,000 losses, and of a small program.

The floor of the first, in the same process, is reading the run's loss once; of the second it is
training the same net for 300 steps with the program's own loop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import labbook
from tests.benchmarks.ground import ROOT, recording
from tests.benchmarks.report import Figure
from tests.benchmarks.timing import seconds


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    from labbook.checks.running import check_run

    n_steps = 5_000 if quick else 100_000
    with recording(folder, gauges=0) as run:
        for step in range(n_steps):
            run.log(loss=2.3 / (1 + step / 1000), step=step)
        book, run_id = run.paths.root.parent.parent, run.id
    opened = labbook.open(book)
    read = min(seconds(lambda: labbook.open(book).run(run_id).series("loss")) for _ in range(3))
    of_run = min(seconds(lambda: check_run(opened.run(run_id), opened)) for _ in range(3))
    return [
        Figure(f"labbook check RUN, {n_steps:,} losses", of_run, "s", read, "reading the loss",
               "≤ 1 s", of_run <= 1),
        *_program(),
    ]  # fmt: skip


def _program() -> list[Figure]:
    sys.path.insert(0, str(ROOT / "examples/digits"))
    import torch

    torch.set_num_threads(1)
    import checks

    subject = checks.subject()
    model = subject.model()
    optimizer = subject.optimizer(model)
    training = seconds(lambda: subject.train(model, optimizer, 300))
    report = labbook.check(subject, 120)
    return [
        Figure("labbook check of the digits example, all rules", report.seconds, "s", training,
               "its own training, 300 steps", "≤ 30 s", report.seconds <= 30),
        Figure("rules that ran on it", float(len(report.passed) + len(report.findings)), ""),
    ]  # fmt: skip
