"""An evaluation that is a command: run for each checkpoint, without a shell.

    labbook.evaluation.command("python eval.py --weights {checkpoint} --out {output}", timeout=600)

In the words of the command `{checkpoint}` `{step}` `{run}` `{device}` `{scratch}` (a folder) and
`{output}` (a file to write) are replaced, each inside its word: whatever a checkpoint is called,
it stays one argument, and no shell ever sees it. `{{name}}` is a literal `{name}`.

What it found is one JSON object: in the file `{output}` where the command has one, else the last
line of its standard output that is one. Its numbers are the metrics. Under `rows` there may be a
list of objects, one an example, with an `example` id each: then the metrics that it does not give
are the means of the rows, and with `n_expected` the ids must be 0 to n_expected - 1, each once.
Without rows, `n_examples` says over how many examples the metrics are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labbook.errors import EvaluationError, MisuseError
from labbook.watch.context import Context
from labbook.watch.told import Told

__all__ = ["PLACES", "command"]

PLACES = ("checkpoint", "step", "run", "device", "scratch", "output")
_PLACE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")
_LAST_BYTES = 1 << 20
_WORDS = 2000  # characters of a failing command's last words
_GRACE_S = 5.0


def command(given: str | Sequence[str], timeout: float | None, environment: dict[str, str]) -> type:
    """Return the class; `labbook.evaluation.command` marks it."""
    words = shlex.split(given) if isinstance(given, str) else [str(word) for word in given]
    _check(words, timeout)
    has_output = any(name == "output" for word in words for name in _names(word))

    class Command:
        def evaluate(self, context: Context) -> Told:
            with tempfile.TemporaryDirectory(dir=context.scratch) as folder:
                output = Path(folder) / "output.json"
                filled = _fill(words, context, output)
                printed = _run(filled, timeout, environment)
                return _told(_from_file(output) if has_output else _from_print(printed))

    return Command


def _check(words: list[str], timeout: float | None) -> None:
    if not words:
        raise MisuseError("command: there is no command")
    names = {name for word in words for name in _names(word)}
    unknown = sorted(names - set(PLACES))
    if unknown:
        raise MisuseError(
            f"command: {{{unknown[0]}}} is not known; there are "
            f"{', '.join('{' + name + '}' for name in PLACES)}. Write {{{{{unknown[0]}}}}} for "
            "the word itself"
        )
    if "checkpoint" not in names:
        raise MisuseError(
            "command: it has no {checkpoint}, so it would find the same for every checkpoint"
        )
    if timeout is not None and not timeout > 0:
        raise MisuseError(f"command: timeout must be a number of seconds, got {timeout!r}")


def _names(word: str) -> Iterator[str]:
    for match in _PLACE.finditer(word):
        if match[2]:
            yield match[2]


def _fill(words: list[str], context: Context, output: Path) -> list[str]:
    values = {
        "checkpoint": os.path.abspath(str(context.checkpoint)),
        "step": "" if context.step is None else str(context.step),
        "run": context.run,
        "device": str(context.device),
        "scratch": str(output.parent),
        "output": str(output),
    }
    return [_PLACE.sub(lambda m: f"{{{m[1]}}}" if m[1] else values[m[2]], w) for w in words]


def _run(words: list[str], timeout: float | None, environment: dict[str, str]) -> bytes:
    """What it printed on stdout, the end of it; stderr goes where the worker's does."""
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=printed, env={**os.environ, **environment}
            )
        except OSError as error:
            raise EvaluationError(f"{words[0]} cannot be started: {error}") from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise EvaluationError(
                f"the command took longer than timeout={timeout:g} s and was ended"
            ) from None
        finally:
            _end(process)
        size = printed.seek(0, os.SEEK_END)
        printed.seek(max(0, size - _LAST_BYTES))
        found = printed.read()
    if code != 0:
        how = f"exited with code {code}" if code > 0 else f"was killed by signal {-code}"
        words_at_end = found[-_WORDS:].decode(errors="replace").strip()
        raise EvaluationError(f"the command {how}; it printed: {words_at_end or 'nothing'}")
    sys.stdout.write(found[-_WORDS:].decode(errors="replace"))
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all it started. A group of its own would outlive a worker that is killed."""
    if process.poll() is not None:
        return
    import psutil

    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in family:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue  # it went with its parent


def _from_file(path: Path) -> Any:
    try:
        text = path.read_text()
    except OSError as error:
        raise EvaluationError(f"the command wrote no {{output}}: {error.strerror}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise EvaluationError(
            f"what the command wrote to {{output}} is no JSON: {error}"
        ) from error


def _from_print(printed: bytes) -> Any:
    for line in reversed(printed.splitlines()):
        if line.lstrip().startswith(b"{"):
            try:
                return json.loads(line)
            except ValueError:
                continue  # something else that begins with a brace
    last = printed.strip().splitlines()[-1:] or [b"nothing"]
    raise EvaluationError(
        "the command printed no JSON object; print one line such as "
        f'{{"accuracy": 0.91}}, or write it to {{output}}. Last line: '
        f"{last[0][-200:].decode(errors='replace')}"
    )


def _told(found: Any) -> Told:
    if not isinstance(found, Mapping):
        raise EvaluationError(
            f"the command gave a {type(found).__name__}; it must be an object of numbers"
        )
    rest = {str(k): v for k, v in found.items() if k not in {"rows", "n_examples", "n_expected"}}
    wrong = [k for k, v in rest.items() if v is not None and not isinstance(v, int | float)]
    if wrong:
        raise EvaluationError(
            f"the command's {wrong[0]!r} is a {type(rest[wrong[0]]).__name__}; metrics are numbers"
        )
    return Told(
        metrics=rest,
        rows=_columns(found.get("rows")),
        n_examples=_count(found, "n_examples"),
        n_expected=_count(found, "n_expected"),
    )


def _count(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    if value is None or (type(value) is int and value >= 0):
        return value
    raise EvaluationError(f"the command's {name!r} must be a whole number, got {value!r}")


def _columns(rows: Any) -> dict[str, list[Any]] | None:
    """A list of objects as columns."""
    if rows is None:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise EvaluationError("the command's 'rows' must be a list of objects, one an example")
    names = list(rows[0])
    for place, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise EvaluationError(
                f"the command's row {place} has {', '.join(row)}, and row 0 {', '.join(names)}"
            )
    return {name: [row[name] for row in rows] for name in names}
