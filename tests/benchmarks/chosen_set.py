"""A whole validation set observed again and again: bytes on disk, and how long a step is held up.

10,000 examples of 10 classes, 200 observations of a network that learns. *Beyond the forward pass*
is what `observe()` takes on top of the same batches through the same model and the same
`reduction="none"` loss, in eval mode without gradient, timed in turns in one process: of the
thread's own CPU time, and on the clock, which other programs on the machine stretch. *Handing over*
is the part that could wait for the disk. Bytes a value are those of the sealed Parquet column,
against the layout that was measured for softmax outputs.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.ground import recording, wait_until_sealed
from tests.benchmarks.report import Figure
from tests.benchmarks.timing import cost_of

N_CLASSES = 10
LAYOUT = {"float32": 3.16, "bf16": 1.15}  # bytes a value, measured before this was written


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    import torch

    torch.set_num_threads(1)
    n, times = (500, 4) if quick else (10_000, 200)
    figures = []
    for precision in LAYOUT:
        figures += _observed(folder / precision, precision, n, times)
    return figures + _not_due(folder / "idle", quick=quick)


def _observed(folder: Path, precision: str, n: int, times: int) -> list[Figure]:
    import torch
    from torch.nn import functional as F

    data, model, train = _digits(n)
    batches = list(zip(data[0].split(256), data[1].split(256), strict=True))
    began = time.perf_counter()
    over: dict[str, list[float]] = {"CPU": [], "clock": []}
    with recording(folder, gauges=False) as run:
        chosen = run.choose(data, n, precision=precision, forward=lambda m, b: m(b[0]).softmax(1))
        took_choosing = time.perf_counter() - began
        handed = _timed_put(chosen._outbox)

        def loss(output: Any, target: Any) -> Any:
            return F.nll_loss(output.clamp_min(1e-9).log(), target, reduction="none")

        def bare() -> None:
            for x, y in batches:
                loss(model(x).softmax(1), y)

        for step in range(times):
            train()
            model.eval()
            with torch.no_grad():
                forward = _times(bare)
            model.train()
            whole = _times(lambda s=step: chosen.observe(model, loss, s))
            for taken, end, start in zip(over.values(), whole, forward, strict=True):
                taken.append((end - start) * 1e3)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        skipped = chosen.skipped
    began = time.perf_counter()
    wait_until_sealed(run.paths)
    sealed = time.perf_counter() - began
    while len(_parts(run.paths)) != 1 and time.perf_counter() - began < 120:
        time.sleep(0.05)  # its parts are being merged into one
    merged = time.perf_counter() - began
    return [
        *_held_up(over, handed, precision, skipped),
        *_bytes(run.paths, precision, n * times),
        Figure(f"{precision}: choosing {n:,} examples", took_choosing, "s"),
        Figure(f"{precision}: sealed, after finish()", sealed, "s"),
        Figure(f"{precision}: merged into one file, after finish()", merged, "s"),
        Figure(f"{precision}: peak memory of the training process", peak, "MiB"),
    ]


def _timed_put(outbox: Any) -> list[float]:
    """Have each `put` add the milliseconds it takes to the list."""
    put, taken = outbox.put, []

    def timed(*given: Any) -> bool:
        began = time.perf_counter()
        is_taken = put(*given)
        taken.append((time.perf_counter() - began) * 1e3)
        return bool(is_taken)

    outbox.put = timed
    return taken


def _held_up(
    over: dict[str, list[float]], handed: list[float], precision: str, skipped: int
) -> list[Figure]:
    figures = []
    for clock, taken in over.items():
        p50, p99, most = _spread(taken)
        what = f"{precision}: observe() beyond the forward pass, {clock}"
        note = f"{skipped} skipped"
        figures += [
            Figure(f"{what}, p50", p50, "ms", goal="≤ 5 ms", met=p50 <= 5),
            Figure(f"{what}, p99", p99, "ms"),
            Figure(f"{what}, max", most, "ms", note=note),
        ]
    p50, p99, most = _spread(handed)
    return [
        *figures,
        Figure(f"{precision}: handing over, p50", p50, "ms"),
        Figure(f"{precision}: handing over, p99", p99, "ms"),
        Figure(f"{precision}: handing over, max", most, "ms"),
    ]


def _spread(taken: list[float]) -> tuple[float, float, float]:
    """p50, p99, maximum; what is below zero is noise."""
    ranked = sorted(max(0.0, each) for each in taken)
    return statistics.median(ranked), ranked[int(len(ranked) * 0.99)], ranked[-1]


def _parts(paths: Any) -> list[Path]:
    return list((paths.chosen / "chosen").glob("r*.parquet"))


def _bytes(paths: Any, precision: str, rows: int) -> list[Figure]:
    import pyarrow.parquet as pq

    (part,) = _parts(paths)
    meta = pq.ParquetFile(part).metadata
    assert meta.num_rows == rows, "an observation is missing"
    sizes: dict[str, int] = {}
    for group in range(meta.num_row_groups):
        for place in range(meta.num_columns):
            column = meta.row_group(group).column(place)
            name = column.path_in_schema.split(".")[0]
            sizes[name] = sizes.get(name, 0) + column.total_compressed_size
    value, layout = sizes["output"] / rows / N_CLASSES, LAYOUT[precision]
    whole = part.stat().st_size / rows
    rest = ", ".join(f"{k} {v / rows:.2f}" for k, v in sizes.items() if k != "output")
    return [
        Figure(
            f"{precision}: bytes a value of the outputs, sealed",
            value,
            "B",
            layout,
            "measured layout",
            "≤ 1.1 × the layout",
            value <= 1.1 * layout,
        ),
        Figure(f"{precision}: bytes an example and observation, all", whole, "B", note=rest),
    ]


def _not_due(folder: Path, *, quick: bool) -> list[Figure]:
    import torch

    class Empty:
        def observe(
            self, model: Any, loss: Any = None, step: Any = None, *, epoch: Any = None,
            every_rank: bool = False,
        ) -> bool:  # fmt: skip
            return False

    model, loss = torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy
    with recording(folder, gauges=False) as run:
        chosen = run.choose(torch.rand(8, 4), 8, every=1 << 40)
        chosen.observe(model, None, 0)
        empty = Empty()
        found = cost_of(
            {
                "empty": lambda i: empty.observe(model, loss, step=i),
                "due": lambda i: chosen.observe(model, loss, step=i),
            },
            rounds=2 if quick else 20,
            calls=1000 if quick else 20_000,
        )
    added = (found["due"].best - found["empty"].best) / 1e3
    return [
        Figure(
            "observe() that is not due, beyond an empty method",
            max(0.0, added),
            "µs",
            goal="< 0.3 µs",
            met=added < 0.3,
        )
    ]


def _digits(n: int) -> tuple[Any, Any, Callable[[], None]]:
    """Data with a class in it, a network, and a step that teaches it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, N_CLASSES, (n,), generator=generator)
    centres = torch.randn(N_CLASSES, 64, generator=generator)
    x = centres[y] + 2 * torch.randn(n, 64, generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def train() -> None:
        for _ in range(5):
            take = torch.randint(0, n, (64,))
            optimizer.zero_grad()
            F.cross_entropy(model(x[take]), y[take]).backward()
            optimizer.step()

    return (x, y), model, train


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of this thread's CPU time, and on the clock."""
    gc.collect(0)
    cpu, clock = time.thread_time(), time.perf_counter()
    work()
    return time.thread_time() - cpu, time.perf_counter() - clock
