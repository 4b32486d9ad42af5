"""What `labbook show` says of checkpoints: their results, the best, and why some have none.

Takes the object that `show --json` prints; what an object from elsewhere should have and lacks is
passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from labbook.book.text import clean
from labbook.cli.tables import Column, render, terminal_width
from labbook.cli.wording import bytes_text, number_text, value_text
from labbook.wrapping import wrapped

__all__ = ["INDENT", "Object", "checkpoint_lines", "items", "part", "room", "table"]

INDENT = "  "

Object = dict[str, Any]


def part(whole: Object, name: str) -> Object:
    """What a file from elsewhere has under a name, when that is an object as it should be."""
    found = whole.get(name)
    return found if isinstance(found, dict) else {}


def items(whole: Object, name: str) -> list[Any]:
    """The same for a list."""
    found = whole.get(name)
    return found if isinstance(found, list) else []


def checkpoint_lines(run: Object) -> Iterator[str]:
    """Yield a table of the checkpoints, then what is to be said of their results."""
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
    yield from table(columns)
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
    for reason in sorted(reasons, key=_step_of):
        checkpoint, code = part(reason, "checkpoint"), part(reason, "code")
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


def _step_of(reason: Object) -> float:
    """Those of no step come last."""
    step = part(reason, "checkpoint").get("step")
    return step if isinstance(step, int | float) else math.inf


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
        bad = {name: n for name, n in part(result, "n_nonfinite").items() if n}
        if bad:
            counts = ", ".join(f"{name} in {n} rows" for name, n in bad.items())
            yield clean(f"step {result['step']}: {result['evaluation']} is not finite: {counts}")
    said: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for text in items(result, "warnings"):
            said.setdefault((result["evaluation"], str(text)), []).append(str(result["step"]))
    for (evaluation, text), steps in said.items():
        yield from _wrapped(clean(f"step {_some_steps(steps)}: {evaluation}: {text}"))


def _wrapped(text: str) -> list[str]:
    return wrapped(text, room())


def table(columns: list[Column]) -> list[str]:
    """Lines of a table below a title, as wide as there is room."""
    return render(columns, room())[0]


def room() -> int | None:
    """Columns of the terminal below a title; null in a file or a pipe."""
    width = terminal_width()
    return None if width is None else width - len(INDENT)
