"""Learning dynamics of whole chosen sets, against reading their rows.

Measured are all tables: by example, by step, and the quartiles of the last step; the floor is
`RunReader.chosen` in the same process, of sealed Parquet; both in seconds of CPU. Then what the
mean loss is worth: of digits with 5 % of the labels flipped, which the net learns by heart, how
many of the flipped ones are among the first as many suspects.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.ground import fresh, recording, wait_until_sealed
from tests.benchmarks.report import Figure

CODE = """
import json, sys, time
import labbook
from labbook import dynamics
book = labbook.open(sys.argv[1])
clock, taken = time.process_time, []  # others may use the machine
for _ in range(int(sys.argv[2])):
    run = book.run(book.ids()[0])
    t0 = clock()
    rows = run.chosen().num_rows
    t1 = clock()
    seen = dynamics.read(run)
    tables = dynamics.examples(seen), dynamics.steps(seen), dynamics.quantiles(seen)
    taken.append((t1 - t0, clock() - t1))
assert seen.scores.kind == "logits" and tables[0].column("confidence").null_count == 0
print(json.dumps([min(read for read, _ in taken), min(made for _, made in taken), rows]))
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    sizes = [(64, 20), (100, 5)] if quick else [(64, 1_000), (10_000, 200)]
    figures = []
    for n, steps in sizes:
        book = folder / f"{n}-{steps}"
        _record(book, n, steps)
        read, made, rows = fresh(CODE, str(book / "book"), "1" if quick else "3", cwd=folder)
        if rows != n * steps:
            raise RuntimeError(f"{rows} rows of {n * steps}")
        what = f"{n:,} examples × {steps:,} observations × 10 logits"
        figures.append(
            Figure(what, made, "s", read, "reading the rows", goal="≤ 2 s", met=made <= 2)
        )
    return figures + _flipped(folder, quick=quick)


def _record(folder: Path, n: int, steps: int) -> None:
    """A set whose logits drift towards the targets."""
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(0)
    target = rng.integers(0, 10, n)
    logits = rng.normal(size=(n, 10)).astype(np.float32)
    with recording(folder, gauges=False) as run:
        chosen = run.choose((rng.normal(size=(n, 4)).astype(np.float32), target), n=n)
        for step in range(steps):
            logits += rng.normal(scale=0.3, size=logits.shape).astype(np.float32)
            logits[np.arange(n), target] += np.float32(4 / steps)
            high = logits.max(axis=1, keepdims=True)
            loss = np.log(np.exp(logits - high).sum(axis=1)) + high[:, 0]
            chosen.record(step, output=logits, loss=loss - logits[np.arange(n), target])
    wait_until_sealed(run.paths)


def _flipped(folder: Path, *, quick: bool) -> list[Figure]:
    from tests.dynamics.flipped import precisions

    found = precisions(folder / "flipped", epochs=1 if quick else 30)
    wait_until_sealed(found.run.paths)  # the folder is about to be removed
    return [
        Figure(
            f"flipped labels among the first {found.n_flipped} by {word}",
            100 * share,
            "%",
            goal="≥ 80 %" if word == "mean loss" else "",
            met=share >= 0.8 if word == "mean loss" else None,
            note=f"{found.learned:.0%} of the flipped labels were learned by heart",
        )
        for word, share in found.shares.items()
    ]
