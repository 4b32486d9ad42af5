"""Can it fit one, a few, many examples at all: a ladder whose goal does not depend on the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.free_outputs import best_constant, lowest
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.trainings import affordable, full_training, held_out
from labbook.checks.watched import watched

EARLIER = ("data/*", "loss/*", "grad/*", "model/*", "init/*", "loop/*", "optim/*",
           "act/*")  # fmt: skip
"""What explains that something cannot be fitted."""

_GOAL = (
    "best loss ≤ floor + `gap`·(best constant output − floor), the floor being what free outputs "
    "reach, or every answer right and ≤ floor + `right`·(…), within 300 steps (900 while it still "
    "falls) of the user's optimizer at its own rate, without dropout"
)
_LADDER = {
    "kind": "probe",
    "stage": "fit",
    "limits": {"gap": 0.10, "right": 0.35, "much": 0.5},
    "needs": ("loader",),
    "advice": "figure out optimization on one/few/many points in that order",
    "causes": (
        "the learning rate is far too low or too high",
        "a layer is frozen, dead, or cut off from the loss",
        "the output cannot take the values of the targets",
        "weight decay is far too strong",
    ),
    "fix": "look at the loss on this batch step by step, first with a learning rate 10 times as "
    "high and as low",
    "false_positives": "targets that are no function of the input; where the task is unknown, the "
    "model samples, or has several outputs, this is a note",
    "source": "Shelhamer, DIY Deep Learning; Karpathy, A Recipe for Training Neural Networks",
}

ONE = Rule(
    "fit/overfit-1",
    says="one or two examples cannot be fitted",
    formula="on 1 and on 2 examples: " + _GOAL,
    follows=EARLIER,
    **_LADDER,  # type: ignore[arg-type]
)

FEW = Rule(
    "fit/overfit-few",
    says="a few examples cannot be fitted",
    formula="on 16 examples: " + _GOAL,
    follows=("fit/overfit-1", *EARLIER),
    **_LADDER,  # type: ignore[arg-type]
)

MANY = Rule(
    "fit/overfit-many",
    says="many examples are not fitted after some passes",
    formula="after 150 steps over ≤ 512 examples the mean loss of a pass is above floor + "
    "`half`·(best constant output − floor)",
    follows=("fit/overfit-1", "fit/overfit-few", *EARLIER),
    **{**_LADDER, "limits": {"half": 0.5}},  # type: ignore[arg-type]
)

STEPS, MORE_STEPS = 300, 900
SECONDS = 4.0
SCALE = 64
"""Examples that the problem's scale is taken from."""


@dataclass(frozen=True)
class Fit:
    """A training on `n` examples: the first and lowest loss, the floor and the scale (the gap)."""

    n: int
    first: float
    best: float
    floor: float
    gap: float
    steps: int
    is_right: bool
    is_cut_short: bool

    @property
    def share(self) -> float:
        """Of the gap that is left; infinite where the loss was never finite."""
        return (self.best - self.floor) / self.gap if math.isfinite(self.best) else math.inf

    def reaches(self, limits: Limits) -> bool:
        """Whether it is fitted."""
        return self.share <= limits["gap"] or (self.is_right and self.share <= limits["right"])


@ONE.on_subject
def one(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """One example, then two."""
    for measure in (fit_1, fit_2):
        fit = bench.shared(measure)
        if not fit.reaches(limits):
            yield _said(ONE, bench, fit, limits)
            return


@FEW.on_subject
def few(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Sixteen; of long sequences four."""
    fit = bench.shared(fit_few)
    if not fit.reaches(limits):
        yield _said(FEW, bench, fit, limits)


@MANY.on_subject
def many(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """From the training that other rules use too."""
    training = bench.shared(full_training)
    batches = bench.shared(held_out).training
    n = sum(b.n for b in batches)
    if n > 512 or len(batches) > 50:
        raise Cannot(f"150 steps go over {n} examples too seldom to tell")
    floor, gap = bench.shared(scale)
    last = training.losses[-len(batches) :]
    share = (sum(last) / len(last) - floor) / gap
    if not share <= limits["half"]:
        yield MANY.note(
            value=share,
            limit=limits["half"],
            evidence=f"after {len(training.losses)} steps over {n} examples {share:.0%} of the way "
            "from the best constant output to the lowest loss is left",
        )


def fit_1(bench: Bench) -> Fit:
    """`bench.shared` it, like the next two."""
    return _fitted(bench, 1)


def fit_2(bench: Bench) -> Fit:
    """Two examples."""
    return _fitted(bench, 2)


def fit_few(bench: Bench) -> Fit:
    """Sixteen examples; four where each has many targets."""
    target = bench.batch.target
    is_long = getattr(target, "ndim", 0) > 1 and target[0].numel() > 16
    return _fitted(bench, 4 if is_long and bench.task == "language" else 16)


def scale(bench: Bench) -> tuple[float, float]:
    """The floor on 64 examples, and the gap from it to the best constant output.

    `bench.shared` it. Raises `Cannot` where a constant output is as good as any.
    """
    batch = bench.examples(SCALE)
    floor = lowest(bench, batch)
    gap = best_constant(bench, batch) - floor
    if gap < 1e-6:
        raise Cannot("on the first examples a constant output is as good as any")
    return floor, gap


def _fitted(bench: Bench, n: int) -> Fit:
    _, gap = bench.shared(scale)
    batch = bench.examples(n)
    if batch.n < n:
        raise Cannot(f"the loader has fewer than {n} examples")
    batch = batch.take([0, 0]) if n == 1 else batch  # batch norm needs two
    if _is_summed(bench):
        gap *= batch.n / min(SCALE, bench.examples(SCALE).n)
    floor = lowest(bench, batch)
    return _trained(bench, batch, n, floor, gap)


def _trained(bench: Bench, batch: Batch, n: int, floor: float, gap: float) -> Fit:
    model = bench.model().train()
    _without_dropout(model)
    optimizer = bench.stepper(model)
    started = time.monotonic()
    losses: list[float] = []
    goal = floor + 0.1 * gap
    is_cut_short = False
    while len(losses) < MORE_STEPS:
        bench.tick()
        losses.append(bench.step(model, optimizer, batch))
        if len(losses) == 3:
            affordable((time.monotonic() - started) / 3, STEPS // 2, SECONDS)
        if losses[-1] <= goal or not math.isfinite(losses[-1]):
            break
        if len(losses) >= STEPS and not _falls(losses, goal):
            break
        if time.monotonic() - started > SECONDS:
            is_cut_short = len(losses) < STEPS or _falls(losses, goal)
            break
    finite = [v for v in losses if math.isfinite(v)]
    best = min(finite, default=math.inf) if math.isfinite(losses[-1]) else math.inf
    is_right = best > goal and math.isfinite(best) and _all_right(bench, model, batch)
    return Fit(n, losses[0], best, floor, gap, len(losses), is_right, is_cut_short)


def _falls(losses: list[float], goal: float) -> bool:
    """Whether the last 100 steps took 5 % of what was left: worth going on."""
    now, before = min(losses[-50:]), min(losses[-150:-100], default=math.inf)
    return now < before - 0.05 * max(before - goal, 0.0) and now > goal


def _said(rule: Rule, bench: Bench, fit: Fit, limits: Limits) -> Finding:
    if fit.is_cut_short:
        raise Cannot(f"out of time after {fit.steps} steps")
    is_known = (
        bench.task != "other"
        and bench.subject.optimizer is not None
        and bench.shared(_is_plain)
        and bench.shared(_keeps_order)
        and not has_other_optimizers(bench)
        and bench.shared(_has_room)
    )
    # some way is no sign of a mistake: a bottleneck, a small net, a hard problem
    is_far = not fit.share <= limits["much"] and bench.shared(_trains_much)
    say = rule.fail if is_known and is_far else rule.note
    best = f"{fit.best:.4g}" if math.isfinite(fit.best) else "not finite"
    return say(
        value=fit.share,
        limit=limits["gap"],
        where=f"{fit.n} example" + ("s" if fit.n > 1 else ""),
        evidence=f"the loss went from {fit.first:.4g} to {best} in {fit.steps} steps; outputs "
        f"alone can reach {fit.floor:.4g}, and one constant output is {fit.gap:.4g} above the "
        "lowest",
    )


def has_other_optimizers(bench: Bench) -> bool:
    """Whether the user's loop steps weights with more than the optimizer it was given."""
    try:
        return bool(bench.shared(watched).others)
    except Cannot:
        return False


def _keeps_order(bench: Bench) -> bool:
    """Whether examples lie along the first axis: reordered inputs give reordered outputs."""
    import torch

    model, batch = bench.model().eval(), bench.examples(8)
    order = list(reversed(range(batch.n)))
    with torch.no_grad():
        straight = bench.tensor(bench.forward(model, batch))
        turned = bench.tensor(bench.forward(model, batch.take(order)))
    if straight.shape != turned.shape or len(straight) != batch.n:
        return False
    scale = straight.abs().max().clamp(min=1e-6)
    return bool((turned[order] - straight).abs().max() <= 1e-3 * scale)


def _has_room(bench: Bench) -> bool:
    """Whether there are as many weights as targets that 16 examples have."""
    import torch

    target = bench.batch.target
    each = target[0].numel() if isinstance(target, torch.Tensor) and target.ndim else 1
    return sum(p.numel() for p in bench.model().parameters() if p.requires_grad) >= 16 * each


def _trains_much(bench: Bench) -> bool:
    """Whether a fifth of the weights or more are trained: adapters alone learn slowly."""
    sizes = [(p.numel(), p.requires_grad) for p in bench.model().parameters()]
    return 5 * sum(n for n, trained in sizes if trained) >= sum(n for n, _ in sizes)


def _is_summed(bench: Bench) -> bool:
    """Whether twice the examples give twice the loss."""
    import torch

    model = bench.model().eval()
    batch = bench.examples(4)
    with torch.no_grad():
        one = float(bench.run(model, batch).loss)
        two = float(bench.run(model, batch.take([*range(batch.n), *range(batch.n)])).loss)
    return abs(two - 2 * one) < 0.05 * abs(one)


def _is_plain(bench: Bench) -> bool:
    """One output, and the same each time: a latent sample or a penalty has another floor."""
    import torch

    from labbook.client.undisturbed import seed_all

    model = bench.model().train()
    _without_dropout(model)
    made = []
    with torch.no_grad():
        for seed in (1, 2):
            seed_all(seed)
            made.append([t for t in leaves(bench.forward(model, bench.batch)) if t.ndim])
    return len(made[0]) == 1 and torch.equal(made[0][0], made[1][0])


def _without_dropout(model: object) -> None:
    from torch import nn

    assert isinstance(model, nn.Module)
    for module in model.modules():
        if "Dropout" in type(module).__name__:
            module.eval()
        elif isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
            module.dropout = 0.0


def _all_right(bench: Bench, model: object, batch: Batch) -> bool:
    """Every answer right, of classes or of yes and no."""
    import torch

    from labbook.checks.eval_series import MEASURES

    assert isinstance(model, torch.nn.Module)
    with torch.no_grad():
        output = bench.tensor(bench.forward(model, batch)).double()
    for name, measure in MEASURES.items():
        if name.startswith("accuracy") and isinstance(batch.target, torch.Tensor):
            try:
                value = measure(output, batch.target.to(output.device))
            except (RuntimeError, IndexError):
                continue
            if value is not None:
                return value == 1.0
    return False
