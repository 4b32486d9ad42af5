"""What the benchmarks stand on: a quiet run, fresh processes, a repository, a book of many runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """This one without the user's labbook settings; one thread for numpy and torch."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LABBOOK_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def fresh(code: str, *args: str, cwd: Path, **more: str) -> Any:
    """Run code in a new process and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def recording(folder: Path, **options: Any) -> Iterator[Any]:
    """A run with the defaults but for the copy of the output, in a book in `folder`."""
    import labbook

    silent = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(2)
    os.dup2(silent, 2)  # the start line is for people
    try:
        run = labbook.start({}, book=folder / "book", output=False, **options)
        yield run
        run.finish()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


def wait_until_sealed(paths: Any, timeout_s: float = 120.0) -> float:
    """Wait until no segment is left; return the seconds it took, raise when it never came."""
    began = time.perf_counter()
    while list(paths.segments()):
        if time.perf_counter() - began > timeout_s:
            raise RuntimeError(f"still not sealed after {timeout_s:.0f} s")
        time.sleep(0.01)
    return time.perf_counter() - began


def repository(folder: Path, files: int) -> Path:
    """A clean git repository of so many small files."""
    folder.mkdir(parents=True)
    for i in range(files):
        path = folder / f"package{i // 50}" / f"module{i}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"VALUE = {i}\n" * 20)
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return folder


MODEL = """
import json, sys
import labbook
run = labbook.start({}, book=sys.argv[1], gauges=False)
for step in range(200):
    run.log({f"metric{i}": step / (i + 1) for i in range(10)}, step=step)
run.finish()
print(json.dumps(run.id))
"""


def book_of(folder: Path, runs: int) -> Path:
    """A book of finished, sealed runs: one is recorded, the others are copies with other values."""
    from labbook.paths import BookPaths

    folder.mkdir(parents=True, exist_ok=True)
    book = BookPaths(folder / "book")
    run_id = fresh(MODEL, str(book.root), cwd=folder)  # its process has ended: nothing is open
    paths = book.run(run_id)
    wait_until_sealed(paths)
    for path in paths.attempts.glob("1/*.json"):
        _make_older(path)
    identity = json.loads(paths.run_json.read_text())
    for n in range(1, runs):
        _copy(paths.root, f"20260101-{n:06d}-{n:06x}", n, identity)
    return book.root


def _make_older(path: Path, by_ns: int = 3600 * 10**9) -> None:
    """Move a process's times back: of an end just written, more is expected to come."""
    told = json.loads(path.read_text())
    times = {k: told[k] - by_ns for k in ("started_ns", "ended_ns") if k in told}
    path.write_text(json.dumps({**told, **times}))


def _copy(model: Path, run_id: str, n: int, identity: dict[str, Any]) -> None:
    root = model.parent / run_id
    for path in sorted(model.rglob("*")):
        target = root / path.relative_to(model)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.name == "run.json":
            target.write_text(json.dumps({**identity, "id": run_id, "name": f"run-{n}"}))
        elif path.parent.name == "1" and path.suffix == ".json" and ".end" not in path.name:
            found = json.loads(path.read_text())
            values = {f"option{i}": i for i in range(40)}
            found["arguments"]["values"] = {**values, "lr": 1e-4 * (n % 50), "seed": n}
            target.write_text(json.dumps(found))
        else:
            os.link(path, target)  # never written again
