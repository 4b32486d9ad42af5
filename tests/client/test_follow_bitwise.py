"""Training that is followed is bit for bit the training that is not."""

import copy
import io
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

STEPS = 12


class Net(nn.Module):
    """Dropout, BatchNorm, an inplace ReLU used twice, a functional one, tied and frozen weights."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.5)
        self.first = nn.Linear(8 * 64, 16)
        self.second = nn.Linear(16, 16)
        self.third = nn.Linear(16, 16)
        self.third.weight = self.second.weight
        self.head = nn.Linear(16, 10)
        self.head.bias.requires_grad_(False)

    def forward(self, x):
        h = self.dropout(self.relu(self.norm(self.convolution(x)))).flatten(1)
        h = F.relu(self.second(self.relu(self.first(h))))
        return self.head(self.third(h) + torch.rand(1) + random.random() + float(np.random.rand()))


def data():
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(16 * STEPS // 2, 1, 8, 8, generator=generator)
    return TensorDataset(x, torch.randint(0, 10, (len(x),), generator=generator))


def adam(model):
    return [torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)]


def two(model):
    head = list(model.head.parameters())
    rest = [p for name, p in model.named_parameters() if not name.startswith("head")]
    return [torch.optim.SGD(head, 0.1, momentum=0.9), torch.optim.RMSprop(rest, 1e-3)]


def plain(optimizers, scaler, loss):
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss().backward()
    for optimizer in optimizers:
        optimizer.step()


def accumulating(optimizers, scaler, loss):
    for _ in range(3):
        (loss() / 3).backward()
    nn.utils.clip_grad_norm_(optimizers[0].param_groups[0]["params"], 0.1)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def closed(optimizers, scaler, loss):
    def closure():
        optimizers[0].zero_grad()
        found = loss()
        found.backward()
        return found

    optimizers[0].step(closure)


def scaled(optimizers, scaler, loss):
    optimizers[0].zero_grad()
    scaler.scale(loss()).backward()
    scaler.step(optimizers[0])
    scaler.update()


def train(run, how=plain, make=adam, given=True, **options):
    """Two epochs, followed when there is a run; returns all that following could disturb."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model = Net()
    optimizers = make(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    if run is not None:
        run.follow(model, optimizers if given else None, **options)
    losses, copies = [], []
    for _ in range(2):
        for x, y in DataLoader(data(), batch_size=16, shuffle=True):

            def loss(x=x, y=y):
                with torch.autocast("cpu", torch.bfloat16, enabled=how is scaled):
                    found = F.cross_entropy(model(x), y)
                losses.append(found.item())
                return found

            how(optimizers, scaler, loss)
            copies.append(copy.deepcopy(model).state_dict())
            torch.save(model, io.BytesIO())
        with torch.no_grad():
            model.eval()
            losses.append(float(model(data().tensors[0]).sum()))
            model.train()
    optimizer_state = [optimizer.state_dict() for optimizer in optimizers]
    rest = random.random(), np.random.rand(), torch.rand(1).item()
    return losses, model.state_dict(), optimizer_state, copies[-1], rest, model


def same(one, two):
    assert one[0] == two[0]
    assert one[4] == two[4]
    for a, b in ((one[1], two[1]), (one[3], two[3])):
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), name
    for a, b in zip(one[2], two[2], strict=True):
        assert str(a["param_groups"]) == str(b["param_groups"])
        for key, state in a["state"].items():
            assert_same_state(state, b["state"][key])


def assert_same_state(one, two):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_same_state(one[name], two[name])
    elif isinstance(one, list):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_same_state(a, b)
    else:
        assert one == two


def hooks_of(model):
    kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    on_modules = sum(len(getattr(m, name)) for m in model.modules() for name in kept)
    return on_modules + sum(len(p._backward_hooks or {}) for p in model.parameters())


def lbfgs(model):
    return [torch.optim.LBFGS(model.parameters(), max_iter=3)]


def fused(model):
    return [torch.optim.AdamW(model.parameters(), 1e-2, fused=True)]


@pytest.mark.parametrize(
    ("how", "make", "options"),
    [
        (plain, adam, {}),
        (plain, adam, {"every": 3, "activations": False}),
        (plain, two, {"every": 1}),
        (accumulating, adam, {"every": 1, "histograms": True}),
        (closed, lbfgs, {"every": 1}),
        (scaled, adam, {"every": 1}),
        (scaled, fused, {"every": 1}),
    ],
)
def test_training_is_bitwise_equal(start, how, make, options):
    run = start(dirty="allow")
    followed = train(run, how, make, **options)
    assert run.faults == {}
    run.finish()
    assert hooks_of(followed[-1]) == 0
    same(train(None, how, make), followed)


def test_training_is_bitwise_equal_when_the_optimizer_is_found(start):
    from torch.optim import optimizer as optim

    before = len(optim._global_optimizer_pre_hooks), len(optim._global_optimizer_post_hooks)
    run = start(dirty="allow")
    followed = train(run, given=False, every=1)
    run.finish()
    same(train(None), followed)
    assert (len(optim._global_optimizer_pre_hooks), len(optim._global_optimizer_post_hooks)) == (
        before
    )


def test_the_test_can_fail():
    def disturbing(optimizers, scaler, loss):
        plain(optimizers, scaler, loss)
        torch.rand(1)

    with pytest.raises(AssertionError):
        same(train(None), train(None, disturbing))
