"""Bytes a point, sealed: 10 noisy float32-like losses a step."""

from __future__ import annotations

import math
import random
import struct
from pathlib import Path

from tests.benchmarks.ground import recording, wait_until_sealed
from tests.benchmarks.report import Figure

_f32 = struct.Struct("<f")


def losses(step: int, rng: random.Random, count: int = 10) -> dict[str, float]:
    """Falling, noisy, and each a float32 as it comes out of a network."""
    return {
        f"loss{i}": _f32.unpack(
            _f32.pack(math.exp(-step / 3e4) * (2.0 + i) + 0.1 * rng.gauss(0.0, 1.0))
        )[0]
        for i in range(count)
    }


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    rng, steps = random.Random(0), 2_000 if quick else 100_000
    with recording(folder, gauges=False) as run:
        for step in range(steps):
            run.log(losses(step, rng), step=step)
        in_journal = sum(path.stat().st_size for _, _, path in run.paths.segments())
    wait_until_sealed(run.paths)
    sealed = sum(path.stat().st_size for path in (run.paths.root / "series").glob("*.parquet"))
    points = steps * 10
    a_point = sealed / points
    return [
        Figure("sealed series", a_point, "B/point", goal="≤ 4 B/point", met=a_point <= 4),
        Figure("in the journal before", in_journal / points, "B/point", note="not rolled yet"),
    ]
