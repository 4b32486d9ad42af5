"""What `run.follow()` adds to a training step: the digits example's net and a ResNet-18, on CPU.

Steps of three trainings of one net take turns: not followed, followed but not sampled, and sampled
at every step. Processor time of the one thread, so that neighbours count less; medians. The
slowdown is that of the default distance of 100 steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labbook.client.sampling import EVERY
from tests.benchmarks.ground import recording
from tests.benchmarks.report import Figure


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    import torch

    torch.set_num_threads(1)
    figures = []
    with recording(folder, gauges=False) as run:
        for name, make, shape, rounds in (
            ("digits", digits, (32, 1, 8, 8), 5 if quick else 100),
            ("ResNet-18, 32×32", resnet18, (8, 3, 32, 32), 1 if quick else 8),
        ):
            bare, idle, sampled = costs(run, name, make, shape, rounds)
            share = ((idle - bare) + (sampled - bare) / EVERY) / bare * 100
            note = (
                f"a step {bare * 1e3:.1f} ms; not sampled {(idle - bare) * 1e6:+.0f} µs, "
                f"sampled {(sampled - bare) * 1e3:+.1f} ms"
            )
            # the difference of two noisy medians may come out below nothing
            figures.append(
                Figure(f"slowdown, {name}", max(share, 0.0), "%", goal="≤ 1 %", met=share <= 1,
                       note=note)
            )  # fmt: skip
    return figures


def costs(
    run: Any, name: str, make: Callable[[], Any], shape: tuple[int, ...], rounds: int
) -> tuple[float, float, float]:
    """Median seconds of a step: bare, followed and not sampled, sampled."""
    subjects = [
        training(run, f"{name.partition(',')[0]}-{every}", make, shape, every)
        for every in (None, 1 << 30, 1)
    ]
    for step in subjects:
        step()
        step()
    taken: list[list[float]] = [[] for _ in subjects]
    for _ in range(rounds):
        for step, times in zip(subjects, taken, strict=True):
            began = time.thread_time()
            step()
            times.append(time.thread_time() - began)
    bare, idle, sampled = (statistics.median(times) for times in taken)
    return bare, idle, sampled


def training(
    run: Any, name: str, make: Callable[[], Any], shape: tuple[int, ...], every: int | None
) -> Callable[[], None]:
    """A training step on one random batch; followed when `every` says how often to sample."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    x, y = torch.randn(shape), torch.randint(0, 10, shape[:1])
    if every is not None:
        run.follow(model, optimizer, every=every, name=name)

    def step() -> None:
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def digits() -> Any:
    """The net of examples/digits."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1024, 10),
    )  # fmt: skip


def resnet18() -> Any:
    """ResNet-18 (He et al. 2015, arXiv 1512.03385), with the small stem that 32×32 pixels want."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride != 1 or before != width:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
                )

        def forward(self, x: Any) -> Any:
            h = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(h + self.shortcut(x))

    layers: list[Any] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True)]
    before = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(before, width, stride), Block(width, width, 1)]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
