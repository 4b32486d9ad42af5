"""The digits example with 5 % of its training labels flipped on purpose, learned by heart."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook import dynamics

EXAMPLE = Path(__file__).parent.parent.parent / "examples/digits/train.py"
SHARE = 0.05

CHOSEN = 600
"""Of the 1,347 digits to train on: some 30 of them are flipped."""


@dataclass(frozen=True)
class Precisions:
    """How many of the flipped examples are among as many with the greatest …"""

    n_flipped: int
    learned: float
    """Share of the flipped examples whose wrong label the net gives in the end."""
    shares: dict[str, float]
    run: Any


def flip(labels: Any, share: float = SHARE) -> tuple[Any, set[int]]:
    """Another label for a share of the examples, always the same ones."""
    import torch

    generator = torch.Generator().manual_seed(0)
    which = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
    labels = labels.clone()
    labels[which] = (labels[which] + torch.randint(1, 10, (len(which),), generator=generator)) % 10
    return labels, set(which.tolist())


def precisions(folder: Path, epochs: int, width: int = 16) -> Precisions:
    """Train on the flipped labels, without what keeps the example from learning by heart."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    import labbook

    example = runpy.run_path(str(EXAMPLE))
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = example["digits"]()[0].tensors
    labels, flipped = flip(labels)
    model = example["network"](width)
    next(m for m in model.modules() if isinstance(m, torch.nn.Dropout)).p = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    data = TensorDataset(images, labels)
    run = labbook.start({}, book=folder / "book", gauges=None, output=False, name="flipped")
    chosen = run.choose(data, n=CHOSEN, name="train")
    for epoch in range(epochs):
        for x, y in DataLoader(data, 32, shuffle=True, drop_last=True):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        chosen.observe(model, F.cross_entropy, step=epoch + 1)
    run.finish()
    torch.set_num_threads(n_threads)
    return _judged(labbook.open(folder / "book").run(run.id), flipped)


def _judged(run: Any, flipped: set[int]) -> Precisions:
    rows = dynamics.examples(run, "train").to_pylist()
    wrong = [row for row in rows if row["index"] in flipped]
    shares = {}
    for words, key in (
        ("mean loss", "mean_loss"),
        ("last loss", "last_loss"),
        ("forgetting events", "forgettings"),
    ):
        first = sorted(rows, key=lambda row: -row[key])[: len(wrong)]
        shares[words] = sum(row["index"] in flipped for row in first) / len(wrong)
    learned = sum(row["is_right_last"] for row in wrong) / len(wrong)
    return Precisions(len(wrong), learned, shares, run)
