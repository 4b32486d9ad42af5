"""The worker process: `python -m labbook.watch.worker`. Runs the user's code, and may die of it.

Commands come as JSON lines on stdin, answers go as JSON lines to the descriptor `--answers`. When
the supervisor is gone, stdin ends, and the whole process group goes too: nobody would hear the
answer, and a restarted watcher would do the same work beside it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labbook.errors import EvaluationError, LabbookError
from labbook.paths import RunPaths
from labbook.watch.codes import folder_of
from labbook.watch.program import Program, load_program

if TYPE_CHECKING:
    from labbook.watch.materialise import Tree

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_TOUCH_S = 3600.0


def main() -> None:
    """Start, say what there is, then evaluate what comes."""
    options = _options()
    commands = _listen(options.parent)
    answers = Answers(options.answers)
    os.nice(options.nice)
    what = "code"
    try:
        entered = _enter(options)
        what = "device"
        device = _device(options.device, options.threads)
        what = _blame(options, entered)
        program = _load(options, entered)
    except (LabbookError, OSError) as error:
        answers.send(type="broken", what=what, text=str(error), traceback=traceback.format_exc())
        sys.exit(1)
    scratch = Path(tempfile.mkdtemp(prefix="labbook-worker-"))
    try:
        bench = _bench(program, device, scratch, answers, entered)
        for command in _coming(commands, None if entered is None else entered.tree):
            bench.take(command)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _coming(
    commands: queue.SimpleQueue[dict[str, Any]], tree: Tree | None, every_s: float = _TOUCH_S
) -> Iterator[dict[str, Any]]:
    """Commands as they come; meanwhile the code says that it is in use: more may be imported."""
    while True:
        if tree is not None:
            tree.touch()
        try:
            yield commands.get(timeout=every_s)
        except queue.Empty:
            continue


@dataclass(frozen=True)
class _Entered:
    """A run's code that this process imports from; `files` are the evaluation files there."""

    tree: Tree
    files: list[Path]


def _enter(options: argparse.Namespace) -> _Entered | None:
    """Make the run's code, and the way into it; null for the current code."""
    if options.run_root is None:
        return None
    from labbook.conditions import worktree
    from labbook.watch.facts import read_facts
    from labbook.watch.materialise import materialise
    from labbook.watch.way_in import enter

    paths = RunPaths(Path(options.run_root))
    facts = read_facts(paths)
    if facts is None or folder_of(facts.conditions) != options.code:
        raise EvaluationError(f"the conditions of run {paths.id} changed meanwhile")
    files = [Path(file).absolute() for file in options.file]
    here = worktree.find(files[0].parent)
    tree = materialise(facts, paths, Path(options.cache), None if here is None else here.top)
    return _Entered(tree, enter(tree, files, facts.conditions))


def _blame(options: argparse.Namespace, entered: _Entered | None) -> str:
    """What it is that cannot be used, when the evaluation files cannot be imported.

    `nowhere`: a file that is not there; `file`: one that is no part of the run's code; `code`.
    """
    if entered is None:
        return "code"
    if not all(file.is_file() for file in entered.files):
        return "nowhere"
    named = {Path(file).absolute() for file in options.file}
    return "file" if named & set(entered.files) else "code"


def _load(options: argparse.Namespace, entered: _Entered | None) -> Program:
    if entered is None:
        return load_program(*(Path(file) for file in options.file))
    tree = entered.tree
    missing = [str(file) for file in entered.files if not file.is_file()]
    if missing:
        raise EvaluationError(
            f"there is no file {missing[0]}, nor is it in code {tree.tree[:7]} of the run; "
            "name the file that holds your evaluation"
        )
    roots = {"": tree.folder, **{f"{name}:": each for name, each in tree.editable.items()}}
    return load_program(*entered.files, folders=(), roots=roots, content=tree.content)


class Answers:
    """The way back to the supervisor: one whole line an answer."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd

    def send(self, **answer: Any) -> None:
        """Send one answer."""
        line = json.dumps(answer).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]


def _bench(
    program: Program, device: Any, scratch: Path, answers: Answers, entered: _Entered | None
) -> Any:
    from labbook.watch.bench import Bench

    outside = {name: str(path) for name, path in program.outside().items()}
    bench = Bench(program, device, scratch, answers.send, _origin(entered, outside))
    declared = [
        {**asdict(each), "code": bench.keys[name]}
        for name, (each, _) in program.evaluations.items()
    ]
    answers.send(
        type="ready", evaluations=declared, code=bench.code, device=str(device), pid=os.getpid(),
        outside=outside, notes=_notes(entered, program, outside),
    )  # fmt: skip
    return bench


def _origin(entered: _Entered | None, outside: dict[str, str]) -> dict[str, Any] | None:
    """What a result says of the run's code it was made with."""
    if entered is None:
        return None
    tree = entered.tree
    return {
        "mode": "run",
        "tree": tree.tree,
        "content": tree.content,
        "outside": sorted(outside),
        "linked": tree.linked,
        "missing": [{"path": each.path, "why": each.why} for each in tree.missing],
    }


def _notes(entered: _Entered | None, program: Program, outside: dict[str, str]) -> list[str]:
    """What a user should know of the code, once."""
    if entered is None:
        return []
    tree, told = entered.tree, []
    if tree.linked:
        told.append(f"linked in, not part of the code: {_some(tree.linked)}")
    if tree.missing:
        told.append(f"not there: {_some([each.path for each in tree.missing])}")
    own = {str(file) for file in program.files}
    told += [f"{path} is not part of the code: used as it is" for path in own & {*outside.values()}]
    stray = [path for path in outside.values() if path not in own]
    if stray:
        told.append(f"imported from outside the code, as it is now: {_some(stray)}")
    return told + tree.notes


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="labbook.watch.worker")
    parser.add_argument("--answers", type=int, required=True)
    parser.add_argument("--file", action="append", required=True)
    parser.add_argument("--run-root")
    parser.add_argument("--code")
    parser.add_argument("--cache")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def _listen(parent: int) -> queue.SimpleQueue[dict[str, Any]]:
    """Commands as they come. The user's code gets an empty stdin of its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    private = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        with open(private, "rb") as file:
            for line in file:
                commands.put(json.loads(line))
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=read, daemon=True, name="labbook-commands").start()
    return commands


def _device(name: str, threads: int | None) -> Any:
    import torch

    if threads:
        torch.set_num_threads(threads)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise EvaluationError(f"device {name!r} cannot be used: {first}") from error
    return torch.empty(0, device=device).device


if __name__ == "__main__":
    main()
