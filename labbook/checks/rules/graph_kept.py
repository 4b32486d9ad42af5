"""Graphs of earlier steps that stay in memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import watched

KEPT = Rule(
    "loop/graph-kept",
    kind="free",
    stage="loop",
    says="the graphs of earlier steps stay in memory, which grows with each step",
    formula="at the backward pass number `passes` and at the last one, the graphs of all passes "
    "before but ≤ 2 are still alive; with retain_graph=True: fail, else warn",
    limits={"passes": 12},
    needs=("train", "optimizer"),
    advice="log everything, as numbers: loss.item(), not the loss with its graph",
    causes=(
        "total += loss, or losses.append(loss), keeps each loss with its graph",
        "a hidden state is carried on without .detach()",
    ),
    fix="add loss.item() or loss.detach(); detach what one step hands to the next",
    source="a mark in each graph that lives as long as it does; PyTorch FAQ, 'memory'",
)


@KEPT.on_subject
def kept(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Count the marks that are still there."""
    seen = bench.shared(watched)
    passes = [b for b in seen.backwards if b.root]
    if len(passes) < limits["passes"]:
        raise Cannot(f"train() made {len(passes)} backward passes, too few to tell")
    gc.collect(0)
    some = int(limits["passes"]) - 1
    last = len(passes) - 1
    if passes[some].held < some - 2 or passes[last].held < last - 2:
        return
    say = KEPT.fail if all(b.retains for b in passes) else KEPT.warn
    yield say(
        value=float(passes[last].held),
        limit=2.0,
        where=passes[0].where,
        evidence=f"at the backward pass number {last + 1} the graphs of {passes[last].held} "
        "earlier passes were still in memory",
    )
