"""What a loss does with outputs and targets: planted mistakes, and programs that only look so."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labbook
from tests.checks.programs_loss import (
    BINARY,
    CLASS,
    CLEAN,
    IMAGES,
    SIGNS,
    SOFT,
    TOKENS,
    VALUE,
    Language,
    Variational,
    X,
    adam,
    contrastive,
    focal,
    hand_gaussian,
    mlp,
    parts,
    sequence,
    trainer,
)  # fmt: skip
from tests.checks.programs_loss_rare import RARE as RARE_PROGRAMS

RULES = [
    "loss",
    "model/output-range",
    "data/target-scale",
    "data/target-range",
    "data/target-dtype",
    "grad/loss-detached",
    "optim/ascent",
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def alarms(report):
    assert not report.crashed, report.crashed[0].trace
    return [f for f in report.findings if f.status != "note"]


def found(subject, rule, only=RULES):
    """The only cause that alarms, which is this rule's."""
    report = labbook.check(subject, only=only)
    causes = [f for f in alarms(report) if f.follows_from is None]
    assert [f.rule for f in causes] == [rule], str(report)
    return causes[0]


def line_of(function, text):
    """`file.py:line` of the line in a function that holds `text`."""
    import inspect

    lines, first = inspect.getsourcelines(function)
    return (
        f"{__file__.rpartition('/')[2]}:{first + next(n for n, s in enumerate(lines) if text in s)}"
    )


@pytest.mark.parametrize(
    "subject", [*CLEAN.values(), *RARE_PROGRAMS.values()], ids=[*CLEAN, *RARE_PROGRAMS]
)
def test_a_program_that_is_as_it_should_be_raises_no_alarm(subject):
    assert alarms(labbook.check(subject, only=RULES)) == []


# ------------------------------------------------------------- logits and probabilities


class Softened(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.body, self.last = mlp()(), last

    def forward(self, x):
        return self.last(self.body(x))


def softmax_before(o, y):
    p = F.softmax(o, dim=1)
    return F.cross_entropy(p, y)


def clamped_softmax(o, y):
    return F.nll_loss(torch.log_softmax(torch.softmax(o, 1).clamp(1e-6, 1), 1), y)


def softmax_by_hand(o, y):
    return F.cross_entropy(o.exp() / o.exp().sum(1, keepdim=True), y)


TWICE = {
    "softmax in the model": parts(mlp(5, nn.Softmax(1)), F.cross_entropy, X, CLASS),
    "softmax in the loss": parts(mlp(), softmax_before, X, CLASS),
    "softmax, clamp, log-softmax": parts(mlp(), clamped_softmax, X, CLASS),
    "softmax by hand": parts(mlp(), softmax_by_hand, X, CLASS),
    "sigmoid and cross-entropy": parts(mlp(5, nn.Sigmoid()), F.cross_entropy, X, CLASS),
    "sigmoid twice": parts(mlp(1, nn.Sigmoid()), F.binary_cross_entropy_with_logits, X, BINARY),
    "softmax over tokens": parts(
        lambda: nn.Sequential(Language(), nn.Softmax(-1)), sequence, TOKENS[:, :-1], TOKENS[:, 1:]
    ),
    "no sigmoid": parts(mlp(1), F.binary_cross_entropy, X, BINARY),
    "log-sigmoid": parts(mlp(1, nn.LogSigmoid()), nn.BCEWithLogitsLoss(), X, BINARY),
    "nll of logits": parts(mlp(), F.nll_loss, X, CLASS),
    "nll of probabilities": parts(mlp(5, nn.Softmax(1)), nn.NLLLoss(), X, CLASS),
    "kl of probabilities": parts(
        mlp(), lambda o, y: F.kl_div(F.softmax(o, 1), y, reduction="batchmean"), X, SOFT
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_the_wrong_kind_of_output_is_found(name):
    finding = found(TWICE[name], "loss/probabilities-as-logits")
    assert finding.status == "fail"
    assert finding.where


def test_and_its_line_is_said():
    finding = found(TWICE["softmax in the loss"], "loss/probabilities-as-logits")
    assert line_of(softmax_before, "F.softmax") in finding.where
    inside = found(TWICE["softmax in the model"], "loss/probabilities-as-logits")
    assert inside.where == "3 (Softmax)"


def test_a_log_softmax_before_cross_entropy_changes_nothing_and_is_only_noted():
    report = labbook.check(parts(mlp(5, nn.LogSoftmax(1)), F.cross_entropy, X, CLASS), only=RULES)
    assert [(f.rule, f.status) for f in report.findings] == [
        ("loss/probabilities-as-logits", "note")
    ]


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (mlp(), lambda o, y: F.nll_loss(F.log_softmax(o, 0), y)),
        (mlp(5, nn.LogSoftmax(0)), F.nll_loss),
        (mlp(), lambda o, y: -F.log_softmax(o, dim=0).gather(1, y[:, None]).mean()),
    ],
)
def test_a_softmax_over_the_batch_is_found(model, loss):
    assert "axis 0" in found(parts(model, loss, X, CLASS), "loss/batch-softmax").evidence


# ------------------------------------------------------------- sign


def negated(o, y):
    error = F.cross_entropy(o, y)
    return -error


def negative_focal(o, y):
    return -focal(o, y)


def away_from(o, y):
    return -((o - y) ** 2).mean()


def wrong_elbo(o, x):
    made, mean, log_var = o
    kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()
    return kl - F.mse_loss(made, x, reduction="sum")


def loses(o, y):
    return (torch.sigmoid(o) * y + (1 - torch.sigmoid(o)) * (1 - y)).log().mean()


SIGN_LOSSES = {
    "cross-entropy": parts(mlp(), negated, X, CLASS),
    "focal": parts(mlp(), negative_focal, X, CLASS),
    "squares": parts(mlp(1), away_from, X, VALUE),
    "far squares": parts(mlp(1), away_from, X, VALUE + 100),
    "one of two terms": parts(Variational, wrong_elbo, IMAGES, IMAGES),
    "likelihood": parts(mlp(1), loses, X, BINARY),
    "times minus one": parts(mlp(1), lambda o, y: F.l1_loss(o, y) * -1, X, VALUE),
}


@pytest.mark.parametrize("name", SIGN_LOSSES)
def test_a_flipped_sign_is_found(name):
    assert found(SIGN_LOSSES[name], "loss/sign").status == "fail"


def test_the_line_of_the_minus_is_said():
    assert line_of(negated, "-error") in found(SIGN_LOSSES["cross-entropy"], "loss/sign").where


def test_a_minus_in_the_loop_is_found():
    clean = parts(mlp(), F.cross_entropy, X, CLASS)
    flipped = clean | {"train": trainer(negated, clean["loader"])}
    assert "backward()" in found(flipped, "loss/sign").evidence


def climbing(model):
    return torch.optim.SGD(model.parameters(), 0.01, maximize=True)


class Flipped(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=group["lr"])


def test_an_optimizer_that_climbs_is_found():
    told = found(parts(mlp(), F.cross_entropy, X, CLASS, optimizer=climbing), "optim/ascent")
    assert "maximize=True" in told.evidence
    assert "in climbing" in told.where
    own = parts(mlp(), focal, X, CLASS, optimizer=lambda m: Flipped(m.parameters(), 0.01))
    assert "Flipped" in found(own, "optim/ascent").where


def test_two_minuses_cancel():
    report = labbook.check(parts(mlp(), negated, X, CLASS, optimizer=climbing), only=RULES)
    assert alarms(report) == []


def test_a_critic_without_bound_is_only_noted():
    critic = parts(mlp(1), lambda o, y: (o * (1 - 2 * y)).mean(), X, BINARY)
    report = labbook.check(critic, only=RULES)
    assert alarms(report) == []
    assert [f.rule for f in report.findings] == ["loss/unbounded-below"]


def test_what_cannot_be_compared_is_skipped():
    report = labbook.check(parts(mlp(2), hand_gaussian, X, VALUE), only=["loss/sign"])
    assert "cannot be compared" in report.skipped[0].reason
    settles = labbook.check(parts(mlp(8), contrastive, X, CLASS), only=["loss/sign"])
    assert settles.passed == () or alarms(settles) == []


# ------------------------------------------------------------- no way back


def by_argmax(o, y):
    chosen = o.argmax(1)
    return (chosen != y).float().mean()


def by_numpy(o, y):
    score = o.detach().numpy()
    return torch.tensor((score[:, :1] ** 2).mean(), requires_grad=True)


@torch.no_grad()
def without_graph(o, y):
    return F.cross_entropy(o, y)


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        (by_argmax, "argmax()"),
        (by_numpy, "detach()"),
        (without_graph, "without a graph"),
        (lambda o, y: F.cross_entropy(o, y).item(), "a float"),
        (lambda o, y: F.cross_entropy(o.data, y), "data()"),
    ],
)
def test_a_loss_without_a_gradient_is_found(loss, word):
    finding = found(parts(mlp(), loss, X, CLASS, train=None), "grad/loss-detached")
    assert word in finding.evidence
    assert "test_loss.py" in finding.where


def test_a_loss_that_detaches_a_part_is_right():
    teacher = parts(
        mlp(), lambda o, y: F.cross_entropy(o, y) + (o - o.detach() * 0.9).pow(2).mean(), X, CLASS
    )
    assert alarms(labbook.check(teacher, only=RULES)) == []


def clamped(o, y):
    o = o.clamp(max=0.4)
    return F.cross_entropy(o, y)


def clamped_loss(o, y):
    each = F.cross_entropy(o, y, reduction="none")
    return each.clamp(max=1.0).mean()


@pytest.mark.parametrize(
    ("subject", "function"),
    [
        (parts(mlp(), clamped, X, CLASS), clamped),
        (parts(mlp(), clamped_loss, X, CLASS), clamped_loss),
    ],
)
def test_a_clamp_on_the_way_to_the_loss_is_found(subject, function):
    finding = found(subject, "loss/blocked-gradient")
    assert line_of(function, "clamp(max") in finding.where


def test_rounding_and_a_clamped_model_are_found():
    rounded = parts(mlp(1), lambda o, y: F.mse_loss(o.round(), y), X, VALUE)
    assert "round()" in found(rounded, "loss/blocked-gradient").evidence

    class Cut(Softened):
        def forward(self, x):
            return self.body(x).clamp(0, 0.5)

    assert found(parts(lambda: Cut(None), F.cross_entropy, X, CLASS), "loss/blocked-gradient")


def clipped_ratio(o, y):
    ratio = (F.log_softmax(o, 1).gather(1, y[:, None]).squeeze(1) + 1.6).exp()
    gain = torch.linspace(-1, 1, len(y))
    return -torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()


def hardest(o, y):
    return F.cross_entropy(o, y, reduction="none").topk(4).values.mean()


def far_clamp(o, y):
    return F.cross_entropy(o.clamp(-30, 30), y)


@pytest.mark.parametrize("loss", [clipped_ratio, hardest, far_clamp])
def test_clipped_objectives_and_hard_mining_are_meant(loss):
    assert alarms(labbook.check(parts(mlp(), loss, X, CLASS), only=RULES)) == []


# ------------------------------------------------------------- shapes and order


def squares(o, y):
    return ((o - y) ** 2).mean()


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.huber_loss, squares])
def test_columns_against_rows_are_found(loss):
    finding = found(parts(mlp(1), loss, X, VALUE[:, 0]), "loss/broadcast")
    assert "(16, 1) and targets (16,)" in finding.evidence


def test_wide_comparisons_on_purpose_are_right():
    def pairs(o, y):
        near = (o[:, None] - o[None]).pow(2).sum(2)
        return (near * (y[:, None] == y[None])).mean() + F.cross_entropy(o, y)

    assert alarms(labbook.check(parts(mlp(), pairs, X, CLASS), only=["loss/broadcast"])) == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda o, y: F.cross_entropy(o, y.roll(1)),
        lambda o, y: F.cross_entropy(o[:-1], y[1:]),
    ],
)
def test_a_shift_over_the_batch_is_found(loss):
    finding = found(parts(mlp(), loss, X, CLASS), "loss/order")
    assert "test_loss.py" in finding.where


def test_a_random_loss_is_not_called_dependent_on_order():
    def mixed(o, y):
        other = torch.randperm(len(y))
        return 0.7 * F.cross_entropy(o, y) + 0.3 * F.cross_entropy(o, y[other])

    report = labbook.check(parts(mlp(), mixed, X, CLASS), only=["loss/order"])
    assert [s.reason for s in report.skipped] == ["the loss is random"]


def test_a_sum_is_noted():
    [finding] = labbook.check(CLEAN["sum loss"], only=["loss/reduction"]).findings
    assert (finding.status, finding.limit) == ("note", 2.0)


# ------------------------------------------------------------- targets


class Ignored(nn.Module):
    def forward(self, o, y):
        return F.cross_entropy(o, y, ignore_index=255)


def late(value, at=100):
    """Labels that are right but for one, far from the first batch."""
    labels = CLASS.clone()
    labels[at] = value
    return labels


TARGETS = {
    "from one": (parts(mlp(), F.cross_entropy, X, CLASS + 1), "start at 1"),
    "too few outputs": (parts(mlp(4), F.cross_entropy, X, CLASS), "outside 0 … 3"),
    "minus one": (parts(mlp(), F.cross_entropy, X, late(-1, 0)), "such as -1"),
    "a byte": (parts(mlp(), lambda o, y: F.cross_entropy(o, y.long()), X, late(255).byte()), "255"),
    "two signs": (parts(mlp(1), F.binary_cross_entropy_with_logits, X, 2 * BINARY - 1), "-1"),
    "percent": (parts(mlp(1, nn.Sigmoid()), F.binary_cross_entropy, X, 100 * BINARY), "100"),
    "counts": (parts(mlp(1), F.poisson_nll_loss, X, VALUE), "takes counts"),
    "negative weights": (parts(mlp(), F.cross_entropy, X, SOFT - 0.5), "below zero"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_outside_the_range_are_found(name):
    subject, text = TARGETS[name]
    finding = found(subject | {"train": None}, "data/target-range")
    assert finding.status == "fail"
    assert text in finding.evidence


def test_several_classes_at_once_are_no_distribution():
    many = (X[:, :5] > 0).float()
    assert found(parts(mlp(), F.cross_entropy, X, many), "data/target-range").status == "warn"


def test_ignored_labels_and_a_class_that_never_occurs_are_right():
    ignored = parts(mlp(), Ignored(), X, late(255, 0))
    never = parts(mlp(9), F.cross_entropy, X, CLASS + 1)
    for subject in (ignored, never):
        assert alarms(labbook.check(subject, only=RULES)) == []


class OwnLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()()

    def forward(self, x, labels):
        logits = self.body(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def own(labels, **more):
    batches = [{"x": X[i : i + 16], "labels": labels[i : i + 16]} for i in range(0, 64, 16)]
    return {"model": OwnLoss, "loader": batches, "optimizer": adam, **more}


def test_a_model_with_its_own_loss_is_looked_into():
    assert alarms(labbook.check(own(CLASS), only=RULES)) == []
    assert found(own(CLASS + 1), "data/target-range").status == "fail"


def test_and_what_needs_free_outputs_is_skipped():
    report = labbook.check(own(CLASS), only=["loss/unbounded-below", "loss/blocked-gradient"])
    assert all("computes its own loss" in s.reason for s in report.skipped)
    assert len(report.skipped) == 2


def test_bytes_that_wrap_are_found():
    shifted = parts(mlp(), lambda o, y: F.cross_entropy(o, (y - 1).long()), X, CLASS.byte())
    report = labbook.check(shifted | {"train": None}, only=["data"])
    assert "-1 became 255" in next(f for f in report.findings if "dtype" in f.rule).evidence


def test_fractions_that_are_cut_are_found():
    cut = parts(mlp(1), lambda o, y: F.mse_loss(o, y.long().float()), X, VALUE)
    assert "fraction" in found(cut, "data/target-dtype").evidence
    binned = parts(mlp(), lambda o, y: F.cross_entropy(o, (y[:, 0] > 0).long()), X, VALUE)
    assert alarms(labbook.check(binned, only=RULES)) == []


def test_signs_as_targets_are_right_for_a_margin():
    assert SIGNS.min() == -1
    assert alarms(labbook.check(CLEAN["hinge"], only=RULES)) == []


# ------------------------------------------------------------- floor, weights, range, scale


def bounded(o, y):
    return F.cross_entropy(o / (1 + o.abs()), y)


def test_scores_that_cannot_reach_the_targets_are_found():
    assert "could be" in found(parts(mlp(), bounded, X, CLASS), "loss/floor").evidence


def test_a_floor_of_smoothed_or_soft_targets_is_right():
    for name in ("label smoothing", "soft targets", "cosine", "weighted"):
        assert labbook.check(CLEAN[name], only=["loss/floor"]).passed == ("loss/floor",), name


RARE = torch.where(torch.arange(256) % 16 == 0, 1, 0)
RARE[::64] = 2
FEATURES = torch.randn(256, 12, generator=torch.Generator().manual_seed(9))
COUNTS = torch.bincount(RARE).float()


def weighted(weight, out=3):
    return parts(mlp(out), nn.CrossEntropyLoss(torch.as_tensor(weight)), FEATURES, RARE)


@pytest.mark.parametrize(
    ("weight", "status", "text"),
    [
        (COUNTS / COUNTS.mean(), "warn", "grow with"),
        ((COUNTS.mean() / COUNTS)[[2, 0, 1]], "warn", "another order"),
        (torch.tensor([1.0, 0.0, 1.0]), "warn", "weight 0 for class 1"),
        (torch.ones(4), "fail", "4 class weights for 3 classes"),
    ],
)
def test_weights_that_do_not_fit_are_found(weight, status, text):
    finding = found(weighted(weight) | {"train": None}, "loss/class-weights")
    assert finding.status == status
    assert text in finding.evidence


@pytest.mark.parametrize(
    "weight", [COUNTS.mean() / COUNTS, torch.tensor([1.0, 2.0, 1.5]), torch.tensor([0.0, 1.0, 1.0])]
)
def test_weights_that_fit_are_right(weight):
    assert alarms(labbook.check(weighted(weight), only=["loss/class-weights"])) == []


def test_a_positive_weight_upside_down_is_found():
    rare = (RARE > 0).float()[:, None]
    upside = parts(mlp(1), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1 / 15])), FEATURES, rare)
    assert "rare positives need" in found(upside, "loss/class-weights").evidence
    right = parts(mlp(1), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([15.0])), FEATURES, rare)
    assert alarms(labbook.check(right, only=RULES)) == []


def test_a_loss_that_never_moves_is_found():
    single = parts(mlp(1), lambda o, y: F.cross_entropy(o, 0 * y), X, CLASS)
    assert "one and the same loss" in found(single, "loss/constant").evidence

    def still(model, optimizer, n_steps):
        for _ in range(n_steps):
            F.cross_entropy(model(X), CLASS).backward()
            optimizer.step()

    frozen = parts(mlp(), F.cross_entropy, X, CLASS, train=still)
    frozen["optimizer"] = lambda model: torch.optim.SGD(model.parameters(), 0.0)
    assert "at each of 20 steps" in found(frozen, "loss/constant").evidence


@pytest.mark.parametrize(
    ("last", "loss", "target", "status"),
    [
        (nn.Sigmoid(), F.mse_loss, VALUE, "fail"),
        (nn.ReLU(), nn.L1Loss(), VALUE, "fail"),
        (nn.Tanh(), nn.HuberLoss(), 3 * VALUE, "fail"),
        (nn.ReLU(), nn.BCEWithLogitsLoss(), BINARY, "fail"),
        (nn.ReLU(), F.cross_entropy, CLASS, "warn"),
        (nn.Tanh(), F.cross_entropy, CLASS, "warn"),
    ],
)
def test_outputs_that_are_kept_from_the_targets_are_found(last, loss, target, status):
    out = 5 if target is CLASS else 1
    finding = found(parts(mlp(out, last), loss, X, target), "model/output-range")
    assert (finding.status, type(last).__name__ in finding.where) == (status, True)


def test_bounds_that_hold_the_targets_are_right():
    held = parts(mlp(1, nn.Sigmoid()), F.mse_loss, X, BINARY)
    scaled = parts(mlp(1, nn.Tanh()), lambda o, y: F.mse_loss(4 * o, y), X, VALUE.clamp(-3, 3))
    for subject in (held, scaled):
        assert alarms(labbook.check(subject, only=RULES)) == []


@pytest.mark.parametrize("target", [500 * VALUE, 1e-4 * VALUE, VALUE + 90])
def test_targets_of_another_size_are_found(target):
    assert found(parts(mlp(1), F.mse_loss, X, target), "data/target-scale").status == "warn"


class Rescaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp(1)()

    def forward(self, x):
        return self.body(x) * 500 + 90


def test_a_model_that_scales_its_outputs_is_right():
    scaled = parts(Rescaled, F.mse_loss, X, 500 * VALUE + 90)
    assert alarms(labbook.check(scaled, only=RULES)) == []
    assert labbook.check(CLEAN["mlp"], only=["data/target-scale"]).skipped


# ------------------------------------------------------------- what the loop does by itself


def with_loop(loss, model=None, target=CLASS, stated=F.cross_entropy):
    """A stated loss that is right, and a loop that does something else."""
    subject = parts(model or mlp(), stated, X, target)
    return subject | {"train": trainer(loss, subject["loader"])}


def clipped_in_the_loop(o, y):
    error = F.cross_entropy(o, y)
    return error.clamp(max=0.5)


def new_tensor(o, y):
    return torch.tensor(F.cross_entropy(o, y).item(), requires_grad=True)


@pytest.mark.parametrize(
    ("subject", "rule", "function", "text"),
    [
        (with_loop(softmax_before), "loss/probabilities-as-logits", softmax_before, "F.softmax"),
        (with_loop(negated), "loss/sign", negated, "-error"),
        (
            with_loop(clipped_in_the_loop),
            "loss/blocked-gradient",
            clipped_in_the_loop,
            "clamp(max",
        ),
        (with_loop(new_tensor), "grad/loss-detached", new_tensor, ".item()"),
        (with_loop(by_argmax), "grad/loss-detached", by_argmax, "o.argmax"),
    ],
)
def test_a_mistake_that_only_the_loop_makes_is_found_at_its_line(subject, rule, function, text):
    assert line_of(function, text) in found(subject, rule).where


def test_a_loop_that_broadcasts_is_found():
    right = lambda o, y: F.mse_loss(o.squeeze(1), y)  # noqa: E731
    wrong = with_loop(F.mse_loss, mlp(1), VALUE[:, 0], stated=right)
    assert found(wrong, "loss/broadcast")


def test_without_a_stated_loss_the_loop_is_looked_at():
    subject = with_loop(softmax_before) | {"loss": None}
    assert found(subject, "loss/probabilities-as-logits")


def test_a_loop_with_two_backward_passes_is_right():
    def two(model, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.zero_grad()
            out = model(X)
            (F.cross_entropy(out, CLASS) / 2).backward(retain_graph=True)
            (out.clamp(-1, 1).pow(2).mean() * 0.1).backward()
            optimizer.step()

    assert (
        alarms(labbook.check(parts(mlp(), F.cross_entropy, X, CLASS, train=two), only=RULES)) == []
    )


def test_what_a_loop_computes_for_its_log_is_no_loss():
    def logs(model, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.zero_grad()
            out = model(X)
            right = (out.softmax(1).round() == F.one_hot(CLASS, 5)).float().mean()
            shown = F.cross_entropy(out.softmax(1), CLASS), (out[:, :1] - VALUE[:, 0]).abs().mean()
            F.cross_entropy(out, CLASS).backward()
            assert right >= 0
            assert len(shown) == 2
            optimizer.step()

    subject = parts(mlp(), F.cross_entropy, X, CLASS, train=logs)
    assert alarms(labbook.check(subject, only=RULES)) == []


def test_a_minus_before_a_loss_of_ones_own_is_found_in_the_loop():
    assert "a minus" in found(with_loop(negative_focal, stated=focal), "loss/sign").evidence
