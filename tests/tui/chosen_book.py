"""A book of runs whose chosen sets are known cell by cell, recorded by real runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.tui.lab import environment

STEPS = 8

SCRIPT = """
import sys
import numpy as np
import labbook

book, steps = sys.argv[1], 8

def start(name):
    return labbook.start({}, name=name, book=book, output=False, gauges=False)

def logits(label, right, sure):
    out = np.zeros(3, np.float32)
    out[label if right else (label + 1) % 3] = sure
    return out

run = start("classes")
labels = np.arange(6) % 3
images = np.linspace(0, 1, 6 * 64, dtype=np.float32).reshape(6, 8, 8, 1)
chosen = run.choose((images, labels), n=6)
other = run.choose((images[:4], labels[:4]), n=4, name="train", by="first")
for at in range(steps):
    out = []
    for example, index in enumerate(chosen.indices):
        right = {0: at in (2, 3, 6, 7), 1: False}.get(example, True)
        out.append(logits(labels[index], right, 1 + at))
    out = np.stack(out)
    z = out - out.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    loss = -log_p[np.arange(6), labels[list(chosen.indices)]]
    chosen.record(10 * (at + 1), loss=loss, output=out)
    other.record(10 * (at + 1), loss=np.arange(4, dtype=np.float32) + at)
run.finish()

run = start("numbers")
x = np.linspace(-1, 1, 5, dtype=np.float32)
chosen = run.choose((x[:, None].repeat(40, 1), x[:, None]), n=5, by="first")
for at in range(steps):
    out = (x * (at + 1) / steps)[:, None]
    chosen.record(10 * (at + 1), loss=((out - x[:, None]) ** 2)[:, 0], output=out)
run.finish()

run = start("texts")
prompts = ["once upon\\na time", "the end", "\\x1b[31mred"]
chosen = run.choose(prompts, n=3, by="first")
for at in range(steps):
    greedy = np.array([list(b"ab" + bytes([97 + at // 2])) for _ in prompts])
    top = np.array([[97 + at // 4, 32] for _ in prompts])
    p = np.array([[0.75, 0.25]] * 3, np.float32)
    chosen.record(10 * (at + 1), top5=top, top5_p=p, greedy=greedy)
run.finish()

run = start("unseen")
run.choose(prompts, n=3, by="first")
run.finish()
"""


def make_book(folder: Path) -> Path:
    """Runs `classes`, `numbers`, `texts` and `unseen`."""
    book = folder / "book"
    command = [sys.executable, "-c", SCRIPT, str(book)]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return book
