"""mini, primes, same_as, equivariant: what they promise, and what they say when it fails."""

from __future__ import annotations

import json
import pickle
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import labbook
from labbook.client import current
from labbook.errors import CheckFailed, MisuseError

X = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(X, X[:, 0] > 0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = labbook.start(args={}, book=tmp_path / "book", gauges=None, output=False)
    yield made
    made.finish()
    current._current = None


# ---------------------------------------------------------------------- mini


def test_a_mini_set_is_the_same_each_time_and_moves_no_generator():
    states = torch.get_rng_state(), random.getstate()
    one, other = labbook.mini(DATA, 50), labbook.mini(DATA, 50)
    assert one.indices == other.indices
    assert one.digest == other.digest
    assert list(one.indices) == sorted(set(one.indices))
    assert len(one) == 50
    assert torch.equal(one[3][0], X[one.indices[3]])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_the_choice_is_pinned():
    assert labbook.mini(range(1000), 5).indices == (242, 276, 395, 745, 994)


def test_another_seed_or_length_is_another_set():
    digests = {labbook.mini(DATA, 50, seed).digest for seed in range(4)}
    digests.add(labbook.mini(range(999), 50).digest)
    assert len(digests) == 5
    assert labbook.mini(DATA, 50).indices != tuple(range(50))


def test_all_of_a_small_set():
    assert labbook.mini([7, 8, 9]).indices == (0, 1, 2)
    assert list(labbook.mini([7, 8, 9])) == [7, 8, 9]


def test_it_works_in_a_loader_and_is_picklable():
    loader = DataLoader(labbook.mini(DATA, 20), 8)
    assert [len(y) for _, y in loader] == [8, 8, 4]
    again = pickle.loads(pickle.dumps(labbook.mini(DATA, 20)))
    assert torch.equal(again[0][0], labbook.mini(DATA, 20)[0][0])


def test_columns_and_loaders_are_data_too():
    columns = labbook.mini((X, X[:, 0]), 4)
    assert torch.equal(columns[1][0], X[columns.indices[1]])
    assert len(labbook.mini(DataLoader(DATA, 10), 6)) == 6


def test_it_is_a_fact_of_the_run(run):
    made = labbook.mini(DATA, 40, name="mini-train")
    [path] = run.paths.meta.glob("data-*.json")
    fact = json.loads(path.read_text())
    text = json.dumps(fact)
    assert made.digest in text
    assert "mini-train" in text
    assert str(list(made.indices)) in text


def test_without_a_run_and_when_off_it_does_its_job(monkeypatch, tmp_path):
    expected = labbook.mini(DATA, 9).indices
    monkeypatch.setenv("LABBOOK_MODE", "off")
    monkeypatch.chdir(tmp_path)
    labbook.start(args={})
    try:
        assert labbook.mini(DATA, 9).indices == expected
    finally:
        current._current = None
    assert not list(tmp_path.iterdir())


class Stream(IterableDataset):
    def __iter__(self):
        yield from range(5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: labbook.mini(Stream()), "a length and"),
        (lambda: labbook.mini([]), "at least one example"),
        (lambda: labbook.mini(DATA, 0), "at least 1"),
        (lambda: labbook.mini(DATA, 2.5), "at least 1"),
        (lambda: labbook.mini(DATA, seed=None), "whole number"),
        (lambda: labbook.mini(3), "labbook.mini"),
    ],
)
def test_wrong_use_of_mini(call, says):
    with pytest.raises(MisuseError, match=says):
        call()


# ---------------------------------------------------------------------- primes


def test_free_axes_are_different_primes():
    x = labbook.primes([None, 3, None, None])
    assert x.shape == (7, 3, 11, 13)
    assert x.dtype == torch.float32
    assert torch.equal(x, labbook.primes([None, 3, None, None]))


def test_primes_near_a_real_batch():
    like = torch.zeros(32, 3, 64, 64, dtype=torch.float64)
    x = labbook.primes([None, 3, None, None], like=like)
    assert x.shape == (7, 3, 61, 67)
    assert x.dtype == torch.float64


def test_primes_of_tokens():
    x = labbook.primes([None, None], classes=10)
    assert x.dtype == torch.int64
    assert x.shape == (7, 11)
    assert 0 <= int(x.min()) <= int(x.max()) < 10


def test_a_fixed_prime_is_not_taken_twice():
    assert labbook.primes([None, 7, None]).shape == (11, 7, 13)


def test_primes_find_a_swallowed_axis():
    x = labbook.primes([None, 12, None])
    with pytest.raises(RuntimeError):
        x.reshape(-1, 12).reshape(7, 12, 12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: labbook.primes(5), "takes a shape"),
        (lambda: labbook.primes([None, 0]), "axis 1 must be a length"),
        (lambda: labbook.primes([None], like=torch.zeros(2, 2)), "has 2 axes"),
        (lambda: labbook.primes([None], dtype=torch.int64), "needs classes="),
        (lambda: labbook.primes([None] * 60), "free axes"),
    ],
)
def test_wrong_use_of_primes(call, says):
    with pytest.raises(MisuseError, match=says):
        call()


# ---------------------------------------------------------------------- same_as


def slow_softmax(x):
    return torch.stack([row.exp() / row.exp().sum() for row in x])


def test_the_same_values_and_gradients():
    x = torch.randn(5, 4)
    labbook.same_as(lambda t: t.softmax(1), slow_softmax, x)
    labbook.same_as(lambda t: t.softmax(1), slow_softmax, x.double())
    assert x.grad is None


def test_the_worst_element_is_named():
    def wrong(x):
        out = x.softmax(1)
        return out + torch.zeros_like(out).index_put(
            (torch.tensor(3), torch.tensor(2)), torch.tensor(0.5)
        )

    with pytest.raises(
        CheckFailed, match=r"output: 1 of 20 elements differ, most at \[3, 2\]: -?\d+\.\d+"
    ):
        labbook.same_as(wrong, slow_softmax, torch.randn(5, 4))


def test_a_wrong_gradient_of_right_values():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    with pytest.raises(CheckFailed, match="gradient of input 0"):
        labbook.same_as(Square.apply, lambda x: x * x, torch.randn(4))
    labbook.same_as(Square.apply, lambda x: x * x, torch.randn(4), gradients=False)


def test_a_gradient_that_does_not_arrive():
    with pytest.raises(CheckFailed, match="does not reach it in fast"):
        labbook.same_as(lambda a, b: a * b.detach(), lambda a, b: a * b, (X[:2], X[2:4]))


class Loop(nn.Module):
    """A convolution by loops."""

    def __init__(self, of):
        super().__init__()
        self.weight, self.bias = of.weight, of.bias

    def forward(self, x):
        out = []
        for i in range(x.shape[2] - 2):
            for j in range(x.shape[3] - 2):
                patch = x[:, None, :, i : i + 3, j : j + 3]
                out.append((patch * self.weight).sum((2, 3, 4)) + self.bias)
        return torch.stack(out, 2).reshape(len(x), -1, x.shape[2] - 2, x.shape[3] - 2)


def test_modules_compare_parameters_too():
    conv = nn.Conv2d(2, 3, 3)
    labbook.same_as(conv, Loop(conv), torch.randn(2, 2, 6, 5))
    assert conv.weight.grad is None


def test_shapes_and_numbers_of_outputs():
    with pytest.raises(CheckFailed, match=r"shape \(2, 3\) in fast, \(3, 2\) in slow"):
        labbook.same_as(lambda x: x, lambda x: x.T, torch.ones(2, 3))
    with pytest.raises(CheckFailed, match="fast returns 2 tensors, slow 1"):
        labbook.same_as(lambda x: (x, x), lambda x: x, torch.ones(2, 3))
    labbook.same_as(
        lambda x: x * torch.nan, lambda x: x * torch.nan, torch.ones(3), gradients=False
    )
    with pytest.raises(CheckFailed, match="3 of 3"):
        labbook.same_as(lambda x: x * torch.nan, lambda x: x, torch.ones(3), gradients=False)


def test_random_layers_draw_the_same():
    labbook.same_as(nn.Dropout(0.5), lambda x: F.dropout(x, 0.5), torch.ones(50))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: labbook.same_as(3, slow_softmax, X), "takes a function"),
        (lambda: labbook.same_as(lambda x: 1, lambda x: 1, X), "return tensors"),
        (lambda: labbook.same_as(nn.Linear(3, 2), nn.Linear(3, 2), X), "load_state_dict"),
    ],
)
def test_wrong_use_of_same_as(call, says):
    with pytest.raises(MisuseError, match=says):
        call()


# ---------------------------------------------------------------------- equivariant

PICTURES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
MASKS = (PICTURES > 0.5).float()


def flip(x):
    return x.flip(-1)


def bright(x):
    return (x > 0.5).float()


def test_masks_that_are_flipped_with_their_pictures():
    labbook.equivariant(flip, flip, inputs=PICTURES, targets=MASKS, loss=F.mse_loss)
    labbook.equivariant(
        flip,
        flip,
        inputs=PICTURES,
        targets=MASKS,
        loss=F.mse_loss,
        oracle=lambda x: (x > 0.5).float(),
    )


@pytest.mark.parametrize("oracle", [None, bright])
def test_masks_that_are_not(oracle):
    with pytest.raises(CheckFailed, match="as their inputs are"):
        labbook.equivariant(flip, inputs=PICTURES, targets=MASKS, loss=F.mse_loss, oracle=oracle)


def test_a_class_that_turns_with_the_picture():
    def oracle(x):
        """Which half is brighter: left 0, right 1."""
        return torch.stack([x[..., :4].sum((1, 2, 3)), x[..., 4:].sum((1, 2, 3))], 1) * 10

    labels = oracle(PICTURES).argmax(1)
    how = {"inputs": PICTURES, "targets": labels, "loss": F.cross_entropy, "oracle": oracle}
    labbook.equivariant(flip, lambda y: 1 - y, **how)
    with pytest.raises(CheckFailed, match="after the transforms"):
        labbook.equivariant(flip, **how)


def test_random_transforms_draw_the_same():
    def shift(x):
        return x.roll(int(torch.randint(1, 7, ())), -1)

    labbook.equivariant(shift, shift, inputs=PICTURES, targets=MASKS, loss=F.mse_loss)


def test_wrong_use_of_equivariant():
    how = {"inputs": PICTURES, "targets": MASKS}
    with pytest.raises(MisuseError, match=r"transform=.* takes a function"):
        labbook.equivariant(3, loss=F.mse_loss, **how)
    with pytest.raises(MisuseError, match="one number"):
        labbook.equivariant(flip, flip, loss=lambda o, y: o - y, **how)


def test_runs_that_are_compared_and_looked_at_other_mini_sets(tmp_path):
    from labbook.checks.running import check_run

    book, ids = tmp_path / "book", []
    for seed in (0, 0, 1):
        how = {"group": "g", "gauges": False, "output": False, "dirty": "allow"}
        with labbook.start({"seed": seed}, book=book, **how) as run:
            labbook.mini(DATA, 30, seed)
            run.log(loss=1.0)
        ids.append(run.id)
    current._current = None
    opened = labbook.open(book)

    def found(i):
        report = check_run(opened.run(ids[i]), opened, only=["ledger/mini-changed"])
        return [(f.status, f.evidence) for f in report.findings]

    assert found(2) == [("warn", f"the set mini is another one in {ids[1]}")] or found(2) == [
        ("warn", f"the set mini is another one in {ids[0]}")
    ]
