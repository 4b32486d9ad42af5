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
from pathlib import Path
from typing import Any

from labbook.errors import EvaluationError
from labbook.watch.program import Program, load_program

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Start, say what there is, then evaluate what comes."""
    options = _options()
    commands = _listen(options.parent)
    answers = Answers(options.answers)
    os.nice(options.nice)
    try:
        program = load_program(Path(options.file))
        device = _device(options.device, options.threads)
    except EvaluationError as error:
        answers.send(type="broken", text=str(error), traceback=traceback.format_exc())
        sys.exit(1)
    scratch = Path(tempfile.mkdtemp(prefix="labbook-worker-"))
    try:
        bench = _bench(program, device, scratch, answers)
        while True:
            bench.take(commands.get())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


def _bench(program: Program, device: Any, scratch: Path, answers: Answers) -> Any:
    from dataclasses import asdict

    from labbook.watch.bench import Bench

    bench = Bench(program, device, scratch, answers.send)
    declared = [asdict(each) for each, _ in program.evaluations.values()]
    answers.send(
        type="ready", evaluations=declared, code=bench.code, device=str(device), pid=os.getpid()
    )
    return bench


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="labbook.watch.worker")
    parser.add_argument("--answers", type=int, required=True)
    parser.add_argument("--file", required=True)
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
    if name == "auto":
        name = _freest()
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise EvaluationError(f"device {name!r} cannot be used: {first}") from error
    return torch.empty(0, device=device).device


def _freest() -> str:
    """The GPU with the most free memory, else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return f"cuda:{free.index(max(free))}"


if __name__ == "__main__":
    main()
