"""Train the digits with a watcher beside it, then look at the result: what `make demo` runs.

The book is .labbook at the top of this checkout, whatever the environment says. On a terminal the
program opens at the end, unless DEMO_TUI is 0. Arguments go to train.py.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import labbook
from labbook.book.runreader import RunReader

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BOOK = ROOT / ".labbook"
PATIENCE_S = 300  # for the evaluations that are still to come when the training has ended


def main() -> int:
    forget_settings()
    os.chdir(ROOT)
    before = set(run_ids())
    with watcher() as watching:
        training = subprocess.run(
            said([sys.executable, "examples/digits/train.py", *sys.argv[1:]]), check=False
        )
        if training.returncode:
            print(f"the training failed with exit status {training.returncode}", file=sys.stderr)
            return 1
        [run_id] = set(run_ids()) - before
        run = labbook.open(BOOK).run(run_id)
        print("waiting until every checkpoint is evaluated", flush=True)
        problem = wait_for_results(run, watching)
    if problem:
        print(problem, file=sys.stderr)
        return 1
    show(run)
    return 0


def forget_settings() -> None:
    """A user's own LABBOOK_* must not lead the demo into another book, or switch it off."""
    for name in [name for name in os.environ if name.startswith("LABBOOK_")]:
        del os.environ[name]
    os.environ["LABBOOK_DIR"] = str(BOOK)


def run_ids() -> list[str]:
    return labbook.open(BOOK).ids() if (BOOK / "book.json").exists() else []


def said(command: list[str]) -> list[str]:
    """Print a command as a user would type it, and return it."""
    shown = [Path(command[0]).name, *command[1:]]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    return command


def labbook_command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("labbook")), *arguments]


@contextmanager
def watcher() -> Iterator[subprocess.Popen]:
    """Run the watcher for as long as the block lasts, and end it as Ctrl-C would."""
    process = subprocess.Popen(said(labbook_command("watch", "examples/digits/evaluation.py")))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_results(run: RunReader, watching: subprocess.Popen) -> str | None:
    """Return None once every checkpoint has a result, else what stands in the way."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        run.refresh()
        evaluated = {result.checkpoint["file"] for result in run.results()}
        missing = [c for c in run.checkpoints() if c.file not in evaluated]
        if not missing:
            return None
        given_up = [r for r in run.reasons() if r.get("state") in {"failed", "skipped"}]
        if given_up:
            return f"{len(missing)} checkpoints have no result: {given_up[0]['reason']}"
        if watching.poll() is not None:
            return f"the watcher ended with exit status {watching.returncode}"
        if time.monotonic() > deadline:
            return f"{len(missing)} checkpoints still had no result after {PATIENCE_S} s"
        time.sleep(0.2)


def show(run: RunReader) -> None:
    subprocess.run(said(labbook_command("ls")), check=True)
    print("\nEach checkpoint over the whole validation set, from one row per digit:\n")
    print(f"{'step':>6}  {'digits':>6}  {'accuracy':>8}  {'loss':>6}")
    for result in run.results():
        rows = result.rows()
        right, losses = rows["accuracy"].to_pylist(), rows["loss"].to_pylist()
        accuracy, loss = sum(right) / len(right), sum(losses) / len(losses)
        print(f"{result.step:>6}  {rows.num_rows:>6}  {accuracy:>8.4f}  {loss:>6.4f}")
    command = os.path.relpath(labbook_command()[0])
    print(f"\nLook at it: {shlex.quote(command)}          the terminal program")
    print(f"            {shlex.quote(command)} show {run.name}", flush=True)
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("DEMO_TUI") != "0":
        os.execv(command, [command])


if __name__ == "__main__":
    sys.exit(main())
