"""`labbook windows`: the task, as the model is given it, put to a person; and how well they did."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labbook.cli.options import book_option
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.checks.windows import Window, Windows

__all__ = ["windows"]

_COLUMNS = ("window", "digest", "answer")


@click.command()
@click.argument("target")
@click.option("--n", default=20, show_default=True, type=click.IntRange(1),
              help="How many windows.")  # fmt: skip
@click.option("--out", metavar="FILE.html", default="windows.html", show_default=True,
              type=click.Path(dir_okay=False, writable=True),
              help="The page to look at; the answers' file lies beside it.")  # fmt: skip
@click.option("--answers", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False),
              help="Take the answers from this filled file.")  # fmt: skip
@click.option("--write", "only_writes", is_flag=True, help="Write the files, and ask nothing.")
@click.option("--metric", metavar="NAME",
              help="Record under this name (default: as evaluate= calls it).")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the choice.")
@book_option
def windows(target: str, book: str | None, **options: Any) -> None:
    """Judge what one output of the model sees, and record how well a person does.

    TARGET is FILE.py or FILE.py:NAME, as for labbook check. Windows are cut to the receptive field
    from validation examples. Answer with the class, return to skip one, q to end; or fill in the
    answers' file and pass it with --answers, with the same --n and --seed. The result is a run
    tagged human, beside those of the models.
    """
    name, found, metric = _made(target, options)
    if not found.windows:
        raise click.ClickException("no window could be cut: all targets are left out of the loss")
    if options["answers"]:
        given = _read(options["answers"], found)
    else:
        page, sheet = _write(found, name, Path(options["out"]))
        click.echo(f"{found.about} See {page}.")
        if options["only_writes"] or not _is_terminal():
            how = f"--n {options['n']} --seed {options['seed']}"
            click.echo(f"Fill in {sheet}, then: labbook windows {target} {how} --answers {sheet}")
            return
        given = _asked(found)
    right = [window.target == given[window.number] for window in found.windows
             if window.number in given]  # fmt: skip
    if not right:
        click.echo("Nothing was answered, and nothing is recorded.")
        return
    accuracy = sum(right) / len(right)
    error = (accuracy * (1 - accuracy) / len(right)) ** 0.5
    run_id = _recorded(book, name, metric, accuracy, len(right), options)
    click.echo(f"{sum(right)} of {len(right)} right: {metric} {accuracy:.3f} ± {error:.3f}")
    click.echo(f"recorded as {run_id}, tagged human")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _made(target: str, options: dict[str, Any]) -> tuple[str, Windows, str]:
    """The subject's name, its windows, and the name of its metric."""
    from labbook.checks.bench import Bench
    from labbook.checks.loading import subjects_in
    from labbook.checks.rule import Cannot
    from labbook.checks.subject import as_subject
    from labbook.checks.trying import trying
    from labbook.checks.windows import windows as cut

    with _mode_kept():
        declared = subjects_in(target)
        if len(declared) > 1:
            raise MisuseError(f"{target} declares {', '.join(declared)}: name one, {target}:NAME")
        [(name, value)] = declared.items()
        subject = as_subject(value)
        try:
            with trying(subject):
                bench = Bench(subject, options["seed"])
                found = cut(bench, options["n"])
                return name, found, options["metric"] or _metric(bench)
        except Cannot as error:
            raise click.ClickException(f"no windows: {error}") from error


def _metric(bench: Any) -> str:
    """The accuracy among what the subject's own evaluation reports, else `accuracy`."""
    evaluate = bench.subject.evaluate
    if evaluate is None:
        return "accuracy"
    try:
        reported = evaluate(bench.model())
    except Exception:  # the border to the user's own code: only a name is wanted
        return "accuracy"
    names = [str(name) for name in reported] if isinstance(reported, dict) else []
    return next((name for name in names if "acc" in name.lower()), "accuracy")


@contextmanager
def _mode_kept() -> Iterator[None]:
    """Importing a subject's file turns recording off; the person's run is recorded afterwards."""
    before = os.environ.get("LABBOOK_MODE")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LABBOOK_MODE", None)
        else:
            os.environ["LABBOOK_MODE"] = before


def _write(found: Windows, name: str, out: Path) -> tuple[Path, Path]:
    from labbook.checks.page import Cell, Part, page

    cells = [Cell(window.what, f"window {window.number}") for window in found.windows]
    rows = [cells[at : at + 5] for at in range(0, len(cells), 5)]
    out.write_text(page(f"{name}: windows", found.about, [Part("", "", rows)]), encoding="utf-8")
    sheet = out.with_suffix(".csv")
    with sheet.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(_COLUMNS)
        lines.writerows((window.number, window.digest, "") for window in found.windows)
    return out, sheet


def _read(path: str, found: Windows) -> dict[int, int]:
    """Window -> answer. Raises `MisuseError` for a file that is about other windows."""
    digests = {window.number: window.digest for window in found.windows}
    given: dict[int, int] = {}
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        if not set(_COLUMNS) <= set(lines.fieldnames or ()):
            raise MisuseError(f"{path} has not the columns {', '.join(_COLUMNS)}")
        for line in lines:
            answer = (line["answer"] or "").strip()
            if not answer:
                continue
            number = int(line["window"]) if (line["window"] or "").isdigit() else -1
            if digests.get(number) != (line["digest"] or "").strip():
                raise MisuseError(
                    f"{path}: window {line['window']} is another one; pass the --n and --seed that "
                    "the file was written with"
                )
            given[number] = _class_of(answer, found.classes, f"{path}, window {number}")
    return given


def _class_of(answer: str, classes: tuple[int, ...], where: str) -> int:
    try:
        value = int(answer)
    except ValueError:
        value = -1
    if value not in classes:
        known = ", ".join(map(str, classes[:20]))
        raise MisuseError(f"{where}: the answer must be a class ({known}), got {answer!r}")
    return value


def _asked(found: Windows) -> dict[int, int]:
    """Show each window in the terminal and take one answer."""
    given: dict[int, int] = {}
    click.echo("Answer with the class; return skips one, q ends.\n")
    for window in found.windows:
        for line in _lines(window):
            click.echo(line)
        while True:
            answer = click.prompt(
                f"{window.number} of {len(found.windows)}", default="", show_default=False
            ).strip()
            if answer in {"", "q"}:
                break
            try:
                given[window.number] = _class_of(answer, found.classes, "window")
                break
            except MisuseError as error:
                click.echo(str(error))
        if answer == "q":
            break
        click.echo()
    return given


def _lines(window: Window) -> list[str]:
    import numpy as np

    from labbook.book.text import clean
    from labbook.cli.pictures import colours, draw

    picture = window.what.picture
    if picture is None:
        return [clean(window.what.text)]
    scale = max(1, min(40 // picture.shape[1], 32 // picture.shape[0]))
    grown = np.repeat(np.repeat(picture, scale, 0), scale, 1)
    grown = grown[:, :, 0] if grown.shape[2] == 1 else grown[:, :, :3]
    return draw(grown, 76, 18, colours())


def _recorded(  # noqa: PLR0917  # what was measured, and how
    book: str | None,
    name: str,
    metric: str,
    accuracy: float,
    answered: int,
    options: dict[str, Any],
) -> str:
    import labbook

    arguments = {"subject": name, "windows": options["n"], "seed": options["seed"]}
    with labbook.start(
        arguments, name="human", tags=["human"], book=book, dirty="allow", gauges=False,
        output=False,
    ) as run:  # fmt: skip
        run.log({metric: accuracy, "answered": answered}, step=0)
    return run.id
