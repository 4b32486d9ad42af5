"""What a rule is, and the registry made from the rules themselves.

A rule is declared once, beside the functions that apply it:

    SIGN = Rule(
        "loss/sign", kind="probe", stage="loss", says="descending the loss leads away from targets",
        formula="…", limits={"agree": 0.5}, needs=("loss",), advice="…", causes=("…",), fix="…",
    )

    @SIGN.on_subject
    def sign(bench, limits):
        if …: yield SIGN.fail(value=0.0, limit=limits["agree"], where=…, evidence=…)

`on_subject` looks at a model, a loss and data (`labbook.checks.bench.Bench`), `on_run` at a
recorded run (`labbook.checks.recorded.Recorded`), `on_book` at a book (`labbook.open()`).
A function that yields nothing passes; one that raises `Cannot("why")` is shown as skipped.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from labbook.checks.finding import Finding, Kind, Status
from labbook.errors import MisuseError

__all__ = ["STAGES", "Cannot", "Limits", "Rule", "Subjects", "limits_of", "matching", "registry"]

STAGES: Final = (
    "run",  # does it run at all: dry run, not finite
    "data",
    "target",
    "loss",
    "gradient",
    "model",
    "step",  # one optimizer step
    "init",
    "loop",
    "eval",
    "gradcheck",
    "fit",  # trainings of up to some hundred steps
    "rate",
    "devices",
    "learned",  # what a recorded run tells
    "system",
    "ledger",
)
"""The order of causes: what comes earlier explains what comes later."""

Limits = Mapping[str, float]
Check = Callable[[Any, Limits], Iterable[Finding] | None]
Subjects = ("subject", "run", "book")
"""What a rule can be applied to."""


class Cannot(Exception):
    """Raised by a rule that cannot say anything about this subject; the text says why."""


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule: what it says, how, and the functions that apply it.

    `says` is the finding in one line, without numbers. `formula` is the exact test, `limits` its
    numbers by name (`--set rule.name=value`). `needs` are the parts of a subject without which it
    is skipped. `follows` are rules (or `area/*`) whose findings explain one of this rule.
    `version` is raised when the formula or a limit changes.
    """

    name: str
    kind: Kind
    stage: str
    says: str
    formula: str
    advice: str
    fix: str
    limits: Limits = field(default_factory=dict)
    needs: Sequence[str] = ()
    follows: Sequence[str] = ()
    causes: Sequence[str] = ()
    false_positives: str = ""
    source: str = ""
    version: int = 1
    checks: dict[str, Check] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"{self.name}: {self.stage!r} is no stage")
        if self.name in _RULES:
            raise ValueError(f"two rules are called {self.name}")
        _RULES[self.name] = self

    def on_subject(self, check: Check) -> Check:
        """Mark the function that looks at a `Bench`."""
        self.checks["subject"] = check
        return check

    def on_run(self, check: Check) -> Check:
        """Mark the function that looks at a recorded run."""
        self.checks["run"] = check
        return check

    def on_book(self, check: Check) -> Check:
        """Mark the function that looks at the runs of a book."""
        self.checks["book"] = check
        return check

    def found(self, status: Status, **said: Any) -> Finding:
        """A finding of this rule; `causes`, `fix` and `evidence` may be said more exactly."""
        said.setdefault("evidence", self.says)
        said.setdefault("causes", tuple(self.causes))
        said.setdefault("fix", self.fix)
        return Finding(
            self.name, status, self.kind, advice=self.advice, version=self.version, **said
        )

    def note(self, **said: Any) -> Finding:
        """Something to know; alarms nobody."""
        return self.found("note", **said)

    def warn(self, **said: Any) -> Finding:
        """Something that is probably wrong."""
        return self.found("warn", **said)

    def fail(self, **said: Any) -> Finding:
        """Something that is wrong."""
        return self.found("fail", **said)


_RULES: dict[str, Rule] = {}


@cache
def registry() -> dict[str, Rule]:
    """All rules by name, in the order of causes; imports each family once, and no torch."""
    from labbook.checks import rules

    for module in sorted(m.name for m in pkgutil.iter_modules(rules.__path__)):
        importlib.import_module(f"{rules.__name__}.{module}")
    order = {stage: n for n, stage in enumerate(STAGES)}
    return dict(sorted(_RULES.items(), key=lambda item: order[item[1].stage]))


def matching(patterns: Iterable[str]) -> set[str]:
    """The names that some pattern means: a name, `area/*`, or an area alone.

    Raises `MisuseError` for a pattern that means no rule.
    """
    from difflib import get_close_matches
    from fnmatch import fnmatchcase

    names: set[str] = set()
    for pattern in patterns:
        found = {
            name
            for name in registry()
            if fnmatchcase(name, pattern) or name.partition("/")[0] == pattern
        }
        if not found:
            begun = [name for name in registry() if name.startswith(pattern)]
            close = begun or get_close_matches(pattern, registry(), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise MisuseError(f"no rule is called {pattern!r}{hint} (labbook check --list)")
        names |= found
    return names


def limits_of(rule: Rule, changed: Mapping[str, Any]) -> dict[str, float]:
    """A rule's limits, with those changed that `{"rule.limit": value}` names."""
    own = {key: value for key, value in changed.items() if key.rpartition(".")[0] == rule.name}
    for key, value in own.items():
        limit = key.rpartition(".")[2]
        if limit not in rule.limits:
            known = ", ".join(rule.limits) or "none"
            raise MisuseError(f"{rule.name} has no limit {limit!r}; it has: {known}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise MisuseError(f"{key} must be a number, got {value!r}")
    return {**rule.limits, **{key.rpartition(".")[2]: value for key, value in own.items()}}
