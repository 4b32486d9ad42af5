"""Observing on a GPU: training bit for bit as without, generators of each device, real exhaustion.

Not run by default: `pytest -m gpu` on a machine with a CUDA device.
"""

import contextlib
import gc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from labbook.client.chosen import choose
from labbook.journal.reader import Event

pytestmark = pytest.mark.gpu


def data(n=96):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(n, 3, 16, 16, generator=generator)
    return TensorDataset(x, torch.randint(0, 10, (n,), generator=generator))


def network():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(16 * 256, 10),
    ).cuda()


@pytest.fixture
def repeatable(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def train(observe, region):
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses, step = [], 0
    for _ in range(2):
        for x, y in DataLoader(data(), 16, shuffle=True):
            with region():
                loss = F.cross_entropy(model(x.cuda()), y.cuda())
                observe(model, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
    return losses, [value.cpu() for value in model.state_dict().values()]


@pytest.mark.parametrize("region", [contextlib.nullcontext, lambda: torch.autocast("cuda")])
def test_training_is_bitwise_equal(journal, repeatable, region):
    chosen = choose(journal.writer, data(), 40, batch_size=16)
    losses, weights = train(lambda model, step: None, region)
    observed = []

    def observe(model, step):
        observed.append(chosen.observe(model, F.cross_entropy, step))

    other, other_weights = train(observe, region)
    assert losses == other
    assert all(map(torch.equal, weights, other_weights))
    assert observed == [True] * 12


def test_the_callers_autocast_is_what_is_observed(journal):
    chosen = choose(journal.writer, data(), 8)
    model = network()
    chosen.observe(model, None, 0)
    with torch.autocast("cuda", torch.bfloat16):
        chosen.observe(model, None, 1)
    (_, full), (_, half) = journal.columns("chosen")
    assert not np.array_equal(full["output"], half["output"])
    rounded = torch.tensor(half["output"]).bfloat16().float().numpy()
    np.testing.assert_array_equal(half["output"], rounded)


def test_the_generator_of_each_device_is_kept(journal):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, device="cuda"))

        def forward(self, x):
            for device in range(torch.cuda.device_count()):
                torch.rand(5, device=device)
            return x.flatten(1) * self.weight

    before = torch.cuda.get_rng_state_all()
    choose(journal.writer, data(), 8).observe(Noisy(), None, 0)
    assert all(map(torch.equal, before, torch.cuda.get_rng_state_all()))


def test_a_full_device_skips_the_observation(journal):
    chosen = choose(journal.writer, data(), 8)
    model = network()
    free, _ = torch.cuda.mem_get_info()

    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            torch.empty(free + (1 << 30), dtype=torch.uint8, device="cuda")
            return self.inner(x)

    assert chosen.observe(Greedy(), None, 0) is False
    gc.collect()
    assert chosen.observe(model, None, 1) is True
    (event,) = journal.records(Event)
    assert event.fields["kind"] == "observe-skipped"
    assert "out of memory" in event.fields["reason"]
    assert chosen.skipped == 1
