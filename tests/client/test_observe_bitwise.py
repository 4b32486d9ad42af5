"""Training with observations is bit for bit the training without."""

import contextlib
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from labbook.client.chosen import choose


class Net(nn.Module):
    """Everything that an observation could disturb: dropout, BatchNorm, state outside of both."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8 * 64, 10)
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("average", torch.zeros(8))
        self.calls = 0
        self.cache = {}

    def forward(self, x):
        h = F.relu(self.norm(self.convolution(x)))
        # in every mode: a model may keep state that is not tied to its training flag
        self.calls += 1
        self.average.data.mul_(0.9).add_(0.1 * h.detach().mean((0, 2, 3)))
        self.scale = self.scale * 1.001
        self.cache[len(x)] = self.calls
        noise = torch.rand(1) + random.random() + float(np.random.rand())
        return self.head(self.dropout(h).flatten(1)) * self.scale + self.calls * 1e-3 + noise


def data():
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(96, 1, 8, 8, generator=generator)
    return TensorDataset(x, torch.randint(0, 10, (96,), generator=generator))


def train(observer, region=contextlib.nullcontext):
    """Two epochs; `observer(model, step, where)` is called at three places of every step."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses, step = [], 0
    for _ in range(2):
        observer(model, step, "before the epoch")
        for x, y in DataLoader(data(), batch_size=16, shuffle=True):
            with region():
                loss = F.cross_entropy(model(x), y)
                observer(model, step, "before backward")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            observer(model, step, "after the step")
            losses.append(loss.item())
            step += 1
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return losses, state, (model.calls, model.cache, random.random(), np.random.rand())


def same(one, two):
    (losses, state, rest), (other_losses, other_state, other_rest) = one, two
    assert losses == other_losses
    assert rest == other_rest
    assert state.keys() == other_state.keys()
    for name in state:
        assert torch.equal(state[name], other_state[name]), name


def nothing(model, step, where):
    pass


@pytest.mark.parametrize("where", ["before the epoch", "before backward", "after the step"])
def test_training_is_bitwise_equal(journal, where):
    chosen = choose(journal.writer, data(), 40, batch_size=16)
    observed = []

    def observer(model, step, now):
        if now == where:
            observed.append(chosen.observe(model, F.cross_entropy, step=step))

    same(train(nothing), train(observer))
    assert len(observed) in (2, 12)
    assert all(observed)
    assert len(journal.columns("chosen")) == len(observed)


def test_training_in_an_autocast_region_is_bitwise_equal(journal):
    # observing first fills no cache of weights without gradient (pytorch/pytorch#112583)
    chosen = choose(journal.writer, data(), 16)

    def region():
        return torch.autocast("cpu", torch.bfloat16)

    def observer(model, step, where):
        if where == "before the epoch":
            with region():
                chosen.observe(model, F.cross_entropy, step=step)
                probe = F.cross_entropy(model(data()[0][0][None]), torch.tensor([1]))
                assert probe.requires_grad
                gradient = torch.autograd.grad(probe, model.head.weight)[0]
                assert gradient.abs().sum() > 0
            model.calls -= 1

    def probing(model, step, where):
        if where == "before the epoch":
            with region():
                model(data()[0][0][None])
            model.calls -= 1

    same(train(probing, region), train(observer, region))


class Augmented(Dataset):
    """Random transforms, from every generator, in the loader's workers or in this process."""

    def __len__(self):
        return 48

    def __getitem__(self, index):
        x, y = data()[index]
        return x + torch.rand(1) + random.random() + float(np.random.rand()), y


def epochs(workers, choosing):
    """What a shuffling loader of random transforms yields, with a chosen set beside it or not."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model, seen = Net(), []
    for epoch in range(2):
        if choosing is not None:
            choosing(model, epoch)
        for x, y in DataLoader(Augmented(), 16, shuffle=True, num_workers=workers):
            seen += [x.sum().item(), y.tolist(), model(x).sum().item()]
    return seen


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("by", ["random", "stratified", "spread"])
def test_choosing_and_observing_leave_a_loaders_order_and_seeds(journal, workers, by):
    def choosing(model, epoch):
        chosen = choose(journal.writer, Augmented(), 8, by=by, name=f"set{epoch}")
        assert chosen.observe(model, F.cross_entropy, step=epoch)

    assert epochs(workers, None) == epochs(workers, choosing)
    assert epochs(0, None) != epochs(0, lambda model, epoch: next(iter(DataLoader(data()))))


def test_the_test_can_fail(journal):
    # the plain way to evaluate in the loop does disturb this training
    def plain(model, step, where):
        if where == "after the step":
            model.eval()
            with torch.no_grad():
                model(data().tensors[0])
            model.train()

    with pytest.raises(AssertionError):
        same(train(nothing), train(plain))
