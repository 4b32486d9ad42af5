"""The text of `labbook show`: one function a section, from the object that `show --json` prints.

Invariant: a section that has nothing to say is left out, but what is missing against expectation
(no commit, no arguments, a checkpoint without a result) is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from labbook.book.text import clean
from labbook.cli.evaluated import INDENT, Object, checkpoint_lines, items, part, room, table
from labbook.cli.machine import machine_use_lines
from labbook.cli.nets import net_lines
from labbook.cli.tables import Column, has_colour
from labbook.cli.typed import defaults_among
from labbook.cli.wording import (
    bytes_text,
    local_time,
    number_text,
    seconds_text,
    state_paint,
    value_text,
)

__all__ = ["sections"]

_MANY = 20
"""Dirty files, and lines of a traceback, that are shown; --json has them all."""


def sections(run: Object) -> Iterator[str]:
    """Yield the lines of all sections."""
    yield from _identity(run)
    for title, lines in (
        ("Ended by", _exception(run)),
        ("Arguments", _arguments(run)),
        ("Code", _code(run)),
        ("Machine", _machine(run)),
        ("Model", net_lines(run["nets"])),
        ("Series", _series(run)),
        ("Throughput", _throughput(run)),
        ("Chosen sets", _chosen(run)),
        ("Checkpoints", checkpoint_lines(run)),
        ("Faults", _faults(run)),
        ("Cannot be read", map(clean, run["damage"])),
    ):
        found = list(lines)
        if found:
            yield ""
            yield click.style(title, bold=True) if has_colour() else title
            yield from (INDENT + line for line in found)


def _when(time_ns: int | None) -> str:
    return "at an unknown time" if time_ns is None else local_time(time_ns)


def _identity(run: Object) -> Iterator[str]:
    state = clean(run["state"])
    conditions = run["conditions"]
    yield f"{run['id']}  {clean(run['name'])}"
    why = f": {clean(run['why'])}" if run["why"] else ""
    pairs = [
        ("state", (state_paint(state)(state) if has_colour() else state) + why),
        ("started", f"{_when(run['created_ns'])}, took {seconds_text(run['duration_s'])}"),
        ("on", run["host"]),
        ("attempt", run["attempt"] if run["attempt"] != 1 else None),
        ("command", " ".join(map(str, items(conditions, "command")))),
        ("group", run["group"]),
        ("tags", " ".join(run["tags"])),
        ("parent", run["parent"]),
    ]
    yield from _pairs([pair for pair in pairs if pair[1]])
    # the folder last: it is long, and is selected with the mouse
    yield f"{INDENT}{'folder':<8}  {clean(run['path'])}"


def _pairs(pairs: list[tuple[str, Any]], *, indent: str = INDENT) -> Iterator[str]:
    room = max([8, *(len(clean(name)) for name, _ in pairs)])
    for name, value in pairs:
        # the state is painted here and clean already; everything else may hold anything
        text = value if name == "state" else clean(value_text(value))
        yield f"{indent}{clean(name):<{room}}  {text}"


def _exception(run: Object) -> Iterator[str]:
    exception = part(run["end"] or {}, "exception")
    text = clean(exception.get("traceback") or "", lines=True).rstrip()
    yield from text.splitlines()[-_MANY:]


def _arguments(run: Object) -> Iterator[str]:
    recorded = part(run["conditions"], "arguments")
    if not run["arguments"]:
        yield "none were found"
        return
    defaults = defaults_among(run["arguments"], recorded)
    told = {
        name: f"{value_text(value)} (default)" if name in defaults else value
        for name, value in run["arguments"].items()
    }
    yield from _pairs(list(told.items()), indent="")
    if masked := items(recorded, "masked"):
        yield f"(masked: {', '.join(map(clean, masked))})"
    if recorded.get("source"):
        yield f"(from {clean(recorded['source'])})"


def _code(run: Object) -> Iterator[str]:
    yield from _repository(run)
    yield from _kept(run["code"])


def _kept(code: Object) -> Iterator[str]:
    """What the book has of the code, in words."""
    tree = str(code["tree"])[:7]
    said = {
        "kept": f"kept as tree {tree}; `labbook restore` writes it back",
        "partial": f"kept in part (tree {tree}): {code['reason']}",
        "absent": f"code: absent; the run was copied without tree {tree} (`labbook copy` takes it)",
        "none": f"not kept: {code['reason'] or 'no snapshot was taken'}",
    }
    yield clean(said[code["state"]])
    if code["n_left_out"]:
        yield f"{code['n_left_out']} files were left out (--json has them)"
    if code["committed"]:
        yield clean(f"committed since, as {str(code['committed'])[:10]}")


def _repository(run: Object) -> Iterator[str]:
    git = part(run["conditions"], "git")
    if not git:
        yield clean(run["conditions"].get("git_reason") or "no git repository was recorded")
        return
    commit = git.get("commit") or "no commit yet"
    branch = "detached" if git.get("detached") else f"on {git.get('branch')}"
    yield clean(f"{commit} {branch}")
    for direction in ("ahead", "behind"):
        if git.get(direction):
            yield f"{git[direction]} commits {direction} of its upstream"
    if git.get("remote"):
        yield clean(git["remote"])
    dirty = [file for file in items(git, "dirty") if isinstance(file, dict)]
    if run["git"]["dirty"] is None:
        yield "whether the tree was dirty is not known"
    elif not dirty:
        yield "clean"
    for file in dirty[:_MANY]:
        yield f"{clean(file.get('status')):<10}  {clean(file.get('path'))}"
    if len(dirty) > _MANY:
        yield f"… and {len(dirty) - _MANY} more (--json has all)"


def _machine(run: Object) -> Iterator[str]:
    conditions = run["conditions"]
    machine, python = part(conditions, "machine"), part(conditions, "python")
    if machine:
        memory = bytes_text(machine.get("memory_bytes"))
        yield clean(f"{machine.get('cpu')}, {machine.get('cores')} cores, {memory}")
        for gpu in items(machine, "gpus"):
            yield clean(
                f"GPU {gpu.get('index')}: {gpu.get('name')}, {bytes_text(gpu.get('memory_bytes'))}"
            )
    if python:
        n_packages = len(part(conditions, "packages"))
        yield clean(
            f"{python.get('implementation')} {python.get('version')}, {n_packages} packages"
        )
    yield from machine_use_lines(run["machine_use"], room())


def _series(run: Object) -> Iterator[str]:
    series = sorted(run["series"].items())
    if not series:
        yield "nothing was logged"
        return
    stats = {
        stat: [number_text(values[stat]) for _, values in series]
        for stat in ("last", "step", "min", "max", "count")
    }
    name = Column("name", [name for name, _ in series], can_shrink=True)
    yield from table(
        [name, *(Column(stat, cells, is_number=True) for stat, cells in stats.items())]
    )


def _throughput(run: Object) -> Iterator[str]:
    for loader in run["throughput"]:
        said = [f"{number_text(loader['steps_per_second'])} steps/s"]
        if loader["examples_per_second"] is not None:
            said.append(f"{number_text(loader['examples_per_second'])} examples/s")
        if loader["wait_percent"] is not None:
            said.append(f"{loader['wait_percent']:.1f} % of the time waiting for data")
        yield f"{clean(loader['name'])}: {loader['steps']:,} steps, {', '.join(said)}"
        first = loader["first_batch_s"], loader["first_step_s"]
        words = "first batch", "first step done"
        known = [f"{w} after {s:.1f} s" for w, s in zip(words, first, strict=True) if s is not None]
        if known:
            yield f"{INDENT}{', '.join(known)}"


def _chosen(run: Object) -> Iterator[str]:
    for chosen in run["chosen"]:
        first, last, n = chosen["first_step"], chosen["last_step"], chosen["observations"]
        times = "once" if n == 1 else f"{n} times"
        steps = f", step {first}" if first == last else f", steps {first} to {last}"
        yield (
            f"{clean(chosen['name'])}: {chosen['examples']} examples, observed "
            f"{times}{steps if n else ''}"
        )


def _faults(run: Object) -> Iterator[str]:
    for kind, count in sorted(run["faults"].items()):
        yield f"{clean(kind)}: {count}"
