"""Rules that look at the user's own training loop: one planted mistake each, and clean twins."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook
from labbook.checks.modes import has_mode

X = torch.randn(100, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
LOADER = DataLoader(TensorDataset(X, Y), 16, shuffle=True)
ORDERED = DataLoader(TensorDataset(X, Y), 16)
RULES = ["loop/*", "optim/schedule-*", "optim/grad-clip-always"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make():
    return nn.Sequential(
        nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3)
    )


def adam(model):
    return torch.optim.Adam(model.parameters(), 1e-2)


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)


def parts(train, **changed):
    return {
        "model": make,
        "loss": F.cross_entropy,
        "loader": LOADER,
        "optimizer": adam,
        "train": train,
        **changed,
    }


def looping(body, before=lambda m, o: None, epoch=lambda m, o: None, loader=LOADER):
    """A loop over the loader with `body(model, optimizer, x, y, kept)` in it."""

    def train(model, optimizer, n_steps):
        model.train()
        kept = before(model, optimizer)
        done = 0
        while done < n_steps:
            for x, y in loader:
                body(model, optimizer, x, y, kept)
                done += 1
            epoch(model, optimizer)

    return train


def plain(model, optimizer, x, y, kept=None):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def check(train, **changed):
    return labbook.check(parts(train, **changed), only=RULES)


def alarms(report):
    assert not report.crashed, report.crashed[0].trace
    return [f for f in report.causes if f.status != "note"]


def clean(report):
    return alarms(report) == []


# ---------------------------------------------------------------------------- planted


def never_cleared(model, optimizer, x, y, kept):
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def cleared_too_late(model, optimizer, x, y, kept):
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    optimizer.step()


def cleared_too_late_in_place(model, optimizer, x, y, kept):
    F.cross_entropy(model(x), y).backward()
    model.zero_grad(set_to_none=False)
    optimizer.step()


def step_first(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    optimizer.step()
    loss.backward()


def no_step(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()


def no_grad(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    with torch.no_grad():
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()


def made_to_require(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y).detach().requires_grad_()
    loss.backward()
    optimizer.step()


def in_eval(model, optimizer, x, y, kept):
    model.eval()
    plain(model, optimizer, x, y)


def clip_after(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)


def clip_before(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    loss.backward()
    optimizer.step()


def clip_all(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-4)
    optimizer.step()


def rebuilt(model, optimizer, x, y, kept):
    optimizer = adam(model)
    plain(model, optimizer, x, y)


def summed(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    kept[0] += loss


def raises_late(model, optimizer, x, y, kept):
    plain(model, optimizer, x, y)
    if len(x) < 16:
        raise ValueError("the last batch is short")


def square_root(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    (F.cross_entropy(model(x), y) * torch.log(x[:, 0] * 0).mean()).backward()
    optimizer.step()


def unscaled(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    kept.scale(F.cross_entropy(model(x), y)).backward()
    optimizer.step()
    kept.update()


def not_scaled(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    kept.step(optimizer)
    kept.update()


def scheduled_first(model, optimizer, x, y, kept):
    kept.step()
    plain(model, optimizer, x, y)


def scheduled(model, optimizer, x, y, kept):
    plain(model, optimizer, x, y)
    kept.step()


def scaler(model, optimizer):
    return torch.amp.GradScaler("cpu", init_scale=1024.0)


def step_lr(model, optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)


def slow_lr(model, optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 10, gamma=0.9)


def short_cosine(model, optimizer):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)


def evaluates(model, optimizer):
    model.eval()
    with torch.no_grad():
        model(X)


PLANTED = [
    ("loop/stale-grad", "fail", looping(never_cleared), "never_cleared"),
    ("loop/stale-grad", "fail", looping(never_cleared, epoch=lambda m, o: o.zero_grad()), ""),
    ("loop/cleared-before-step", "fail", looping(cleared_too_late), "cleared_too_late"),
    ("loop/cleared-before-step", "fail", looping(cleared_too_late_in_place), "in_place"),
    ("loop/step-before-backward", "fail", looping(step_first), "step_first"),
    ("loop/no-step", "fail", looping(no_step), "no_step"),
    ("loop/no-grad", "fail", looping(no_grad), "no_grad"),
    ("loop/no-grad", "fail", looping(made_to_require), "made_to_require"),
    ("loop/train-in-eval", "fail", looping(in_eval), "plain"),
    ("loop/eval-never-left", "fail", looping(plain, epoch=evaluates), "plain"),
    ("loop/clip-after-step", "fail", looping(clip_after), "clip_after"),
    ("loop/clip-after-step", "fail", looping(clip_before), "clip_before"),
    ("optim/grad-clip-always", "warn", looping(clip_all), "clip_all"),
    ("loop/optimizer-rebuilt", "warn", looping(rebuilt), "adam"),
    ("loop/graph-kept", "warn", looping(summed, lambda m, o: [0.0]), "summed"),
    ("loop/dry-run", "fail", looping(raises_late), "raises_late"),
    ("loop/nonfinite", "fail", looping(square_root), "square_root"),
    ("loop/scaler", "fail", looping(unscaled, scaler), "unscaled"),
    ("loop/scaler", "fail", looping(not_scaled, scaler), "not_scaled"),
    ("optim/schedule-order", "warn", looping(scheduled_first, slow_lr), "scheduled_first"),
    ("optim/schedule-horizon", "warn", looping(scheduled, step_lr), "scheduled"),
    ("optim/schedule-horizon", "warn", looping(scheduled, short_cosine), "scheduled"),
    ("optim/schedule-horizon", "warn", looping(plain, slow_lr), "slow_lr"),
]


@pytest.mark.parametrize(
    ("rule", "status", "train", "where"), PLANTED, ids=[f"{p[0]}:{p[3]}" for p in PLANTED]
)
def test_a_planted_mistake_is_one_finding_at_its_line(rule, status, train, where):
    report = check(train)
    [found] = alarms(report)
    assert (found.rule, found.status) == (rule, status)
    assert where in found.where
    assert "test_loop.py" in found.where


def test_the_same_batch_at_every_step():
    def train(model, optimizer, n_steps):
        model.train()
        for _ in range(n_steps):
            plain(model, optimizer, *next(iter(ORDERED)))

    [found] = alarms(check(train, loader=ORDERED))
    assert (found.rule, found.status) == ("loop/one-batch", "fail")


def test_a_new_optimizer_each_epoch():
    def train(model, optimizer, n_steps):
        model.train()
        for _ in range(n_steps // len(LOADER)):
            optimizer = torch.optim.Adam(model.parameters())
            for x, y in LOADER:
                plain(model, optimizer, x, y)

    [found] = alarms(check(train))
    assert found.rule == "loop/optimizer-rebuilt"
    assert "in train" in found.where


def test_a_new_optimizer_without_state_is_a_note():
    def body(model, optimizer, x, y, kept):
        plain(model, torch.optim.SGD(model.parameters(), 0.1), x, y)

    report = check(looping(body))
    assert clean(report)
    assert [f.rule for f in report.findings] == ["loop/optimizer-rebuilt"]


def test_hidden_state_that_is_carried_on_keeps_every_graph():
    def body(model, optimizer, x, y, kept):
        optimizer.zero_grad()
        output = model(x)
        kept[0] = kept[0] * 0.5 + output.mean()
        (F.cross_entropy(output, y) + 1e-3 * kept[0]).backward(retain_graph=True)

        optimizer.step()

    report = check(looping(body, lambda m, o: [0.0]))
    assert "loop/dry-run" in [f.rule for f in report.findings] or [
        (f.rule, f.status) for f in alarms(report)
    ] == [("loop/graph-kept", "fail")]


def test_evaluate_that_leaves_eval_mode_behind():
    def train(model, optimizer, n_steps):
        for _, (x, y) in zip(range(n_steps), LOADER, strict=False):
            plain(model, optimizer, x, y)

    def evaluate(model):
        model.eval()
        with torch.no_grad():
            return float(F.cross_entropy(model(X), Y))

    [found] = alarms(check(train, evaluate=evaluate))
    assert (found.rule, found.status) == ("loop/eval-never-left", "warn")

    def restoring(model):
        value = evaluate(model)
        model.train()
        return value

    assert clean(check(train, evaluate=restoring))
    assert clean(check(looping(plain), evaluate=evaluate))  # its loop calls model.train()


def accumulating(scale, clears=True):
    def train(model, optimizer, n_steps):
        model.train()
        optimizer.zero_grad()
        done = n = 0
        while done < n_steps:
            for x, y in LOADER:
                loss = F.cross_entropy(model(x), y)
                (loss if scale == 1 else loss * scale).backward()
                n += 1
                if n % 2 == 0:
                    optimizer.step()
                    if clears:
                        optimizer.zero_grad()
                    done += 1

    return train


def small(batch, norm):
    def model():
        return nn.Sequential(nn.Linear(12, 16), norm(), nn.ReLU(), nn.Linear(16, 3))

    return {"model": model, "loader": DataLoader(TensorDataset(X, Y), batch)}


def test_accumulation():
    report = check(accumulating(0.5), **small(16, nn.Identity))
    assert report.findings == ()
    report = check(accumulating(1), **small(16, nn.Identity))
    assert clean(report)
    assert [f.rule for f in report.findings] == ["loop/accum-scale"]
    [found] = alarms(check(accumulating(0.5, clears=False), **small(16, nn.Identity)))
    assert found.rule == "loop/stale-grad"


def test_accumulation_with_batch_norm():
    def train(model, optimizer, n_steps):
        model.train()
        for _ in range(n_steps):
            optimizer.zero_grad()
            for _k in range(4):
                rows = torch.randperm(100)[:size]
                (F.cross_entropy(model(X[rows]), Y[rows]) / 4).backward()
            optimizer.step()

    size = 8
    [found] = alarms(check(train, **small(8, lambda: nn.BatchNorm1d(16))))
    assert (found.rule, found.status, found.where) == ("loop/accum-batchnorm", "warn", "1")
    assert "4 · 8 = 32" in found.evidence
    assert clean(check(train, **small(8, lambda: nn.LayerNorm(16))))
    size = 16
    report = check(train, **small(16, lambda: nn.BatchNorm1d(16)))
    assert [f.status for f in report.findings if f.rule == "loop/accum-batchnorm"] == ["note"]


def test_not_finite_names_the_module():
    class Logs(nn.Module):
        def forward(self, x):
            return torch.log(x)

    def model():
        return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), Logs(), nn.Linear(16, 3))

    [found] = alarms(check(looping(plain), model=model))
    assert (found.rule, found.where) == ("loop/nonfinite", "2")
    assert "the output of 2" in found.evidence


def test_a_step_that_goes_too_far_names_the_weights():
    def huge(model):
        return torch.optim.SGD(model.parameters(), 1e38)

    [found] = alarms(check(looping(plain), optimizer=huge))
    assert found.rule == "loop/nonfinite"
    assert found.causes[0] == "the learning rate is too high"


def test_what_a_checkpoint_leaves_out():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, 3)
            self.factor = torch.rand(3)

        def forward(self, x):
            return self.layer(x) * self.factor

    [found] = alarms(check(looping(plain), model=Scaled))
    assert (found.rule, found.status) == ("loop/checkpoint", "fail")


def test_the_short_last_batch_without_a_loop():
    odd = DataLoader(TensorDataset(X[:49], Y[:49]), 16)
    [found] = alarms(check(None, loader=odd, optimizer=sgd))
    assert found.rule == "loop/dry-run"
    assert "Expected more than 1 value per channel" in found.evidence
    dropping = DataLoader(TensorDataset(X[:49], Y[:49]), 16, drop_last=True)
    assert clean(check(None, loader=dropping))


def test_what_evaluate_raises():
    def evaluate(model):
        raise KeyError("loss")

    [found] = alarms(check(looping(plain), evaluate=evaluate))
    assert found.rule == "loop/dry-run"
    assert "in evaluate" in found.where


# ---------------------------------------------------------------------------- clean


def cleared_after(model, optimizer, x, y, kept):
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)


def cleared_by_hand(model, optimizer, x, y, kept):
    for p in model.parameters():
        p.grad = None
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def by_autograd(model, optimizer, x, y, kept):
    params = list(model.parameters())
    grads = torch.autograd.grad(F.cross_entropy(model(x), y), params)
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    optimizer.step()


def two_losses(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    output = model(x)
    F.cross_entropy(output, y).backward(retain_graph=True)
    (1e-3 * output.pow(2).mean()).backward()
    optimizer.step()


def attacked(model, optimizer, x, y, kept):
    model.eval()
    noisy = x.clone().requires_grad_()
    F.cross_entropy(model(noisy), y).backward()
    noisy = (x + 0.05 * noisy.grad.sign()).detach()
    model.train()
    plain(model, optimizer, noisy, y)


def clipped(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.05)
    optimizer.step()


def scaled(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    kept.scale(F.cross_entropy(model(x), y)).backward()
    kept.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    kept.step(optimizer)
    kept.update()


def closure(model, optimizer, x, y, kept):
    def again():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(again)


def validates(model, optimizer):
    model.eval()
    model(X)  # without no_grad
    model.train()


def averaged(model, optimizer):
    return torch.optim.swa_utils.AveragedModel(model)


def averages(model, optimizer, x, y, kept):
    plain(model, optimizer, x, y)
    kept.update_parameters(model)
    kept(x)
    copy.deepcopy(model)(x)


def sharpness(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    moves = [(p, 1e-3 * p.grad) for p in model.parameters()]
    with torch.no_grad():
        for p, move in moves:
            p.add_(move)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    with torch.no_grad():
        for p, move in moves:
            p.sub_(move)
    optimizer.step()


def two_optimizers(model, optimizer):
    return torch.optim.SGD(list(model.parameters())[:2], 0.01)


def both_step(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    kept.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    kept.step()


def logged(model, optimizer, x, y, kept):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    kept.append(loss.item())
    kept[:] = [sum(kept)]


def warm_restarts(model, optimizer):
    return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5)


def one_cycle(model, optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=200)


def cosine_to_the_end():
    def train(model, optimizer, n_steps):
        model.train()
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        done = 0
        while done < n_steps:
            for x, y in LOADER:
                if done < n_steps:
                    scheduled(model, optimizer, x, y, schedule)
                    done += 1

    return train


def frozen_norms(model, optimizer):
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.eval()


CLEAN = {
    "plain": (looping(plain), {}),
    "cleared after": (looping(cleared_after), {}),
    "cleared by hand": (looping(cleared_by_hand), {}),
    "autograd.grad": (looping(by_autograd), {}),
    "two losses": (looping(two_losses), {}),
    "adversarial": (looping(attacked), {}),
    "clipped at each step": (looping(clipped), {}),
    "scaler": (looping(scaled, scaler), {}),
    "closure": (looping(closure), {"optimizer": lambda m: torch.optim.LBFGS(m.parameters(), 0.1)}),
    "validation inside": (looping(plain, epoch=validates), {}),
    "averaged weights": (looping(averages, averaged), {}),
    "sharpness-aware": (looping(sharpness), {}),
    "two optimizers": (looping(both_step, two_optimizers), {}),
    "loss logged": (looping(logged, lambda m, o: []), {}),
    "warm restarts": (looping(scheduled, warm_restarts), {}),
    "one cycle": (looping(scheduled, one_cycle), {}),
    "cosine": (cosine_to_the_end(), {}),
    "slow steps": (looping(scheduled, slow_lr), {}),
    "frozen norms": (looping(plain, frozen_norms), {}),
    "momentum": (looping(plain), {"optimizer": sgd}),
    "no mode": (looping(in_eval), {"model": lambda: nn.Linear(12, 3)}),
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_loop_passes(name):
    train, changed = CLEAN[name]
    report = check(train, **changed)
    assert clean(report), str(report)
    assert report.passed


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(),
                                       nn.Linear(16, 12))  # fmt: skip
        self.critic = nn.Sequential(nn.Linear(12, 16), nn.LeakyReLU(), nn.Linear(16, 1))

    def forward(self, z):
        return self.generator(z)


def gan_loop(clears=True):
    def train(model, optimizer, n_steps):
        critics = torch.optim.Adam(model.critic.parameters(), 1e-3)
        done = 0
        while done < n_steps:
            for x, _ in LOADER:
                fake = model(torch.randn(len(x), 4))
                if clears:
                    critics.zero_grad()
                (model.critic(fake.detach()).mean() - model.critic(x).mean()).backward()
                critics.step()
                optimizer.zero_grad()
                (-model.critic(fake).mean()).backward()
                optimizer.step()
                done += 1

    return train


def test_two_players():
    changed = {
        "model": Gan,
        "optimizer": lambda m: torch.optim.Adam(m.generator.parameters(), 1e-3),
        "loss": lambda o, y: o.mean(),
    }
    assert clean(check(gan_loop(), **changed))
    [found] = alarms(check(gan_loop(clears=False), **changed))
    assert found.rule == "loop/stale-grad"


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return F.dropout(self.layer(x), 0.2, self.training)


@pytest.mark.parametrize(
    ("module", "has"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout(0.0), False),
        (nn.BatchNorm1d(3), True),
        (nn.BatchNorm1d(3, track_running_stats=False), False),
        (nn.LayerNorm(3), False),
        (nn.LSTM(3, 3, 2, dropout=0.1), True),
        (nn.LSTM(3, 3), False),
        (nn.MultiheadAttention(4, 2, dropout=0.1), True),
        (nn.MultiheadAttention(4, 2), False),
        (Own(), True),
        (nn.Sequential(nn.Linear(3, 3)), False),
    ],
)
def test_which_modules_have_a_mode(module, has):
    assert has_mode(module) is has


def test_nothing_of_torch_stays_wrapped():
    from torch.optim.lr_scheduler import LRScheduler

    def state():
        return (
            torch.autograd.backward,
            torch.optim.Optimizer.zero_grad,
            torch.optim.Optimizer.__init__,
            nn.Module.zero_grad,
            LRScheduler.step,
            torch.amp.GradScaler.step,
            nn.utils.clip_grad_norm_.__closure__[0].cell_contents,
        )

    before = state()

    def train(model, optimizer, n_steps):
        raise KeyboardInterrupt

    check(looping(plain))
    with pytest.raises(KeyboardInterrupt):
        check(train)
    assert state() == before
