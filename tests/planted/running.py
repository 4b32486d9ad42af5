"""Runs programs under `labbook.check`, each in a process of its own, and keeps what it said.

Results are lines of JSON in one file. A line's key holds the text of the program and the code of
labbook: what was checked once is not checked again, and nothing stale is ever shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.planted.program import Program

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Result:
    """What a check said of a program: a report, or why there is none."""

    name: str
    key: str
    report: dict[str, Any] | None
    error: str
    wall_s: float  # with the start of Python and torch


def code_digest() -> str:
    """Digest of labbook's code, on which every result depends."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "labbook").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def key_of(program: Program, code: str, budget_s: float, seed: int) -> str:
    """Name a result by all that it depends on."""
    text = json.dumps([program.name, program.text, code, budget_s, seed])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def known(folder: Path) -> dict[str, Result]:
    """Results of earlier runs, by key; a line cut short by a kill is left out."""
    found: dict[str, Result] = {}
    path = folder / "results.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            result = Result(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[result.key] = result
    return found


def run_all(
    programs: Iterable[Program],
    folder: Path,
    *,
    jobs: int = 2,
    budget_s: float = 60,
    limit_s: float = 240,
    seed: int = 0,
    again: bool = False,
) -> Iterator[tuple[Program, Result]]:
    """Yield each program with its result as it comes; new ones are appended to results.jsonl."""
    (folder / "programs").mkdir(parents=True, exist_ok=True)
    code = code_digest()
    old = {} if again else known(folder)
    waiting: list[tuple[Program, str]] = []
    for program in programs:
        key = key_of(program, code, budget_s, seed)
        if key in old:
            yield program, old[key]
        else:
            waiting.append((program, key))
    with ThreadPoolExecutor(jobs) as pool, (folder / "results.jsonl").open("a") as out:
        futures = {
            pool.submit(
                run_one, program, key, folder, budget_s=budget_s, limit_s=limit_s, seed=seed
            ): program
            for program, key in waiting
        }
        try:
            for future in as_completed(futures):
                result = future.result()
                out.write(json.dumps(asdict(result)) + "\n")
                out.flush()
                yield futures[future], result
        finally:
            pool.shutdown(cancel_futures=True)


def run_one(
    program: Program, key: str, folder: Path, *, budget_s: float, limit_s: float, seed: int
) -> Result:
    """Check one program in a process of its own, which is ended when its time is up."""
    path = folder / "programs" / f"{program.name}.py"
    path.write_text(program.text)
    command = [sys.executable, "-m", "tests.planted.child", str(path)]
    command += ["--budget", str(budget_s), "--seed", str(seed)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LABBOOK_")},
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tui", ROOT / "hooks"))),
    }
    began = time.monotonic()
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a loader's workers end with it
    )
    try:
        out, err = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Result(program.name, key, None, f"not done in {limit_s:.0f} s", limit_s)
    wall_s = time.monotonic() - began
    if child.returncode:
        last = err.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        return Result(program.name, key, None, last[0][:500], wall_s)
    # the program may print too: the report is the last line
    return Result(program.name, key, json.loads(out.strip().splitlines()[-1]), "", wall_s)
