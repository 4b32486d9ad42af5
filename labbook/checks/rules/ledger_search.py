"""How settings were searched: grids, edges, short runs that mislead, rates that never diverged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from labbook.checks.curves import spearman
from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

GRID = Rule(
    "ledger/grid",
    kind="ledger",
    stage="ledger",
    says="settings were searched on a grid",
    formula="≥ `runs` runs that differ in ≥ 2 numeric arguments and are the full product of their "
    "values, each value used again and again",
    limits={"runs": 9},
    advice="random search over grid search",
    fix="draw the settings at random: each run then tries a new value of what matters",
    source="Bergstra and Bengio, JMLR 13 (2012): few settings matter, and a grid tries few values",
)

EDGE = Rule(
    "ledger/best-at-boundary",
    kind="ledger",
    stage="ledger",
    says="the best value is the last one that was tried",
    formula="the best run's value of a numeric argument is the lowest or highest of ≥ `values`",
    limits={"values": 4},
    advice="coarse to fine: widen the search where the best lies at its edge",
    fix="try values beyond it",
    source="Karpathy, CS231n Neural Networks 3",
)

SHORT = Rule(
    "ledger/short-runs",
    kind="ledger",
    stage="ledger",
    says="what is best early is not what is best in the end",
    formula="Kendall's τ of the runs' losses at a quarter and at the end < `tau`, ≥ `runs` runs",
    limits={"tau": 0.5, "runs": 5},
    advice="the best hyperparameters for short runs may not prevail in the end",
    fix="choose by longer runs",
    source="Kendall's τ-b",
)

NEVER = Rule(
    "ledger/never-diverged",
    kind="ledger",
    stage="ledger",
    says="no run ever diverged: higher learning rates were never tried",
    formula="≥ `runs` ended runs with ≥ 2 values of a learning rate, the best at the highest, none "
    "diverged or not finite",
    limits={"runs": 5},
    advice="if optimization never diverges, your learning rate is too low",
    fix="try three times the highest learning rate",
    source="the divergence point lay 2.8 to 2,550 times above the used rate in 30 sound programs: "
    "a note",
)

SCHEDULE = Rule(
    "ledger/schedule-before-fit",
    kind="ledger",
    stage="ledger",
    says="the learning rate is scheduled, and no run with a constant one came before",
    formula="this run logs a learning rate that changes; none of ≥ `runs` earlier runs logs a "
    "constant one",
    limits={"runs": 1},
    advice="simplify your life and use a constant rate",
    fix="one run with a constant rate first",
    false_positives="warm-up, which transformers need",
    source="Shelhamer, DIY Deep Learning",
)

PARALLEL = Rule(
    "ledger/parallel-first",
    kind="ledger",
    stage="ledger",
    says="the first run of this book already uses several devices",
    formula="no earlier run with world size 1",
    advice="make your model work on a single device first",
    fix="one short run on one device, to compare with",
    source="exact",
)

MINI_RANKS = Rule(
    "ledger/mini-misleads",
    kind="ledger",
    stage="ledger",
    says="the miniature set ranks checkpoints differently than the whole set",
    formula="Spearman's ρ over ≥ `checkpoints` checkpoints evaluated on both < `rho`",
    limits={"rho": 0.9, "checkpoints": 6},
    advice="a miniature set for routine evaluation, the full set at longer intervals",
    fix="a larger miniature set",
    source="Spearman's rank correlation",
)

INLINE = Rule(
    "eval/inline",
    kind="ledger",
    stage="ledger",
    says="training waits for its own evaluation",
    formula="time between steps around held-out values ÷ time of the run > `share`",
    limits={"share": 0.1},
    advice="separate evaluation from optimization: save checkpoints and evaluate them offline",
    fix="run.save(…) at intervals, and labbook watch evaluation.py",
    source="share of wall time; validation in the loop cost 36 % of a run on two cores",
)


def _is_rate(name: str) -> bool:
    return name.rpartition(".")[2].lower() in {"lr", "learning_rate", "learningrate", "base_lr"}


def _numbers(values: list[Any]) -> list[float]:
    good = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return [float(v) for v in values] if good else []


def _group(run: Recorded) -> list[dict[str, Any]]:
    """The runs this one is searched among: its group, else the book."""
    group = run.run.identity.get("group")
    rows = run.ledger.rows
    return [row for row in rows if row["group"] == group] if group else rows


@GRID.on_book
def grid(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The numeric arguments that vary, without the seed."""
    rows = _group(run)
    names = [n for n in run.ledger.varied if "seed" not in n.lower()]
    points = {tuple(row.get(f"args.{n}") for n in names) for row in rows}
    columns = {
        n: {row[f"args.{n}"] for row in rows if row.get(f"args.{n}") is not None} for n in names
    }
    axes = {n: values for n, values in columns.items() if _numbers(list(values))}
    if len(axes) < 2 or len(axes) != len(columns):
        raise Cannot("not recorded: fewer than two numeric arguments vary")
    product = math.prod(len(values) for values in axes.values())
    if len(points) >= limits["runs"] and len(points) == product:
        shown = " × ".join(f"{len(values)} of {n}" for n, values in axes.items())
        yield GRID.note(
            value=product,
            limit=limits["runs"],
            where=", ".join(axes),
            evidence=f"{product} runs are the full grid of {shown}",
        )


@EDGE.on_book
def edge(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Each numeric argument of the best run."""
    scored = run.ledger.scored()
    if len(scored) < limits["values"]:
        raise Cannot("not recorded: too few ended runs with the metric")
    for name in run.ledger.varied:
        if "seed" in name.lower():
            continue
        tried = _numbers(
            [row[f"args.{name}"] for _, row in scored if row.get(f"args.{name}") is not None]
        )
        best = scored[0][1].get(f"args.{name}")
        if len(set(tried)) < limits["values"] or best is None:
            continue
        if best in {min(tried), max(tried)}:
            word = "lowest" if best == min(tried) else "highest"
            yield EDGE.note(
                value=float(best),
                limit=word,
                where=name,
                evidence=f"the best run has {name}={best:g}, the {word} of {len(set(tried))} tried",
            )


@SHORT.on_book
def short(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The main training loss at a quarter of each run and at its end."""
    if run.book is None:
        raise Cannot("not recorded: no book")
    early, late = [], []
    for row in _group(run)[:200]:
        if row["state"] != "finished":
            continue
        one = Recorded(run.book.run(row["id"]))
        if not one.main_losses:
            continue
        values = one.finite(one.main_losses[0])
        if len(values) >= 40:
            tenth = len(values) // 10
            early.append(float(np.median(values[len(values) // 4 - tenth : len(values) // 4])))
            late.append(float(np.median(values[-tenth:])))
    if len(late) < limits["runs"]:
        raise Cannot("not recorded: too few finished runs with a loss")
    tau = _kendall(early, late)
    if tau < limits["tau"]:
        yield SHORT.note(
            value=tau,
            limit=limits["tau"],
            evidence=f"over {len(late)} runs the loss at a quarter ranks them with τ = {tau:.2f} "
            "like the loss at the end",
        )


def _kendall(a: list[float], b: list[float]) -> float:
    x, y = np.sign(np.subtract.outer(a, a)), np.sign(np.subtract.outer(b, b))
    norm = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return float((x * y).sum() / norm) if norm else 1.0


@NEVER.on_book
def never(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The learning rates tried."""
    name = next((n for n in run.ledger.varied if _is_rate(n)), None)
    scored = run.ledger.scored()
    if name is None or len(scored) < limits["runs"]:
        raise Cannot("not recorded: too few runs with different learning rates")
    rates = _numbers(
        [row.get(f"args.{name}") for _, row in scored if row.get(f"args.{name}") is not None]
    )
    best = scored[0][1].get(f"args.{name}")
    if not rates or best != max(rates) or any(_diverged(row) for row in run.ledger.rows):
        return
    yield NEVER.note(
        value=float(best),
        limit="none diverged",
        where=name,
        evidence=f"{len(rates)} runs up to {name}={max(rates):g}, the best of them; none diverged",
    )


def _diverged(row: dict[str, Any]) -> bool:
    last, first = row.get("last.loss"), row.get("max.loss")
    if row["state"] == "failed" or last is None:
        return True
    return not math.isfinite(last) or (first is not None and last > 0.9 * first)


@SCHEDULE.on_book
def schedule(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The logged learning rate of this run and of earlier ones."""
    rate = next((n for n in run.run.names() if _is_rate(n.replace("/", "."))), None)
    if rate is None:
        raise Cannot("not recorded: no learning rate was logged")
    earlier = [r for r in run.ledger.rows if r["id"] < run.run.id and r.get(f"count.{rate}")]
    own = run.finite(rate)
    if len(own) < 10 or own.min() == own.max():
        return
    if any(r[f"min.{rate}"] == r[f"max.{rate}"] for r in earlier) or any(
        row["id"] > run.run.id for row in run.ledger.rows
    ):
        return
    yield SCHEDULE.note(
        value=float(own[-1]),
        limit=float(own[0]),
        where=rate,
        evidence=f"{rate} goes from {own[0]:.3g} to {own[-1]:.3g}, and no run of this book kept it "
        "constant",
    )


@PARALLEL.on_book
def parallel(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """This run, when it is the first."""
    size = run.run.conditions.get("world_size")
    if not isinstance(size, int):
        raise Cannot("not recorded: the number of processes")
    earlier = [row for row in run.ledger.rows if row["id"] < run.run.id]
    if size > 1 and not earlier:
        yield PARALLEL.note(
            value=size, limit=1, where=run.run.id, evidence=f"the first run has {size} processes"
        )


@MINI_RANKS.on_book
def mini_ranks(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Checkpoints of this run that were evaluated on both."""
    both: dict[tuple[str, str], dict[int | None, dict[str, float]]] = {}
    for result in run.run.results(strict=False):
        for metric, value in result.metrics.items():
            of = both.setdefault((result.evaluation, metric), {})
            of.setdefault(result.step, {})[result.subset] = value
    found = False
    for (evaluation, metric), values in both.items():
        pairs = [(v["mini"], v["full"]) for v in values.values() if {"mini", "full"} <= v.keys()]
        if len(pairs) < limits["checkpoints"]:
            continue
        found = True
        rho = spearman([a for a, _ in pairs], [b for _, b in pairs])
        if rho < limits["rho"]:
            yield MINI_RANKS.note(
                value=rho,
                limit=limits["rho"],
                where=f"{evaluation}.{metric}",
                evidence=f"over {len(pairs)} checkpoints the two rank with ρ = {rho:.2f}",
            )
    if not found:
        raise Cannot("not recorded: too few checkpoints evaluated on both sets")


@INLINE.on_run
def inline(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The pauses in which held-out values were logged."""
    held = [name for name in run.run.names() if run.is_held_out_loss(name)]
    if not held or not run.main_losses:
        raise Cannot("not recorded: no held-out loss beside the training's")
    series = run.run.series(run.main_losses[0])
    times = series["time"].to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(float)
    at = run.run.series(held[0])["time"].to_numpy(zero_copy_only=False)
    at = at.astype("datetime64[us]").astype(float)
    times.sort()
    gaps = np.diff(times)
    if len(at) < 3 or len(gaps) < 20 or times[-1] - times[0] < 30e6:
        raise Cannot("not recorded: too short to tell")
    places = np.clip(np.searchsorted(times, at) - 1, 0, len(gaps) - 1)
    extra = np.maximum(gaps[np.unique(places)] - np.median(gaps), 0).sum()
    share = float(extra / (times[-1] - times[0]))
    if share > limits["share"]:
        yield INLINE.note(
            value=share,
            limit=limits["share"],
            where=held[0],
            evidence=f"{share:.0%} of the run's time passed while {held[0]} was computed",
        )
