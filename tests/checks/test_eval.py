"""Rules that look at the user's own evaluation: one planted mistake each, and clean twins."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

import labbook

X = torch.randn(200, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
TRAIN = DataLoader(TensorDataset(X[:147], Y[:147]), 16, shuffle=True)
VAL = DataLoader(TensorDataset(X[147:], Y[147:]), 16)  # 16, 16, 16, 5
RULES = ["eval/*"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make():
    return nn.Sequential(
        nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
    )


def train(model, optimizer, n_steps):
    model.train()
    done = 0
    while done < n_steps:
        for x, y in TRAIN:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            done += 1


def parts(evaluate, **changed):
    return {
        "model": make,
        "loss": F.cross_entropy,
        "loader": TRAIN,
        "val": VAL,
        "optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2),
        "train": train,
        "evaluate": evaluate,
        **changed,
    }


def check(evaluate, **changed):
    return labbook.check(parts(evaluate, **changed), only=RULES)


def alarms(report):
    assert not report.crashed, report.crashed[0].trace
    return [f for f in report.causes if f.status != "note"]


def evaluating(  # noqa: PLR0917
    val=VAL,
    mode=lambda m: m.eval(),
    loss=lambda total, n, batches: total / n,
    accuracy=lambda right, n, batches: right / n,
    each=lambda value, n: value * n,
    last=99,
    after=lambda m: m.train(),
    grad=False,
):
    def evaluate(model):
        mode(model)
        total = right = n = batches = 0
        with torch.set_grad_enabled(grad):
            for x, y in val:
                if batches == last:
                    break
                output = model(x)
                total += each(F.cross_entropy(output, y).item(), len(x))
                right += (output.argmax(1) == y).sum().item()
                n, batches = n + len(x), batches + 1
        after(model)
        return {"loss": loss(total, n, batches), "accuracy": accuracy(right, n, batches)}

    return evaluate


def stay(model):
    pass


def one(value, n):
    return value


def steps(model):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    F.cross_entropy(model(X[:8]), Y[:8]).backward()
    optimizer.step()
    model.eval()


DROPPING = DataLoader(VAL.dataset, 16, drop_last=True)
SHUFFLED = DataLoader(VAL.dataset, 16, shuffle=True)

PLANTED = {
    "no eval()": (evaluating(mode=stay), "eval/train-mode", "fail"),
    "dropout back on": (evaluating(mode=lambda m: m.eval()[3].train()), "eval/train-mode", "fail"),
    "stops early": (evaluating(last=1), "eval/not-whole-set", "warn"),
    "drops the last": (evaluating(val=DROPPING), "eval/not-whole-set", "warn"),
    "training data": (evaluating(val=TRAIN), "eval/on-train-data", "fail"),
    "mean of means": (
        evaluating(loss=lambda t, n, b: t / b, each=one), "eval/mean-of-means", "warn"),
    "sum": (evaluating(loss=lambda t, n, b: t, each=one), "eval/loss-as-sum", "warn"),
    "sum over examples": (
        evaluating(loss=lambda t, n, b: t / n, each=one), "eval/loss-as-sum", "warn"),
    "over batches": (evaluating(accuracy=lambda r, n, b: r / b), "eval/metric", "warn"),
    "over full batches": (
        evaluating(accuracy=lambda r, n, b: r / (b * 16)), "eval/metric", "warn"),
    "in percent, over batches": (
        evaluating(accuracy=lambda r, n, b: 100 * r / b), "eval/metric", "warn"),
    "trains": (evaluating(mode=steps), "eval/params-changed", "fail"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_one_finding(name):
    evaluate, rule, status = PLANTED[name]
    [found] = alarms(check(evaluate))
    assert (found.rule, found.status) == (rule, status)
    assert "test_eval.py" in found.where or rule == "eval/params-changed"


def test_the_numbers_are_said():
    [found] = alarms(check(evaluating(loss=lambda t, n, b: t / b, each=one)))
    assert "over 4 batches of the loss" in found.evidence
    assert "the last batch has 5 examples, others 16" in found.evidence


class Drops(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, x):
        return F.dropout(self.layer(x), 0.3)


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)
        self.register_buffer("mean", torch.zeros(12))

    def forward(self, x):
        with torch.no_grad():
            self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return self.layer(x - self.mean)


class Samples(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, x):
        mean = self.layer(x)
        return mean + 0.1 * torch.randn_like(mean)


def test_dropout_as_a_function_is_not_repeatable():
    [found] = alarms(check(evaluating(), model=Drops))
    assert (found.rule, found.status) == ("eval/not-repeatable", "fail")
    assert "in forward" in found.where
    assert "dropout() is on in eval mode" in found.evidence


def test_a_buffer_that_follows_validation_data():
    [found] = alarms(check(evaluating(), model=Counts))
    assert (found.rule, found.status, found.where) == ("eval/buffers-changed", "warn", "mean")


def test_random_validation_data():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 53

        def __getitem__(self, i):
            return X[147 + i] + torch.randn(12), Y[147 + i]

    val = DataLoader(Noisy(), 16)
    [found] = alarms(check(evaluating(val=val), val=val))
    assert found.rule == "eval/not-repeatable"
    assert "the validation data are random" in found.evidence


def test_a_sampling_model_is_a_note():
    report = check(evaluating(), model=Samples)
    assert alarms(report) == []
    assert [f.rule for f in report.findings] == ["eval/not-repeatable"]


def test_gradients_left_on_are_a_note():
    report = check(evaluating(grad=True))
    assert alarms(report) == []
    assert [f.rule for f in report.findings] == ["eval/grad-enabled"]


def averaged(model):
    return evaluating()(torch.optim.swa_utils.AveragedModel(model))


def on_a_copy(model):
    return evaluating()(copy.deepcopy(model))


def of_another(model):
    other = make()
    other.load_state_dict(model.state_dict())
    return evaluating(grad=True)(other)


def both_sets(model):
    return {
        **evaluating()(model),
        **{f"train {k}": v for k, v in evaluating(val=TRAIN)(model).items()},
    }


def a_number(model):
    return evaluating()(model)["accuracy"]


def tensors(model):
    return {k: torch.tensor(v) for k, v in evaluating()(model).items()}


def at_once(model):
    model.eval()
    with torch.no_grad():
        output = model(X[147:])
    model.train()
    return {"loss": F.cross_entropy(output, Y[147:]), "n": 53, "right": 31.0}


CLEAN = {
    "plain": evaluating(),
    "inherits eval mode": evaluating(after=stay),
    "percent": evaluating(accuracy=lambda r, n, b: 100 * r / n),
    "error": evaluating(accuracy=lambda r, n, b: 1 - r / n),
    "shuffled": evaluating(val=SHUFFLED),
    "averaged weights": averaged,
    "a copy": on_a_copy,
    "another model": of_another,
    "both sets": both_sets,
    "a number": a_number,
    "tensors": tensors,
    "at once": at_once,
    "strings": lambda m: {"name": "x", **evaluating()(m)},
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_evaluation_passes(name):
    report = check(CLEAN[name])
    assert alarms(report) == [], str(report)


def test_monte_carlo_dropout_is_declared():
    evaluate = evaluating(mode=lambda m: m.eval()[3].train())
    meant = {"eval/train-mode": "Monte Carlo dropout", "eval/not-repeatable": "the same"}
    report = check(evaluate, allow=meant)
    assert alarms(report) == []
    assert "eval/train-mode" in [f.rule for f in report.allowed]


def test_without_modes_train_mode_does_not_matter():
    report = check(evaluating(mode=stay), model=lambda: nn.Linear(12, 3))
    assert report.findings == ()


def test_a_split_of_one_dataset_is_whole():
    whole = TensorDataset(X, Y)
    val = DataLoader(whole, 16, sampler=torch.utils.data.SubsetRandomSampler(range(147, 200)))
    assert alarms(check(evaluating(val=val), val=val)) == []
    part = DataLoader(Subset(whole, range(147, 200)), 16)
    assert alarms(check(evaluating(val=part), val=part)) == []


def test_a_summed_loss_over_examples_is_right():
    def loss(output, target):
        return F.cross_entropy(output, target, reduction="sum")

    def evaluate(model):
        model.eval()
        with torch.no_grad():
            return sum(loss(model(x), y).item() for x, y in VAL) / 53

    assert alarms(check(evaluate, loss=loss, train=None)) == []


def test_regression_and_roots():
    target = X[:, :1] * 2
    val = DataLoader(TensorDataset(X[147:], target[147:]), 16)
    loader = DataLoader(TensorDataset(X[:147], target[:147]), 16)

    def evaluating_roots(right):
        def evaluate(model):
            errors = [(F.mse_loss(model(x), y).item(), len(x)) for x, y in val]
            if right:
                return (sum(e * n for e, n in errors) / 53) ** 0.5
            return sum(e**0.5 for e, _ in errors) / len(errors)

        return evaluate

    changed = {"model": lambda: nn.Linear(12, 1), "loss": F.mse_loss, "loader": loader,
               "val": val, "train": None}  # fmt: skip
    assert alarms(check(evaluating_roots(True), **changed)) == []
    [found] = alarms(check(evaluating_roots(False), **changed))
    assert found.rule == "eval/mean-of-means"
    assert "root of" in found.evidence


@pytest.mark.parametrize(
    ("evaluate", "rule", "reason"),
    [
        (of_another, "eval/train-mode", "did not call the model"),
        (lambda m: m.eval()(X[147:] * 2) and None, "eval/not-repeatable", ""),
        (lambda m: float(m.eval()(X[147:] * 2).sum()), "eval/not-whole-set", "other inputs"),
        (lambda m: "good", "eval/not-repeatable", "no number"),
    ],
)
def test_what_cannot_be_told_is_skipped(evaluate, rule, reason):
    skipped = {s.rule: s.reason for s in check(evaluate).skipped}
    assert reason in skipped[rule]
