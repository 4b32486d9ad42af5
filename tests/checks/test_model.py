"""Rules of the model, its gradients and what its optimizer holds: planted faults, clean programs.

Each planted fault must end as one finding of the rule named; no clean program alarms.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labbook
from tests.checks.programs_model import (
    CLASSES,
    CLEAN,
    DIGITS,
    IMAGES,
    REAL,
    SERIES,
    TEXT,
    OwnLoss,
    Transformer,
    X,
    adam,
    elbo,
    loader,
    loader_of,
    loop_of,
    mlp,
    program,
    shift_inside,
    token_loss,
)  # fmt: skip
from tests.checks.programs_odd import ODD

CE = F.cross_entropy
OURS = [
    "model", "grad/none", "grad/zero", "grad/tiny", "grad/nonfinite", "loss/nonfinite-forward",
    "grad/input", "grad/check", "optim", "lm",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def found_in(parts: dict[str, Any], only=OURS):
    report = labbook.check(parts, budget_s=120, only=only)
    assert not report.crashed, report.crashed[0].trace
    return report


def alarms(report):
    return [f for f in report.causes if f.status != "note"]


@pytest.mark.parametrize("name", [*CLEAN, *ODD])
def test_a_clean_program_is_not_alarmed(name):
    parts = (CLEAN | ODD)[name]()
    assert [(f.rule, f.where, f.evidence) for f in alarms(found_in(parts))] == []


class Net(nn.Module):
    """A net with one planted line in `between`."""

    def __init__(self, between=lambda h: h, out=3):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, out)
        self.between = between

    def forward(self, x):
        return self.c(F.relu(self.between(self.b(F.relu(self.a(x))))))


def classes(model=Net, **more):
    return program(model, CE, X, CLASSES, **more)


def plant(between, **more):
    return classes(lambda: Net(between), **more)


# ---------------------------------------------------------------- examples that mix


class Wrong(nn.Module):
    """An LSTM without batch_first."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Viewed(nn.Module):
    """A view where a transpose was meant."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        h = self.a(x)
        n, t, f = h.shape
        h = h.view(t, n, f).mean(0)
        return self.b(h)


class Attending(nn.Module):
    """Attention over the batch axis, and tokens."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(17, 8)
        self.attention, self.head = nn.MultiheadAttention(8, 2), nn.Linear(8, 17)

    def forward(self, x):
        h = self.emb(x)
        return self.head(h + self.attention(h, h, h)[0])


class Indexed(nn.Module):
    """The same without nn.Embedding."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Parameter(torch.randn(17, 8)), nn.Linear(8, 17)

    def forward(self, x):
        h = self.table[x]
        return self.head(h - h.mean(0))


MIXING = {
    "softmax": plant(lambda h: h * h.softmax(0)),
    "mean": plant(lambda h: h - h.mean(0, keepdim=True)),
    "softmax out": classes(lambda: nn.Sequential(mlp(), nn.Softmax(0))),
    "lstm": program(Wrong, CE, SERIES, DIGITS),
    "view": program(Viewed, CE, SERIES, DIGITS),
    "attention": program(Attending, token_loss, TEXT[:, :-1], TEXT[:, 1:]),
    "indexed": program(Indexed, token_loss, TEXT[:, :-1], TEXT[:, 1:]),
    "norm": classes(
        lambda: nn.Sequential(
            nn.Linear(12, 16), nn.BatchNorm1d(16, track_running_stats=False), nn.Linear(16, 3)
        )
    ),
    "detached": plant(lambda h: h + h.detach().mean(0)),
    "rolled": plant(lambda h: h.roll(1, 0)),
    "first": plant(lambda h: h - h[:1]),
    "reshape": program(
        lambda: nn.Sequential(Flat(), nn.Linear(3 * 8 * 8, 2)), CE, IMAGES, DIGITS
    ),
}  # fmt: skip


class Flat(nn.Module):
    def forward(self, x):
        return x.permute(1, 0, 2, 3).reshape(len(x), -1)


@pytest.mark.parametrize("name", MIXING)
def test_examples_that_mix_are_found(name):
    [found] = alarms(found_in(MIXING[name]))
    assert (found.rule, found.status) == ("model/batch-mixing", "fail")
    assert "test_model.py:" in found.where or name in {"softmax out", "norm"}


def test_functional_dropout_in_eval_mode_is_found():
    [found] = alarms(found_in(plant(lambda h: F.dropout(h, 0.3))))
    assert (found.rule, found.status) == ("model/batch-mixing-eval", "warn")
    assert "test_model.py:" in found.where


@pytest.mark.parametrize(
    "between",
    [
        lambda h: h.reshape(-1).view(16, 16) if len(h) == 16 else 1 / 0,
        lambda h: h.view(16, 16),
    ],
)
def test_a_fixed_size_of_batch_is_found(between):
    [found] = alarms(found_in(plant(between)))
    assert (found.rule, found.status) == ("model/batch-dim", "fail")


def test_a_mean_over_the_batch_is_found():
    parts = program(lambda: nn.Sequential(mlp(1), Mean()), F.mse_loss, X, REAL, train=False)
    [found] = alarms(found_in(parts))
    assert (found.rule, found.status) == ("model/batch-dim", "fail")


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(0, keepdim=True)


# ---------------------------------------------------------------- language


class Leaking(Transformer):
    def forward(self, x):
        return self.head(self.blocks(self.emb(x) + self.pos[: x.shape[1]]))


class Turned(Transformer):
    """The mask is turned the wrong way."""

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]).t()
        return self.head(self.blocks(self.emb(x) + self.pos[: x.shape[1]], mask=mask))


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(17, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 17)

    def forward(self, x):
        return self.head(self.rnn(self.emb(x))[0])


class Padded(nn.Module):
    """A convolution that is padded on both sides; outputs (N, V, T)."""

    def __init__(self):
        super().__init__()
        self.emb, self.conv = nn.Embedding(17, 8), nn.Conv1d(8, 17, 3, padding=1)

    def forward(self, x):
        return self.conv(self.emb(x).transpose(1, 2))


@pytest.mark.parametrize("model", [Leaking, Turned, Both])
def test_a_look_at_the_future_is_found(model):
    [found] = alarms(found_in(program(model, token_loss, TEXT[:, :-1], TEXT[:, 1:])))
    assert (found.rule, found.status) == ("lm/future-leak", "fail")


def test_a_look_at_the_future_is_found_where_positions_are_last():
    [found] = alarms(found_in(program(Padded, CE, TEXT[:, :-1], TEXT[:, 1:])))
    assert (found.rule, found.status) == ("lm/future-leak", "fail")


@pytest.mark.parametrize(
    ("loss", "x", "y", "status", "says"),
    [
        (token_loss, TEXT[:, :12], TEXT[:, :12], "fail", "the token that it was given"),
        (shift_inside, TEXT[:, :-1], TEXT[:, 1:], "fail", "the token after the next"),
        (token_loss, TEXT[:, 1:], TEXT[:, :-1], "warn", "the token before"),
        (token_loss, TEXT[:, :-2], TEXT[:, 2:], "fail", "the token after the next"),
    ],
)
def test_targets_that_are_not_the_next_token_are_found(loss, x, y, status, says):
    [found] = alarms(found_in(program(Transformer, loss, x, y.clone())))
    assert (found.rule, found.status) == ("lm/target-not-shifted", status)
    assert says in found.evidence


def test_a_model_that_shifts_its_labels_twice_is_found():
    rows = [{"input_ids": t[:-1], "labels": t[1:]} for t in TEXT]
    parts = {"model": OwnLoss, "loader": loader_of(rows), "optimizer": adam}
    [found] = alarms(found_in(parts))
    assert (found.rule, found.status) == ("lm/target-not-shifted", "fail")


# ---------------------------------------------------------------- gradients


def no_grad(h):
    with torch.no_grad():
        return h + 1


NO_GRADIENT = {
    "detach": (lambda h: h.detach(), "detach"),
    "data": (lambda h: h.data, "data"),
    "no_grad": (no_grad, "torch.no_grad()"),
    "tensor": (torch.tensor, "tensor"),
    "numpy": (lambda h: torch.from_numpy(h.detach().numpy()), "detach"),
    "argmax": (lambda h: F.one_hot(h.argmax(-1), 16).float(), "argmax"),
    "compare": (lambda h: (h > 0).float(), "gt"),
    "list": (lambda h: torch.tensor(h.tolist()), "tolist"),
    "float": (lambda h: torch.tensor([[float(v) for v in r] for r in h]), "__float__"),
}


@pytest.mark.parametrize("with_loop", [True, False])
@pytest.mark.parametrize("name", NO_GRADIENT)
def test_what_cuts_the_gradient_is_named(name, with_loop):
    between, how = NO_GRADIENT[name]
    [found] = alarms(found_in(plant(between, train=with_loop)))
    assert (found.rule, found.status) == ("grad/none", "fail")
    assert "test_model.py:" in found.where
    assert f"; {how} cuts them off" in found.evidence
    assert "4 of 6 parameters" in found.evidence


def test_a_cut_in_the_loop_is_named():
    batches = loader(X, CLASSES)

    def train(model, optimizer, n_steps):
        for x, y in list(batches) * 2:
            optimizer.zero_grad()
            h = F.relu(model.a(x)).detach()
            CE(model.c(F.relu(model.b(h))), y).backward()
            optimizer.step()

    [found] = alarms(found_in(classes(train=False) | {"train": train}))
    assert (found.rule, found.status) == ("grad/none", "fail")
    assert "test_model.py:" in found.where
    assert "detach cuts them off" in found.evidence


class Sampling(nn.Module):
    """Samples without a gradient; the mean gets one from another term."""

    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(12, 8), nn.Linear(4, 12)

    def forward(self, x):
        mu, logvar = self.enc(x).chunk(2, -1)
        return self.dec(torch.normal(mu, logvar.exp())), mu, logvar


def test_sampling_without_a_gradient_is_found():
    [found] = alarms(found_in(program(Sampling, elbo, X, X.clone())))
    assert (found.rule, found.status) == ("grad/check", "fail")


def test_a_tensor_copied_by_value_is_found_where_other_ways_are_left():
    [found] = alarms(found_in(plant(lambda h: h + torch.tensor(h).sin())))
    assert (found.rule, found.status) == ("grad/none", "warn")
    assert "torch.tensor() of a tensor" in found.evidence


class Swallow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        return x @ w.t()

    @staticmethod
    def backward(ctx, g):
        return g @ torch.ones(g.shape[1], 12), None


class Swallowing(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.head = nn.Parameter(torch.randn(16, 12)), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(Swallow.apply(x, self.w))


def test_a_function_that_returns_no_gradient_is_named():
    [found] = alarms(found_in(classes(Swallowing)))
    assert (found.rule, found.status) == ("grad/none", "fail")
    assert "Swallow.backward() cuts them off" in found.evidence


class Dropped(Net):
    def forward(self, x):
        h = F.relu(self.a(x))
        self.b(h)
        return self.c(h)


class Forgotten(Net):
    def forward(self, x):
        return self.c(F.relu(self.a(x)))


def test_a_result_that_is_dropped_is_found():
    [found] = alarms(found_in(classes(Dropped)))
    assert (found.rule, found.status) == ("grad/none", "warn")


def test_a_layer_that_forward_forgets_is_found():
    [found] = alarms(found_in(classes(Forgotten)))
    assert (found.rule, found.status) == ("model/unused", "warn")
    assert "never uses b" in found.evidence


def dead():
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.constant_(model[0].bias, -100.0)
    return model


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (dead, "all outputs of relu() are 0"),
        (lambda: Net(lambda h: h.clamp(50, 60)), "all outputs of clamp() are 50"),
        (lambda: Net(lambda h: h.round()), "all outputs of round() are"),
        (lambda: Net(lambda h: torch.sigmoid(h * 1e6)), "all outputs of sigmoid() are 0 or 1"),
        (lambda: Net(lambda h: h * 0), ""),
    ],
)
def test_gradients_of_zero_are_found(model, says):
    [found] = alarms(found_in(classes(model)))
    assert (found.rule, found.status) == ("grad/zero", "fail")
    assert says in found.evidence


def test_tiny_gradients_are_a_note():
    model = lambda: nn.Sequential(nn.Linear(12, 16), Scaled(), nn.Linear(16, 3))  # noqa: E731
    report = found_in(classes(model), ["grad/tiny"])
    assert [(f.status, f.where) for f in report.findings] == [("note", "0.weight")]


class Scaled(nn.Module):
    def forward(self, x):
        return x * 1e-10


class Ignoring(Net):
    def forward(self, x):
        return super().forward(torch.ones_like(x))


class Twins(nn.Module):
    """Takes two inputs, and uses the first twice."""

    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(8), nn.Linear(16, 3)

    def forward(self, x, other):
        return self.head(torch.cat([self.body(x), self.body(x)], -1))


def test_an_input_without_a_say_is_found():
    [found] = alarms(found_in(classes(Ignoring)))
    assert (found.rule, found.status) == ("grad/input", "fail")


def test_a_zeroed_input_is_found():
    class Zeroing(Net):
        def forward(self, x):
            return super().forward(x * 0)

    [found] = alarms(found_in(classes(Zeroing)))
    assert (found.rule, found.status) == ("grad/input", "fail")


def test_the_second_input_without_a_say_is_found():
    parts = {
        "model": Twins, "loss": CE, "loader": loader(X, X.flip(0), CLASSES), "optimizer": adam
    }  # fmt: skip
    [found] = alarms(found_in(parts))
    assert (found.rule, found.status) == ("grad/input", "fail")
    assert "input 1" in found.evidence


class Negated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return -g * (1 - x.tanh() ** 2)


class Factor(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x**2


class Entropy(torch.autograd.Function):
    """A loss whose backward forgets the mean."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return F.cross_entropy(x, y)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * (x.softmax(-1) - F.one_hot(y, 3)), None


def test_a_wrong_backward_of_a_loss_is_found():
    [found] = alarms(found_in(program(mlp, Entropy.apply, X, CLASSES)))
    assert (found.rule, found.status) == ("grad/check", "fail")
    assert "Entropy" in found.evidence


class Rectify(torch.autograd.Function):
    """A correct one, with a kink."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x > 0)


class Sign(torch.autograd.Function):
    """Straight through a step, on purpose."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, g):
        return g


@pytest.mark.parametrize("function", [Negated, Factor])
def test_a_wrong_backward_is_found_at_its_class(function):
    [found] = alarms(found_in(plant(function.apply)))
    assert (found.rule, found.status) == ("grad/check", "fail")
    assert "test_model.py:" in found.where
    assert function.__name__ in found.evidence


@pytest.mark.parametrize(("function", "status"), [(Rectify, []), (Sign, ["note"])])
def test_a_backward_that_is_meant_is_not_alarmed(function, status):
    report = found_in(plant(function.apply), ["grad/check"])
    assert [f.status for f in report.findings] == status


def test_a_value_changed_behind_autograds_back_is_found():
    def behind(h):
        h = h * 1
        h.data.mul_(h.detach().sin())
        return h

    report = found_in(plant(behind))
    assert "grad/check" in [f.rule for f in report.findings]


class Switching(Net):
    """Switches gradients off and on by hand."""

    def forward(self, x):
        torch.set_grad_enabled(False)
        h = F.relu(self.a(x))
        torch.set_grad_enabled(True)
        return self.c(F.relu(self.b(h)))


def test_gradients_switched_off_by_hand_are_found():
    [found] = alarms(found_in(classes(Switching)))
    assert (found.rule, found.status) == ("grad/none", "fail")
    assert "torch.no_grad() cuts them off" in found.evidence


# ---------------------------------------------------------------- the optimizer


def head_only(model):
    return torch.optim.Adam(model.c.parameters(), 1e-2)


def of_another(model):
    return torch.optim.Adam(Net().parameters(), 1e-2)


def then_replaced(model):
    optimizer = adam(model)
    model.c = nn.Linear(16, 3)
    return optimizer


def frozen(*names):
    def make():
        model = Net()
        for name in names:
            getattr(model, name).requires_grad_(False)
        return model

    return make


def freezing(batches):
    inner = loop_of(batches, CE)

    def train(model, optimizer, n_steps):
        model.a.requires_grad_(False)
        model.b.requires_grad_(False)
        inner(model, optimizer, n_steps)

    return train


def replacing(batches):
    inner = loop_of(batches, CE)

    def train(model, optimizer, n_steps):
        model.c = nn.Linear(16, 3)
        inner(model, optimizer, n_steps)

    return train


def without_step(model, optimizer, n_steps):
    for x, y in loader(X, CLASSES):
        optimizer.zero_grad()
        CE(model(x), y).backward()


def cleared_before(model, optimizer, n_steps):
    for x, y in loader(X, CLASSES):
        CE(model(x), y).backward()
        optimizer.zero_grad()
        optimizer.step()


def restored(model, optimizer, n_steps):
    kept = {n: p.clone() for n, p in model.state_dict().items()}
    for x, y in loader(X, CLASSES):
        optimizer.zero_grad()
        CE(model(x), y).backward()
        optimizer.step()
        model.load_state_dict(kept)


def sgd(lr, **more):
    return lambda m: torch.optim.SGD(m.parameters(), lr, **more)


def adamw(lr, decay):
    return lambda m: torch.optim.AdamW(m.parameters(), lr, weight_decay=decay)


def twice(model):
    model.d = nn.Parameter(model.a.weight.data)
    return adam(model)


OPTIMIZERS = {
    "head only": (classes(optimizer=head_only), "optim/missing-parameters", "fail"),
    "head only, no loop": (
        classes(optimizer=head_only, train=False), "optim/missing-parameters", "fail",
    ),
    "another": (classes(optimizer=of_another), "optim/foreign-parameters", "fail"),
    "replaced": (classes(optimizer=then_replaced), "optim/foreign-parameters", "fail"),
    "replaced in the loop": (
        classes() | {"train": replacing(loader(X, CLASSES))}, "optim/missing-parameters", "fail",
    ),
    "frozen": (classes(frozen("a", "b")), "optim/mostly-frozen", "warn"),
    "frozen head": (classes(frozen("c")), "optim/mostly-frozen", "warn"),
    "frozen in the loop": (
        classes() | {"train": freezing(loader(X, CLASSES))}, "optim/mostly-frozen", "warn",
    ),
    "no step": (classes() | {"train": without_step}, "optim/step-missing", "fail"),
    "cleared": (classes() | {"train": cleared_before}, "optim/no-update", "fail"),
    "restored": (classes() | {"train": restored}, "optim/no-update", "fail"),
    "rate zero": (classes(optimizer=sgd(0.0)), "optim/rate-zero", "fail"),
    "rate zero, no loop": (classes(optimizer=sgd(0.0), train=False), "optim/rate-zero", "fail"),
    "tiny rate": (classes(optimizer=sgd(1e-30)), "optim/no-update", "fail"),
    "decay": (classes(optimizer=adamw(1e-3, 10)), "optim/decay", "warn"),
    "sgd decay": (classes(optimizer=sgd(0.1, weight_decay=0.5)), "optim/decay", "warn"),
    "adam decay": (
        classes(optimizer=lambda m: torch.optim.Adam(m.parameters(), weight_decay=1.0)),
        "optim/decay", "warn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_does_not_train_is_found(name):
    parts, rule, status = OPTIMIZERS[name]
    [found] = alarms(found_in(parts))
    assert (found.rule, found.status) == (rule, status)
    assert found.where


def test_an_optimizer_object_of_another_model_is_found():
    parts = classes(Net(), optimizer=adam(Net()))
    [found] = alarms(found_in(parts))
    assert (found.rule, found.status) == ("optim/foreign-parameters", "fail")


def test_an_optimizer_object_made_before_the_head_was_replaced_is_found():
    model = Net()
    optimizer = adam(model)
    model.c = nn.Linear(16, 3)
    [found] = alarms(found_in(classes(model, optimizer=optimizer)))
    assert (found.rule, found.status) == ("optim/foreign-parameters", "fail")


def test_one_storage_in_two_parameters_is_found():
    report = found_in(classes(Copied), ["optim/duplicate-parameters", "model/shared-by-accident"])
    assert {(f.rule, f.status) for f in report.findings} == {
        ("optim/duplicate-parameters", "warn"),
        ("model/shared-by-accident", "note"),
    }


class Copied(Net):
    def __init__(self):
        super().__init__()
        self.b.weight = nn.Parameter(torch.randn(16, 16))
        self.d = nn.Linear(16, 16)
        self.d.weight = nn.Parameter(self.b.weight.data)

    def forward(self, x):
        return self.c(F.relu(self.d(F.relu(self.b(self.a(x))))))


def another_model(model, optimizer, n_steps):
    other = Net()
    own = adam(other)
    for x, y in loader(X, CLASSES):
        own.zero_grad()
        CE(other(x), y).backward()
        own.step()


def test_a_loop_that_trains_another_model_is_found():
    [found] = alarms(found_in(classes() | {"train": another_model}))
    assert (found.rule, found.status) == ("optim/no-update", "fail")
    assert "reached no parameter" in found.evidence


# ---------------------------------------------------------------- how the model is defined


class Listed(nn.Module):
    def __init__(self, kind=list):
        super().__init__()
        layers = [nn.Linear(12, 12) for _ in range(3)]
        self.layers = dict(enumerate(layers)) if kind is dict else kind(layers)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
            x = F.relu(layer(x))
        return self.head(x)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.head = torch.randn(12, 12, requires_grad=True), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(F.relu(x @ self.w))


class Held:
    """No module, and holds one."""

    def __init__(self):
        self.layer = nn.Linear(12, 12)


class InObject(nn.Module):
    def __init__(self):
        super().__init__()
        self.held, self.head = Held(), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(F.relu(self.held.layer(x)))


class InClosure(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.Linear(12, 12)
        self.body, self.head = lambda x: F.relu(layer(x)), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.body(x))


class InForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(F.relu(nn.Linear(12, 12)(x)))


@pytest.mark.parametrize(
    "model",
    [Listed, lambda: Listed(tuple), lambda: Listed(dict), Plain, InForward, InObject, InClosure],
    ids=["list", "tuple", "dict", "tensor", "forward", "object", "closure"],
)
@pytest.mark.parametrize("with_loop", [True, False])
def test_what_is_not_registered_is_found(model, with_loop):
    [found] = alarms(found_in(classes(model, train=with_loop)))
    assert (found.rule, found.status) == ("model/unregistered", "fail")
    assert "test_model.py:" in found.where


def test_a_layer_repeated_in_a_list_is_found():
    model = lambda: nn.Sequential(nn.Linear(12, 12), *[nn.Linear(12, 12)] * 3, nn.Linear(12, 3))  # noqa: E731
    [found] = alarms(found_in(classes(model)))
    assert (found.rule, found.status) == ("model/shared-by-accident", "warn")


@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.Sequential(nn.Linear(12, 16), nn.Dropout(0.9), nn.Linear(16, 3)),
        lambda: Net(lambda h: F.dropout(h, 0.9, True)),
    ],
)
def test_a_heavy_dropout_is_found(model):
    found = alarms(found_in(classes(model), ["model/dropout"]))
    assert [(f.rule, f.status) for f in found] == [("model/dropout", "warn")]


def test_half_weights_are_found():
    found = alarms(found_in(classes(lambda: mlp().half()), ["model/dtype"]))
    assert [(f.rule, f.status) for f in found] == [("model/dtype", "warn")]


# ---------------------------------------------------------------- not finite


def broken():
    model = Net()
    with torch.no_grad():
        model.b.weight[0, 0] = float("nan")
    return model


@pytest.mark.parametrize(
    ("parts", "rule", "where"),
    [
        (classes(broken), "model/weights-nonfinite", "b.weight"),
        (plant(lambda h: h / 0), "loss/nonfinite-forward", "test_model.py:"),
        (plant(lambda h: (h - h).log() * 0), "loss/nonfinite-forward", "test_model.py:"),
        (
            program(mlp, lambda o, y: (o - o).log().sum(), X, CLASSES),
            "loss/nonfinite-forward",
            "test_model.py:",
        ),
        (plant(lambda h: h + (h - h).pow(2).sqrt()), "grad/nonfinite", "test_model.py:"),
    ],
)
def test_what_is_not_finite_is_named(parts, rule, where):
    [found] = alarms(found_in(parts))
    assert (found.rule, found.status) == (rule, "fail")
    assert where in found.where


# ---------------------------------------------------------------- what cannot be said


@pytest.mark.parametrize(
    ("parts", "rule", "why"),
    [
        (classes(loader=None), "model/batch-mixing", "no loader= given"),
        (CLEAN["char rnn"](), "model/batch-mixing", "counts time, not examples"),
        (CLEAN["vae"](), "model/batch-mixing-eval", "draws random numbers"),
        (CLEAN["clip"](), "model/batch-mixing", "no row an example"),
        (classes(loader=[(X[:2], CLASSES[:2])]), "model/batch-dim", "too few examples"),
        (classes(optimizer=None), "optim/missing-parameters", "no optimizer= given"),
        (classes(optimizer=adam(Net())), "optim/foreign-parameters", "give a function"),
        (classes(train=False), "optim/step-missing", "no train= given"),
        (
            classes(train=False) | {"train": lambda m, o, n: None},
            "optim/step-missing",
            "0 backward passes, too few to tell",
        ),
        (
            classes(lambda: mlp().requires_grad_(False), train=False),
            "grad/none",
            "does not depend on any trainable parameter",
        ),
    ],
)
def test_what_cannot_be_said_is_skipped_with_why(parts, rule, why):
    skipped = {s.rule: s.reason for s in labbook.check(parts, only=[rule]).skipped}
    assert why in skipped[rule]


def test_a_tied_transformer_with_everything_else_passes():
    report = found_in(program(Transformer, token_loss, TEXT[:, :-1], TEXT[:, 1:]))
    assert report.ok
    assert "model/batch-mixing" in report.passed
