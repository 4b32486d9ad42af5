"""What `labbook rerun` does between its options and its exit status."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from labbook.book.text import clean
from labbook.cli.options import echo_json
from labbook.cli.wording import bytes_text, say
from labbook.errors import CheckFailed, DamagedFile, LabbookError, MisuseError

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader
    from labbook.restore.rerunning import Checked, Plan, Wishes

__all__ = ["Choices", "NotCompared", "run_again", "secrets_of", "verify"]

_VALUES = 12
"""The column in which the values of a plan stand."""


@dataclass(frozen=True)
class Choices:
    """What `rerun` is to do, apart from what it is to run."""

    verify: bool
    check_only: bool
    strict: bool
    keep: bool
    yes: bool
    as_json: bool
    tolerance: dict[str, Any]


class NotCompared(click.ClickException):
    """With --verify, whatever keeps the runs from being compared: exit status 2."""

    exit_code = 2

    def __init__(self, error: LabbookError) -> None:
        super().__init__(clean(" ".join(str(error).split())))


def secrets_of(words: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=VALUE`, or `NAME` whose value is in the environment; raises `MisuseError`."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            value = os.environ.get(name, "")
            if not value:
                raise MisuseError(f"--set {name}: no such variable is in the environment")
        found[name] = value
    return found


def run_again(opened: Book, first: RunReader, wishes: Wishes, choices: Choices) -> NoReturn:
    """Show the plan, run it, and exit: with the command's status, or with what `verify` finds."""
    from labbook.client.settings import private_cache
    from labbook.restore import rerunning

    if choices.verify and first.state.name == "running":
        raise MisuseError(f"run {first.id} is still running: verify it when it has ended")
    cache = private_cache(os.environ) / "rerun"
    plan = rerunning.prepare(opened.paths, first, cache, wishes)
    try:
        checked = _show(plan, choices)
        if choices.check_only:
            if choices.as_json:
                echo_json(_plan_object(plan, checked))
            raise SystemExit(0)
        # a script that reads our JSON must not find the command's words in it
        ended = rerunning.execute(plan, checked, sys.stderr.fileno() if choices.as_json else None)
        _tell_end(plan, ended.exit_code, ended.run_ids, choices)
        second = _recorded(opened, first, ended.run_ids)
        more = {"exit_code": ended.exit_code, "runs": ended.run_ids, **_plan_object(plan, checked)}
    finally:
        if not choices.keep:
            plan.clean()
    if choices.verify:
        verify(first, second, choices, more)
    if choices.as_json:
        echo_json(more)
    raise SystemExit(ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code)


def _show(plan: Plan, choices: Choices) -> Checked:
    """Tell what will run and what differs; raises when it may not be run."""
    from labbook.restore.report import difference_line, plan_lines
    from labbook.restore.rerunning import check

    for line in plan_lines(plan):
        _say(line, choices)
    if plan.is_foreign and not choices.yes:
        _ask(plan, choices)
    checked = check(plan)
    for difference in checked.differences:
        _say(f"  differs   {difference_line(difference)}", choices)
    if not checked.differences:
        _say("  Python, packages and machine are as they were", choices)
    if checked.differences and choices.strict:
        raise CheckFailed(
            f"the environment differs in {len(checked.differences)} places: not run (--strict)"
        )
    return checked


def _ask(plan: Plan, choices: Choices) -> None:
    what = f"run {plan.recorded.run_id} was recorded {plan.is_foreign}"
    if choices.as_json or not sys.stdin.isatty():
        raise MisuseError(f"{what}: read its code first, then pass --yes")
    if not click.confirm(clean(f"{what}. Run its code here?"), err=True):
        raise MisuseError(f"{what}: not run")


def _say(line: str, choices: Choices) -> None:
    say(line, err=choices.as_json, indent=_VALUES if line.startswith(" ") else 2)


def _tell_end(plan: Plan, exit_code: int, run_ids: list[str], choices: Choices) -> None:
    new = ", ".join(run_ids) or "no run"
    ended = f"signal {-exit_code}" if exit_code < 0 else f"exit status {exit_code}"
    _say(f"ended with {ended}; recorded {new}", choices)
    written = plan.written()
    if choices.keep:
        _say(f"kept {plan.copy}", choices)
    elif written:
        size = sum(path.stat().st_size for path in written)
        what = f"{len(written)} file{'s' if len(written) != 1 else ''}, {bytes_text(size)}"
        _say(f"it wrote {what} into the scratch folder, now removed (--keep keeps it)", choices)


def _recorded(opened: Book, first: RunReader, run_ids: list[str]) -> RunReader:
    """The new run that is to equal the first: of several that with the same arguments."""
    if not run_ids:
        raise LabbookError(
            f"the command recorded no run in {opened.paths.root}; does it call labbook.start()?"
        )
    found = [opened.run(run_id) for run_id in run_ids]
    wanted = first.summary().arguments
    return next((run for run in found if run.summary().arguments == wanted), found[0])


def verify(first: RunReader, second: RunReader, choices: Choices, more: dict[str, Any]) -> NoReturn:
    """Compare two runs, print it, and exit: 0 equal, 1 different, 2 nothing to compare.

    `more` goes into the JSON. Raises `DamagedFile` when a run cannot be read as a whole.
    """
    from labbook.restore.report import beginnings_lines, comparison_lines, comparison_object
    from labbook.restore.verify import compare

    for run in (first, second):
        if run.damage:
            raise DamagedFile(f"run {run.id} cannot be read as a whole: {run.damage[0]}")
    found = compare(first, second, **choices.tolerance)
    if choices.as_json:
        echo_json({**more, "comparison": comparison_object(found)})
    else:
        for line in comparison_lines(found):
            say(line, indent=4)
        for line in () if found.verdict == "bitwise" else beginnings_lines(first, second):
            say(f"  {line}", indent=4)
    raise SystemExit({"bitwise": 0, "within": 0, "different": 1}.get(found.verdict, 2))


def _plan_object(plan: Plan, checked: Checked) -> dict[str, Any]:
    return {
        "run": plan.recorded.run_id,
        "command": list(plan.command.shown()),
        "folder": str(plan.command.folder),
        "linked": plan.linked.links,
        "newer": plan.linked.newer,
        "missing": [{"path": item.path, "why": item.why} for item in plan.missing],
        "notes": plan.notes,
        "differences": [
            {"kind": d.kind, "name": d.name, "then": d.then, "now": d.now}
            for d in checked.differences
        ],
    }
