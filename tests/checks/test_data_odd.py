"""Odd batches: a rule on data may say that it cannot tell, and never breaks."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook
from labbook.checks.bench import Bench
from labbook.checks.card import write_card
from labbook.checks.rule import Cannot
from labbook.checks.subject import Subject

Y4 = torch.arange(4) % 3
Y20 = torch.arange(20) % 3


class Deaf(nn.Module):
    """Takes anything, and looks at nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, *args, **kwargs):
        return self.weight.expand(4, 3)


class Texts(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return {"text": "abc", "n": i}


ODD = {
    "no tensors": [({"a": "x"}, "y")] * 3,
    "empty": [],
    "texts": ["ab", "cd"],
    "lone integers": [torch.arange(4)] * 3,
    "numbers": [(torch.tensor(1.0), torch.tensor(1))] * 3,
    "one axis": [(torch.randn(4), Y4)] * 3,
    "booleans": [(torch.rand(4, 5) > 0.5, Y4)] * 3,
    "complex": [(torch.randn(4, 5, dtype=torch.complex64), Y4)] * 3,
    "half": [(torch.randn(4, 5).half(), Y4)] * 3,
    "bfloat16": [(torch.randn(20, 25).bfloat16(), Y20)] * 3,
    "sparse": [(torch.eye(4).to_sparse(), Y4)] * 3,
    "ragged": [(torch.randn(4, 5 + i), Y4) for i in range(3)],
    "no examples": [(torch.randn(0, 5), Y4[:0])] * 3,
    "no features": [(torch.randn(4, 0), Y4)] * 3,
    "arrays": [(np.ones((4, 5)), np.ones(4))] * 3,
    "mapping": [{"x": torch.randn(4, 5), "labels": Y4}] * 3,
    "lists": [([torch.randn(3, 4, 4), torch.randn(3, 5, 5)], [Y4, Y4])] * 3,
    "no target": [(torch.randn(4, 5), None)] * 3,
    "with gradients": [(torch.randn(4, 5, requires_grad=True), Y4)] * 3,
    "nested": [((torch.randn(4, 5), (torch.randn(4, 2),)), Y4)] * 3,
    "infinite": [(torch.full((20, 5), torch.inf), Y20)] * 5,
    "not a number": [(torch.full((20, 5), torch.nan), Y20)] * 5,
    "signed bytes": [(torch.randint(-128, 127, (20, 3, 8, 8), dtype=torch.int8), Y20)] * 5,
    "bytes": [(torch.randint(0, 255, (20, 3, 8, 8), dtype=torch.uint8), Y20)] * 5,
    "16 bits": [(torch.randint(0, 60000, (20, 1, 8, 8)).to(torch.uint16), Y20)] * 5,
    "huge": [(torch.randn(20, 5).double() * 1e300, Y20)] * 5,
    "more targets": [(torch.randn(4, 5), torch.arange(7))] * 3,
    "ragged targets": [(torch.randn(4, 5), torch.zeros(4, i + 1)) for i in range(3)],
    "volumes": [(torch.randn(4, 3, 4, 4, 4), Y4)] * 3,
    "text dataset": DataLoader(Texts(), 2),
}


@pytest.mark.parametrize("name", ODD)
def test_no_rule_breaks(name):
    subject = {"model": Deaf, "loss": lambda output, target: output.sum(), "loader": ODD[name]}
    for more in ({}, {"val": ODD[name]}):
        report = labbook.check(subject | more, only=["data"])
        assert [(s.rule, s.trace) for s in report.crashed] == []


@pytest.mark.parametrize("name", ODD)
def test_no_card_breaks(name, tmp_path):
    loss = lambda output, target: output.sum()  # noqa: E731
    subject = Subject(model=Deaf, loss=loss, loader=ODD[name])
    with contextlib.suppress(Cannot):
        write_card(Bench(subject), tmp_path / "card.html")
