"""The text of `labbook show`: one function a section, from the object that `show --json` prints.

Invariant: a section that has nothing to say is left out, but what is missing against expectation
(no commit, no arguments, a checkpoint without a result) is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from labbook.book.text import clean
from labbook.cli.machine import machine_use_lines
from labbook.cli.nets import net_lines
from labbook.cli.tables import Column, has_colour, render, terminal_width
from labbook.cli.typed import defaults_among
from labbook.cli.wording import (
    bytes_text,
    local_time,
    number_text,
    seconds_text,
    state_paint,
    value_text,
)
from labbook.wrapping import wrapped

__all__ = ["sections"]

_INDENT = "  "
_MANY = 20
"""Dirty files, and lines of a traceback, that are shown; --json has them all."""

Object = dict[str, Any]


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
        ("Checkpoints", _checkpoints(run)),
        ("Faults", _faults(run)),
        ("Cannot be read", map(clean, run["damage"])),
    ):
        found = list(lines)
        if found:
            yield ""
            yield click.style(title, bold=True) if has_colour() else title
            yield from (_INDENT + line for line in found)


def _part(whole: Object, name: str) -> Object:
    """What a file from elsewhere has under a name, when that is an object as it should be."""
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def _items(whole: Object, name: str) -> list[Any]:
    part = whole.get(name)
    return part if isinstance(part, list) else []


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
        ("command", " ".join(map(str, _items(conditions, "command")))),
        ("group", run["group"]),
        ("tags", " ".join(run["tags"])),
        ("parent", run["parent"]),
    ]
    yield from _pairs([pair for pair in pairs if pair[1]])
    # the folder last: it is long, and is selected with the mouse
    yield f"{_INDENT}{'folder':<8}  {clean(run['path'])}"


def _pairs(pairs: list[tuple[str, Any]], *, indent: str = _INDENT) -> Iterator[str]:
    room = max([8, *(len(clean(name)) for name, _ in pairs)])
    for name, value in pairs:
        # the state is painted here and clean already; everything else may hold anything
        text = value if name == "state" else clean(value_text(value))
        yield f"{indent}{clean(name):<{room}}  {text}"


def _exception(run: Object) -> Iterator[str]:
    exception = _part(run["end"] or {}, "exception")
    text = clean(exception.get("traceback") or "", lines=True).rstrip()
    yield from text.splitlines()[-_MANY:]


def _arguments(run: Object) -> Iterator[str]:
    recorded = _part(run["conditions"], "arguments")
    if not run["arguments"]:
        yield "none were found"
        return
    defaults = defaults_among(run["arguments"], recorded)
    told = {
        name: f"{value_text(value)} (default)" if name in defaults else value
        for name, value in run["arguments"].items()
    }
    yield from _pairs(list(told.items()), indent="")
    if masked := _items(recorded, "masked"):
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
    git = _part(run["conditions"], "git")
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
    dirty = [file for file in _items(git, "dirty") if isinstance(file, dict)]
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
    machine, python = _part(conditions, "machine"), _part(conditions, "python")
    if machine:
        memory = bytes_text(machine.get("memory_bytes"))
        yield clean(f"{machine.get('cpu')}, {machine.get('cores')} cores, {memory}")
        for gpu in _items(machine, "gpus"):
            yield clean(
                f"GPU {gpu.get('index')}: {gpu.get('name')}, {bytes_text(gpu.get('memory_bytes'))}"
            )
    if python:
        n_packages = len(_part(conditions, "packages"))
        yield clean(
            f"{python.get('implementation')} {python.get('version')}, {n_packages} packages"
        )
    yield from machine_use_lines(run["machine_use"], _width())


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
    yield from _table(
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
            yield f"{_INDENT}{', '.join(known)}"


def _chosen(run: Object) -> Iterator[str]:
    for chosen in run["chosen"]:
        first, last, n = chosen["first_step"], chosen["last_step"], chosen["observations"]
        times = "once" if n == 1 else f"{n} times"
        steps = f", step {first}" if first == last else f", steps {first} to {last}"
        yield (
            f"{clean(chosen['name'])}: {chosen['examples']} examples, observed "
            f"{times}{steps if n else ''}"
        )


def _checkpoints(run: Object) -> Iterator[str]:
    if not run["checkpoints"]:
        return
    # by file: the newest result counts where a checkpoint was written over
    results = {(r["evaluation"], r["checkpoint"].get("file")): r for r in run["evaluated"]}
    names = sorted({(r["evaluation"], metric) for r in run["evaluated"] for metric in r["metrics"]})
    files = run["checkpoints"]
    columns = [
        Column("step", [number_text(file["step"]) for file in files], is_number=True),
        Column("file", [file["file"] for file in files], can_shrink=True),
        Column("size", [bytes_text(file["size"]) for file in files], rank=2, is_number=True),
    ]
    for evaluation, metric in names:
        found = [results.get((evaluation, file["file"]), {}) for file in files]
        cells = [number_text(result.get("metrics", {}).get(metric)) for result in found]
        columns.append(Column(f"{evaluation}.{metric}", cells, rank=1, is_number=True))
    yield from _table(columns)
    for result in run["evaluated"]:
        if result["coverage"] == "metrics":
            yield clean(f"step {result['step']}: {result['evaluation']} has metrics and no rows")
        elif result["coverage"] != "complete":
            yield clean(f"step {result['step']}: {result['evaluation']} is {result['coverage']}")
    yield from map(clean, run["remarks"])
    yield from _bests(run["best"])
    yield from _said_of_results(run["evaluated"])
    yield from _without_result(run["reasons"])


def _without_result(reasons: list[Object]) -> Iterator[str]:
    """Why there is no result; what holds for several checkpoints is said once."""
    said: dict[str, dict[str, str]] = {}
    for reason in reasons:
        checkpoint, code = _part(reason, "checkpoint"), _part(reason, "code")
        # null: it holds for every evaluation
        name = "" if reason.get("evaluation") is None else f"{reason['evaluation']} "
        mini = "(mini) " if reason.get("subset") == "mini" else ""
        current = " with the current code" if code.get("mode") == "current" else ""
        text = f"{name}{mini}{reason.get('state')}{current}: {reason.get('reason')}"
        file = value_text(checkpoint.get("file"))
        said.setdefault(text, {})[file] = value_text(checkpoint.get("step"))
    for text, steps in said.items():
        at = f"step {_some_steps(list(steps.values()))}"
        where = at if len(steps) == 1 else f"{len(steps)} checkpoints ({at})"
        yield from _wrapped(clean(f"{where}: {text}"))


def _some_steps(steps: list[str]) -> str:
    return ", ".join(steps[:3]) + (", …" if len(steps) > 3 else "")


def _bests(bests: list[Object]) -> Iterator[str]:
    """The best of each metric, and whether the newest is better than the best before it."""
    for best in bests:
        where = "" if best["subset"] == "full" else f" ({best['subset']})"
        error = "" if best["stderr"] is None else f" ± {best['stderr']:.2g}"
        line = (
            f"best {best['evaluation']}.{best['metric']}{where}: {number_text(best['value'])}"
            f"{error} at step {number_text(best['best_step'])}"
        )
        gap = best["against_previous_best"]
        if gap is not None:
            spread = "" if gap["stderr"] is None else f" ± {gap['stderr']:.2g}"
            noise = ", no more than noise" if gap["is_noise"] else ""
            line += (
                f"; step {number_text(best['newest_step'])} minus step "
                f"{number_text(best['previous_best_step'])}: {gap['difference']:+.3g}{spread} "
                f"(paired, n {gap['n']}{noise})"
            )
        yield from _wrapped(clean(line))


def _said_of_results(results: list[Object]) -> Iterator[str]:
    """Rows that are not finite, and what was found wrong; each warning once, with its steps."""
    for result in results:
        bad = {name: n for name, n in _part(result, "n_nonfinite").items() if n}
        if bad:
            counts = ", ".join(f"{name} in {n} rows" for name, n in bad.items())
            yield clean(f"step {result['step']}: {result['evaluation']} is not finite: {counts}")
    said: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for text in _items(result, "warnings"):
            said.setdefault((result["evaluation"], str(text)), []).append(str(result["step"]))
    for (evaluation, text), steps in said.items():
        yield from _wrapped(clean(f"step {_some_steps(steps)}: {evaluation}: {text}"))


def _wrapped(text: str) -> list[str]:
    return wrapped(text, _width())


def _faults(run: Object) -> Iterator[str]:
    for kind, count in sorted(run["faults"].items()):
        yield f"{clean(kind)}: {count}"


def _table(columns: list[Column]) -> list[str]:
    return render(columns, _width())[0]


def _width() -> int | None:
    width = terminal_width()
    return None if width is None else width - len(_INDENT)
