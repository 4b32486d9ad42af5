"""The rules as text, made from the rules themselves: a list, one in full, and a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from labbook.checks.rule import STAGES, Rule, registry

__all__ = ["page", "why"]

_WIDTH = 96
_ON = {"subject": "a model, its data and loops", "run": "a recorded run", "book": "a book"}
_KINDS = {
    "static": "reads code, settings and the tree of modules",
    "free": "looks on at a normal run",
    "probe": "tries out copies for some steps",
    "ledger": "compares runs of the book",
}


def why(rule: Rule) -> Iterator[str]:
    """Everything about one rule, a line each."""
    yield f"{rule.name}  {rule.says}"
    for word, text in _parts(rule):
        head = f"  {word:<16} "
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )


def _parts(rule: Rule) -> Iterator[tuple[str, str]]:
    yield "kind", f"{rule.kind}: {_KINDS[rule.kind]}"
    yield "looks at", " · ".join(_ON[what] for what in rule.checks)
    if rule.needs:
        yield "needs", ", ".join(rule.needs)
    yield "formula", rule.formula
    if rule.limits:
        limits = ", ".join(f"{name}={value:g}" for name, value in rule.limits.items())
        yield "limits", f"{limits}  (--set {rule.name}.{next(iter(rule.limits))}=…)"
    yield "advice", rule.advice
    if rule.causes:
        yield "causes", "; ".join(rule.causes)
    yield "fix", rule.fix
    yield "false positives", rule.false_positives or "none known"
    yield "source", rule.source
    if rule.follows:
        yield "explained by", ", ".join(rule.follows)
    yield "version", str(rule.version)


def page() -> str:
    """All rules as Markdown."""
    lines = [
        "# The rules of `labbook check`",
        "",
        "Made from the rules themselves by `labbook check --list --markdown`. Kinds: "
        + "; ".join(f"**{kind}** {text}" for kind, text in _KINDS.items())
        + ".",
    ]
    for stage in STAGES:
        rules = [rule for rule in registry().values() if rule.stage == stage]
        if rules:
            lines += ["", f"## {stage}"]
        for rule in rules:
            lines += ["", f"### {rule.name}", "", f"{rule.says[0].upper()}{rule.says[1:]}.", ""]
            lines += [f"- *{word}*: {_escaped(text)}" for word, text in _parts(rule)]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
