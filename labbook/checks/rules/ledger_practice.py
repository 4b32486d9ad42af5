"""What only a book of runs can tell about how the work is done: one thing at a time, committed."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

MANY = Rule(
    "ledger/many-changes",
    kind="ledger",
    stage="ledger",
    says="more than one thing changed since the run before",
    formula="changes (arguments, code, packages, data, each counted once) against the run it was "
    "derived from > `changes`",
    limits={"changes": 1},
    advice="change one thing at a time",
    causes=("several ideas in one run",),
    fix="run them one by one; labbook diff shows them",
    false_positives="a random search, in which everything is drawn anew: tag it search",
    source="exact count; see labbook diff",
)

BEST_DIRTY = Rule(
    "ledger/uncommitted-best",
    kind="ledger",
    stage="ledger",
    says="the best run of this book was never committed",
    formula="the best of ≥ 3 ended runs by the metric most have was started from a dirty tree, and "
    "no commit holds its code since",
    advice="if it is worth running the experiment, it is worth committing the conditions",
    fix="labbook restore RUN into a branch, and commit it",
    source="exact",
)

SEEDS = Rule(
    "ledger/seed-missing",
    kind="ledger",
    stage="ledger",
    says="nobody seeded this run",
    formula="torch's seed is its default and start(seed=…) was not given",
    advice="fix the random seed",
    fix="labbook.start(seed=0), or torch.manual_seed(args.seed)",
    false_positives="a program that uses no torch",
    source="torch's default seed, 67280421310721 (c10/core/GeneratorImpl.h)",
)

SET_CHANGED = Rule(
    "ledger/mini-changed",
    kind="ledger",
    stage="ledger",
    says="runs that are compared looked at different chosen or miniature sets",
    formula="sets of the same name with different digests in runs of one group, or in this run and "
    "the one it was derived from",
    advice="consider selecting miniature sets, chosen once and fixed",
    causes=("the data changed", "another seed or size for the set"),
    fix="the same data, n and seed in all runs that are compared",
    source="exact",
)

ARGUMENTS = Rule(
    "ledger/args-missing",
    kind="ledger",
    stage="ledger",
    says="no arguments were recorded",
    formula="the run's conditions hold no argument",
    advice="log everything! especially arguments",
    causes=("the script has no arguments: its settings are in the code",),
    fix="argparse, or labbook.start(args={…})",
    source="exact",
)

BY_HAND = Rule(
    "ledger/manual-run",
    kind="ledger",
    stage="ledger",
    says="started from a prompt or a notebook, with changes that are nowhere committed",
    formula="no script, or a dirty tree and a notebook's kernel",
    advice="script the optimization and the evaluation",
    fix="put it into a script, and commit it",
    source="exact",
)

NO_BASELINE = Rule(
    "ledger/no-baseline",
    kind="ledger",
    stage="ledger",
    says="there is no baseline to compare with",
    formula="≥ `runs` ended runs, none tagged or named baseline, and none marked so",
    limits={"runs": 5},
    advice="keep it as simple as you can: the simplest possible model with and without your idea",
    fix="run the simplest model once, and: labbook tag RUN baseline",
    source="a convention: the tag, or the word in the name",
)


@MANY.on_book
def many(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """This run against the one it was derived from."""
    if run.book is None or "search" in run.run.tags:
        raise Cannot("not recorded: nothing to compare with")
    ancestor = run.ancestor
    if ancestor is None or ancestor.derived_from is None:
        raise Cannot("not recorded: no earlier run of this script")
    n = len(ancestor.changes)
    if n > limits["changes"]:
        yield MANY.note(
            value=n,
            limit=limits["changes"],
            where=f"{run.run.id} against {ancestor.derived_from}",
            evidence="; ".join(change.text for change in ancestor.changes),
        )


@BEST_DIRTY.on_book
def best_dirty(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The best ended run of the book."""
    scored = run.ledger.scored()
    if len(scored) < 3:
        raise Cannot("not recorded: fewer than three ended runs with the metric")
    _, best = scored[0]
    if not best.get("git.dirty"):
        return
    reader = run.book.run(best["id"]) if run.book is not None else None
    if reader is not None and next(iter(reader.facts.facts("committed")), None) is not None:
        return
    metric = run.ledger.metric
    column = metric.column if metric else ""
    yield BEST_DIRTY.warn(
        value=best.get(column),
        where=f"{best['name']} ({best['id']})",
        evidence=f"{best['name']} is the best of {len(scored)} runs by {column} and was started "
        f"with uncommitted changes in {len(best.get('git.dirty_files') or ())} files",
    )


_DEFAULT_SEED = 67280421310721


@SEEDS.on_book
def seeds(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """This run; a warning where others of its group are compared with it."""
    seeds = run.run.conditions.get("seeds") or {}
    if "torch_initial_seed" not in seeds:
        raise Cannot("not recorded: torch was not loaded when the run was started")
    if seeds.get("seeded") is not None or seeds["torch_initial_seed"] != _DEFAULT_SEED:
        return
    group = run.run.identity.get("group")
    others = sum(row["group"] == group for row in run.ledger.rows) if group else 0
    say = SEEDS.warn if others > 1 else SEEDS.note
    yield say(
        where=run.run.id,
        evidence="neither start(seed=…) nor torch.manual_seed() came before the run"
        + (f", and {others} runs of group {group} are compared" if others > 1 else ""),
    )


@SET_CHANGED.on_book
def set_changed(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The sets of this run against those of its group and of the run it was derived from."""
    own = run.set_digests
    if not own or run.book is None:
        raise Cannot("not recorded: no chosen or miniature set")
    for other in run.compared():
        theirs = Recorded(run.book.run(other)).set_digests
        differ = [n for n in own if n in theirs and own[n] != theirs[n]]
        if differ:
            yield SET_CHANGED.warn(
                where=f"{run.run.id} and {other}",
                evidence=f"the set {differ[0]} is another one in {other}",
            )
            return


@ARGUMENTS.on_book
def arguments(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """This run."""
    if not run.arguments:
        yield ARGUMENTS.note(where=run.run.id)


@BY_HAND.on_book
def by_hand(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """This run."""
    conditions = run.run.conditions
    if not conditions:
        raise Cannot("not recorded: no conditions")
    script = conditions.get("script")
    if not isinstance(script, str) or "ipykernel" in script:
        yield BY_HAND.note(where=run.run.id)


@NO_BASELINE.on_book
def no_baseline(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """All runs."""
    rows = [row for row in run.ledger.rows if row["state"] != "running"]
    if len(rows) < limits["runs"]:
        raise Cannot("not recorded: too few runs to expect a baseline")
    said = [
        row
        for row in rows
        if any("baseline" in str(word).lower() for word in (*(row["tags"] or ()), row["name"]))
    ]
    if not said:
        yield NO_BASELINE.note(
            value=0,
            where=str(run.book.root) if run.book else "",
            evidence=f"none of {len(rows)} runs is called a baseline",
        )
