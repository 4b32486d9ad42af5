"""`labbook check`: a run, or the subjects that a file declares."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from labbook.cli.options import book_option, echo_json, json_option
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.checks.finding import Report

__all__ = ["check"]

_NOTHING_RAN, _CRASHED = 2, 3


def _limit(ctx: click.Context, _: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    found = {}
    for value in values:
        key, equals, number = value.partition("=")
        try:
            found[key.strip()] = float(number)
        except ValueError:
            raise click.BadParameter(f"expected RULE.LIMIT=NUMBER, got {value!r}") from None
        if not equals:
            raise click.BadParameter(f"expected RULE.LIMIT=NUMBER, got {value!r}")
    return found


def _listed(ctx: click.Context, _: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _seconds(ctx: click.Context, _: click.Parameter, value: str) -> float:
    try:
        seconds = float(value.strip().removesuffix("s"))
    except ValueError:
        raise click.BadParameter(f"expected seconds, such as 60 or 60s, got {value!r}") from None
    if seconds <= 0:
        raise click.BadParameter("must be more than nothing")
    return seconds


@click.command()
@click.argument("target", required=False)
@click.option("--only", metavar="RULES", multiple=True, callback=_listed,
              help="These rules, areas or patterns alone: loss,fit/*.")  # fmt: skip
@click.option("--skip", metavar="RULES", multiple=True, callback=_listed, help="Not these.")
@click.option("--set", "limits", metavar="RULE.LIMIT=NUMBER", multiple=True, callback=_limit,
              help="Another limit for a rule.")  # fmt: skip
@click.option("--allow", metavar="RULE=REASON", multiple=True,
              help="What is meant to be so; the reason is required.")  # fmt: skip
@click.option("--budget", metavar="SECONDS", default="60", show_default=True, callback=_seconds,
              help="Time for a file's subject; what does not fit is skipped.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@click.option("--fail-on", type=click.Choice(["note", "warn", "fail", "never"]), default="fail",
              show_default=True, help="Exit with 1 from this severity on.")  # fmt: skip
@click.option("--list", "lists", is_flag=True, help="List the rules.")
@click.option("--markdown", is_flag=True, help="With --list: the page of all rules, in full.")
@click.option("--why", metavar="RULE", help="Explain a rule: formula, limits, false positives.")
@click.option("-v", "--verbose", is_flag=True,
              help="Show too what follows from a finding, passed, or was skipped.")  # fmt: skip
@json_option
@click.option("--junit", metavar="FILE", type=click.Path(dir_okay=False, writable=True),
              help="Write JUnit XML too.")  # fmt: skip
@click.option("--github", is_flag=True, help="Print GitHub annotations.")
@click.option("--pdb", "debugs", is_flag=True,
              help="Where the user's code raises: a debugger in that frame.")  # fmt: skip
@book_option
def check(target: str | None, book: str | None, **options: Any) -> None:
    """Check a run, or a training program, for the mistakes that cost weeks.

    TARGET is a run (default: the newest), looked at as it was recorded; or a Python file, in which
    functions marked @labbook.subject return labbook.Subject(model=…, loss=…, loader=…): its rules
    try copies of the model for some seconds. FILE.py:NAME takes one of several.

    Exit status: 0 nothing at or above --fail-on, 1 findings, 2 wrong use or nothing could run,
    3 a rule itself broke.
    """
    if options["why"] or options["lists"]:
        _explain(options)
        return
    allow = _allowed(options["allow"])
    if target is not None and _is_file(target):
        reports = _check_file(target, allow, options)
    else:
        reports = [_check_run(target, book, allow, options)]
    _print(reports, options)
    sys.exit(_status(reports, options["fail_on"]))


def _is_file(target: str) -> bool:
    from labbook.checks.loading import is_file_target

    return is_file_target(target)


def _allowed(given: Iterable[str]) -> dict[str, str]:
    from labbook.checks.settings import project_checks

    allow = dict(project_checks().allow)
    for one in given:
        rule, _, reason = one.partition("=")
        if not reason.strip():
            raise MisuseError(f"--allow takes RULE=REASON, in words, got {one!r}")
        allow[rule.strip()] = reason.strip()
    return allow


def _how(options: dict[str, Any]) -> dict[str, Any]:
    from labbook.checks.settings import project_checks

    project = project_checks()
    return {
        "only": options["only"],
        "skip": (*project.skip, *options["skip"]),
        "limits": {**project.limits, **options["limits"]},
    }


def _check_run(
    target: str | None, book: str | None, allow: dict[str, str], options: dict[str, Any]
) -> Report:
    from labbook.checks.running import check_book, check_run
    from labbook.cli.options import open_here

    opened = open_here(book)
    if target is None:
        return check_book(opened, allow=allow, **_how(options))
    return check_run(opened.run(target), opened, allow=allow, **_how(options))


def _check_file(target: str, allow: dict[str, str], options: dict[str, Any]) -> list[Report]:
    from dataclasses import replace

    from labbook.checks.checking import check as run_check
    from labbook.checks.loading import subjects_in
    from labbook.checks.subject import as_subject

    how = _how(options)
    debugger = _debugging if options["debugs"] else None
    reports = []
    try:
        for name, value in subjects_in(target).items():
            subject = as_subject(value)
            subject = replace(subject, name=name, allow={**allow, **subject.allow})
            reports.append(
                run_check(
                    subject,
                    options["budget"],
                    how["only"],
                    how["skip"],
                    how["limits"],
                    options["seed"],
                    on_error=debugger,
                )
            )
    except (ImportError, SyntaxError) as error:
        raise click.UsageError(f"{target} cannot be imported: {error}") from error
    return reports


def _debugging(error: BaseException, last: dict[str, Any]) -> None:
    """Where the user's code raised, with the batch and the output at hand."""
    import pdb

    traceback.print_exception(error)
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    debugger = pdb.Pdb()
    debugger.reset()
    if frames is not None:
        frames.tb_frame.f_globals.setdefault("_labbook", last)
        click.echo("batch and output in hand: _labbook['batch'], _labbook['output']")
    debugger.interaction(None, error.__traceback__)


def _print(reports: list[Report], options: dict[str, Any]) -> None:
    from labbook.book.text import clean
    from labbook.checks.forms import github_lines, junit_xml
    from labbook.checks.text import report_text
    from labbook.cli.tables import has_colour

    fail_on = None if options["fail_on"] == "never" else options["fail_on"]
    if options["junit"]:
        from pathlib import Path

        Path(options["junit"]).write_text(junit_xml(reports, fail_on), encoding="utf-8")
    if options["as_json"]:
        found = [report.as_dict() for report in reports]
        echo_json(found[0] if len(found) == 1 else found)
        return
    if options["github"]:
        for line in github_lines(reports, fail_on):
            click.echo(clean(line))
    for n, report in enumerate(reports):
        if len(reports) > 1:
            click.echo(("\n" if n else "") + clean(report.subject))
        click.echo(report_text(report, options["verbose"], has_colour()))


def _status(reports: list[Report], fail_on: str) -> int:
    from labbook.checks.finding import at_least

    if any(report.crashed for report in reports):
        return _CRASHED
    if not any(report.passed or report.findings or report.allowed for report in reports):
        return _NOTHING_RAN
    if fail_on == "never":
        return 0
    return int(any(at_least(report.findings, fail_on) for report in reports))  # type: ignore[arg-type]


def _explain(options: dict[str, Any]) -> None:
    from labbook.checks.listing import page, why
    from labbook.checks.rule import matching, registry
    from labbook.cli.tables import Column, render, terminal_width

    if options["why"]:
        rules = [rule for name, rule in registry().items() if name in matching([options["why"]])]
        for n, rule in enumerate(rules):
            click.echo(("\n" if n else "") + "\n".join(why(rule)))
        return
    kept, dropped = matching(options["only"]), matching(options["skip"])
    rules = [
        rule
        for name, rule in registry().items()
        if (name in kept or not kept) and name not in dropped
    ]
    if options["as_json"]:
        echo_json([_plain(rule) for rule in rules])
    elif options["markdown"]:
        click.echo(page(), nl=False)
    else:
        columns = [
            Column("rule", [rule.name for rule in rules]),
            Column("kind", [rule.kind for rule in rules]),
            Column("says", [rule.says for rule in rules], can_shrink=True),
        ]
        for line in render(columns, terminal_width())[0]:
            click.echo(line)


def _plain(rule: Any) -> dict[str, Any]:
    names = ("name", "kind", "stage", "says", "formula", "limits", "needs", "follows", "causes")
    more = ("advice", "fix", "false_positives", "source", "version")
    return {name: getattr(rule, name) for name in (*names, *more)} | {"looks_at": list(rule.checks)}
