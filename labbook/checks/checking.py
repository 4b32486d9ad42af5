"""`labbook.check(subject)`: the rules in the order of causes, within a budget, on copies."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.finding import Finding, Report, Skipped
from labbook.checks.folding import arranged
from labbook.checks.noting import note_in_run
from labbook.checks.origins import origins_noted
from labbook.checks.rule import Cannot, Rule, limits_of, matching, registry
from labbook.checks.subject import Subject, as_subject
from labbook.checks.trying import trying
from labbook.client.current import active
from labbook.client.undisturbed import randomness_kept, seed_all
from labbook.errors import MisuseError

__all__ = ["apply", "check", "check_limits", "chosen_rules", "concluded", "sorted_out"]

OnError = Callable[[BaseException, dict[str, Any]], None]


def check(  # noqa: PLR0917  # the order is part of the contract
    subject: Any,
    budget_s: float = 60,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    set: Mapping[str, Any] | None = None,  # the name the command line has too
    seed: int = 0,
    *,
    on_error: OnError | None = None,
) -> Report:
    """Check a model, its loss, its data and its loops for mistakes; returns a `Report`.

    `subject`: a `labbook.Subject`, a function that returns one, or a dict of its parts. The rules
    work on copies: weights, buffers, optimizers, generators, flags and files are afterwards what
    they were. A rule that finds no time within `budget_s` (seconds) is skipped, never passed.
    `only` and `skip` take rules (`loss/sign`), areas (`loss`) and patterns (`fit/*`), `set` other
    limits: `{"data/unshuffled.z": 6}`. Findings are events of the run that is being recorded, if
    one is. `on_error(exception, last)` is called where the user's code
    raises, with the batch and output in hand. Raises `MisuseError` for unknown names.
    """
    started = time.monotonic()
    wanted = chosen_rules("subject", only, skip)
    changed = dict(set or {})
    check_limits(changed)
    with randomness_kept(), origins_noted():
        whole = as_subject(subject)
    check_allowances(whole.allow)
    bench = Bench(whole, seed, started + budget_s)
    said = {}
    with trying(whole), _quiet(on_error is None):
        _spare_threads(bench)
        for rule in wanted:
            lacking = _lacking(rule, whole)
            said[rule] = apply(rule, "subject", bench, limits_of(rule, changed), lacking, on_error)
    findings, skipped, passed = sorted_out(said)
    report = Report(
        whole.name or "subject", tuple(findings), tuple(skipped), tuple(passed), seed=seed
    )
    report = concluded(report, whole.allow, started)
    note_in_run(report, active())
    return report


def chosen_rules(what: str, only: Iterable[str], skip: Iterable[str]) -> list[Rule]:
    """The rules that can be applied to `what` and are wanted, in the order of causes."""
    for name, value in (("only", only), ("skip", skip)):
        if isinstance(value, str):
            raise MisuseError(f"{name} takes a list of rules, got the string {value!r}")
    kept, dropped = matching(only), matching(skip)
    return [
        rule
        for name, rule in registry().items()
        if what in rule.checks and (name in kept or not kept) and name not in dropped
    ]


def check_limits(changed: Mapping[str, Any]) -> None:
    """Raise `MisuseError` for a limit that no rule has."""
    for key in changed:
        name = key.rpartition(".")[0]
        if name not in registry():
            raise MisuseError(f"set takes rule.limit, such as 'data/unshuffled.z', got {key!r}")
        limits_of(registry()[name], changed)


def check_allowances(allow: Mapping[str, str]) -> None:
    """Raise `MisuseError` for an allowance of a rule that there is not."""
    matching(allow)


def apply(  # noqa: PLR0917
    rule: Rule,
    what: str,
    on: Any,
    limits: Mapping[str, float],
    lacking: str | None = None,
    on_error: OnError | None = None,
) -> list[Finding] | Skipped:
    """Apply one rule; a rule that breaks is said, and never taken for a finding."""
    if lacking is not None:
        return Skipped(rule.name, lacking)
    started = time.monotonic()
    try:
        with _time_of(on):
            found = list(rule.checks[what](on, limits) or ())
    except Cannot as error:
        if on_error is not None and isinstance(error, UserError):
            on_error(error.error, on.last)
        return Skipped(rule.name, str(error))
    except MemoryError:
        return Skipped(rule.name, "out of memory")
    except Exception as error:  # the border: a rule of ours broke
        if "use_reentrant" in str(error):
            return Skipped(rule.name, "reentrant checkpointing tells no gradient but by backward()")
        if type(error).__name__ == "OutOfMemoryError":
            return Skipped(rule.name, "out of memory on the device")
        text = "".join(traceback.format_exception(error))
        return Skipped(rule.name, f"the rule broke: {type(error).__name__}: {error}", True, text)
    took = time.monotonic() - started
    return [replace(f, seconds=took, seed=getattr(on, "seed", None)) for f in found]


@contextlib.contextmanager
def _time_of(on: Any) -> Iterator[None]:
    if not isinstance(on, Bench):
        yield
        return
    if on.deadline is not None and time.monotonic() > on.deadline:
        raise Cannot("out of time (--budget)")
    seed_all(on.seed)
    import torch

    with on.limited(), torch.enable_grad():
        yield


def sorted_out(
    said: Mapping[Rule, list[Finding] | Skipped],
) -> tuple[list[Finding], list[Skipped], list[str]]:
    """What rules found, why others could not say anything, and the names of those that passed."""
    findings = [f for result in said.values() if not isinstance(result, Skipped) for f in result]
    skipped = [result for result in said.values() if isinstance(result, Skipped)]
    return findings, skipped, [rule.name for rule, result in said.items() if result == []]


def concluded(report: Report, allow: Mapping[str, str], started: float) -> Report:
    """Set aside what is allowed, fold what follows from something else, and sort.

    `started` is on `time.monotonic()`.
    """
    reasons = {name: reason for pattern, reason in allow.items() for name in matching([pattern])}
    meant = [replace(f, reason=reasons[f.rule]) for f in report.findings if f.rule in reasons]
    left = [f for f in report.findings if f.rule not in reasons]
    seconds = time.monotonic() - started
    return replace(report, findings=arranged(left), allowed=tuple(meant), seconds=seconds)


_SMALL = 50_000_000
"""Parameters × examples of a batch below which one thread is as fast as several."""


def _spare_threads(bench: Bench) -> None:
    """One thread for small nets: others would wait for each other, on a busy machine for long."""
    import torch

    try:
        size = sum(p.numel() for p in bench.model().parameters()) * max(1, bench.batch.n)
    except Exception:  # whatever the user's code raises, rules will say
        return
    if size < _SMALL:
        torch.set_num_threads(1)


def _lacking(rule: Rule, subject: Subject) -> str | None:
    missing = [name for name in rule.needs if getattr(subject, name) is None]
    return f"no {missing[0]}= given" if missing else None


@contextlib.contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """What the user's loops print is not the check's output."""
    if not wanted:
        yield
        return
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
