"""The chosen set across iterations: one answer for all, forgetting, suspect labels, jitter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from labbook import dynamics
from labbook.checks.curves import mad
from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

CONSTANT = Rule(
    "out/constant",
    kind="free",
    stage="learned",
    says="the net says the same of every example",
    formula="at the last of ≥ 3 observations: variance of the outputs over the examples below "
    "`variance` of the largest observed, or one class has more than `top` of the predictions while "
    "no target has `most`",
    limits={"variance": 1e-4, "top": 0.99, "most": 0.9},
    advice="look at outputs, not only at metrics",
    causes=("it predicts the class frequencies: nothing of the input arrives", "dead units",
            "the learning rate is too high"),
    fix="overfit one batch; check that the input reaches the output",
    follows=("loss/*", "grad/*", "optim/*", "act/dead"),
    false_positives="a task in which nearly all examples are of one class (excluded by `most`)",
    source="TheDeepChecker out_cons; mode collapse",
)  # fmt: skip

OUT_NONFINITE = Rule(
    "out/nonfinite",
    kind="free",
    stage="run",
    says="losses of chosen examples are not finite",
    formula="any NaN or infinity among the losses of an observation",
    advice="keep an eye on the output and loss for a chosen set across iterations",
    causes=("the weights are not finite", "the logarithm of a probability of zero"),
    fix="look at these examples' outputs at this step",
    follows=("loss/nonfinite", "data/nonfinite"),
    source="exact",
)

FORGETTING = Rule(
    "learn/forgetting",
    kind="free",
    stage="learned",
    says="many examples that were right are suddenly wrong",
    formula="in the second half of ≥ 8 observations: share of examples forgotten at one of them > "
    "median + `z`·spread of all, and > `share`",
    limits={"z": 6, "share": 0.1},
    advice="keep an eye on the output and loss for a chosen set across iterations",
    causes=("the learning rate jumped", "the data changed: another epoch, another source",
            "a restart without the optimizer's state"),
    fix="look at what happened between these two steps",
    follows=("loss/diverging", "loss/nonfinite"),
    source="Toneva et al., ICLR 2019, arXiv 1812.05159",
)  # fmt: skip

SUSPECT = Rule(
    "learn/label-suspect",
    kind="free",
    stage="learned",
    says="some examples are hard all the way: look at their labels",
    formula="mean loss over all ≥ 5 observations > Q3 + `iqr`·IQR of the set; at most 1 % or 5",
    limits={"iqr": 3},
    advice="look at the worst examples; select, sort, and inspect",
    causes=("a wrong label", "a rare or ambiguous example"),
    fix="labbook dynamics shows them, hardest first",
    source="precision at k with 5 % flipped labels 0.96–0.99 for the mean loss, 0.65–0.79 for the "
    "last one",
)

CHURN = Rule(
    "out/churn",
    kind="free",
    stage="learned",
    says="predictions still jump about late in the run",
    formula="median share of changed predictions between observations of the last half > `share`",
    limits={"share": 0.2},
    advice="visualize prediction dynamics: jitter speaks of the learning rate",
    causes=("the learning rate is too high", "the task is not learned yet"),
    fix="lower the learning rate towards the end",
    source="Karpathy, A Recipe for Training Neural Networks",
)


def _sets(run: Recorded, fewest: int) -> Iterator[tuple[str, dict[str, np.ndarray], int]]:
    """(set, columns of its observations, examples) of the sets observed so often."""
    found = False
    for name in run.run.chosen_sets():
        seen = run.observed(name)
        if seen is None or len(seen.step) < fewest or len(seen.example) < 16:
            continue
        found = True
        table = dynamics.steps(seen)
        columns = {column: table[column].to_numpy(zero_copy_only=False) for column in _NUMBERS} | {
            "step": table["step"].to_numpy()
        }
        yield name, columns, len(seen.example)
    if not found:
        raise Cannot(f"not recorded: no chosen set of ≥ 16 examples observed {fewest} times")


_NUMBERS = ("n_nonfinite", "top_share", "output_variance", "n_forgotten", "agreement", "accuracy")


@CONSTANT.on_run
def constant(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The last observation."""
    for name, columns, n in _sets(run, 3):
        step = int(columns["step"][-1])
        variance = columns["output_variance"].astype(float)
        top = columns["top_share"].astype(float)[-1]
        classes = Counter(run.classes_of(name))
        most = max(classes.values()) / sum(classes.values()) if classes else 1.0
        largest = np.nanmax(variance) if np.isfinite(variance).any() else 0.0
        if np.isfinite(variance[-1]) and variance[-1] < limits["variance"] * largest:
            value, limit = float(variance[-1] / largest), limits["variance"]
            what = f"the outputs' variance over {n} examples fell to {value:.1e} of its largest"
        elif top > limits["top"] and most < limits["most"]:
            value, limit = float(top), limits["top"]
            what = f"{top:.0%} of {n} examples get the same class, which {most:.0%} have at most"
        else:
            continue
        yield CONSTANT.fail(value=value, limit=limit, where=f"{name}, step {step}", evidence=what)


@OUT_NONFINITE.on_run
def out_nonfinite(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Each observation."""
    for name, columns, n in _sets(run, 1):
        bad = np.nan_to_num(columns["n_nonfinite"].astype(float))
        if bad.any():
            at = int(np.argmax(bad > 0))
            step = int(columns["step"][at])
            yield OUT_NONFINITE.fail(
                value=int(bad[at]),
                limit=0,
                where=f"{name}, step {step}",
                evidence=f"at step {step} the losses of {int(bad[at])} of {n} examples are not "
                "finite",
            )


@FORGETTING.on_run
def forgetting(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The observation at which most was forgotten."""
    for name, columns, n in _sets(run, 8):
        share = columns["n_forgotten"].astype(float) / n
        if not np.isfinite(share).all():
            continue
        late = share[len(share) // 2 :]
        edge = max(float(np.median(share)) + limits["z"] * mad(share), limits["share"])
        if late.max() > edge:
            at = len(share) // 2 + int(np.argmax(late))
            step, before = int(columns["step"][at]), int(columns["step"][at - 1])
            yield FORGETTING.warn(
                value=float(share[at]),
                limit=edge,
                where=f"{name}, between steps {before} and {step}",
                evidence=f"{share[at]:.0%} of the examples were right at step {before} and wrong "
                f"at step {step}; usually {np.median(share):.0%}",
            )


@SUSPECT.on_run
def suspect(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Mean loss over all observations, by rank."""
    for name, _, n in _sets(run, 5):
        seen = run.observed(name)
        if seen is None or seen.loss is None:
            continue
        known = seen.loss.known & np.isfinite(seen.loss.values)
        count = known.sum(axis=1)
        total = np.where(known, seen.loss.values, 0.0).sum(axis=1)
        mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        q1, q3 = np.nanpercentile(mean, [25, 75])
        edge = q3 + limits["iqr"] * (q3 - q1)
        worst = np.argsort(-np.nan_to_num(mean, nan=-np.inf))[: max(5, n // 100)]
        worst = worst[mean[worst] > edge]
        if len(worst) and q3 > q1:
            shown = ", ".join(str(seen.example[i]) for i in worst)
            yield SUSPECT.note(
                value=float(mean[worst[0]]),
                limit=float(edge),
                where=f"{name}: examples {shown}",
                evidence=f"{len(worst)} of {n} examples were hard at every observation",
            )


@CHURN.on_run
def churn(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Agreement with the observation before."""
    for name, columns, _ in _sets(run, 8):
        agreement = columns["agreement"].astype(float)[len(columns["step"]) // 2 :]
        if not np.isfinite(agreement).all():
            continue
        changed = 1 - float(np.median(agreement))
        if changed > limits["share"]:
            yield CHURN.note(
                value=changed,
                limit=limits["share"],
                where=name,
                evidence=f"{changed:.0%} of the predictions change from one observation to the "
                "next, in the second half of the run",
            )
