"""Other trackers through the same loops, in one run with labbook: offline, at their defaults.

Each task has a process of its own. `-` is what could not be measured. *Lost* is of 5,000 calls at
full speed (fewer where the tracker took longer than the time given), of those that returned, after
SIGKILL. Bytes a point: 10 noisy losses a step, after `finish`, what they added on disk to an empty
run.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.ground import ROOT, environment
from tests.benchmarks.report import Figure, number

PEERS = ("labbook", "wandb", "mlflow", "tensorboard", "aim", "trackio")
PYTHON = ROOT / ".venv-peers" / "bin" / "python"


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    figures = []
    for name in PEERS:
        place = folder / name
        for kind in ("cost", "empty", "bytes", "kill"):
            (place / kind).mkdir(parents=True)
        try:
            found = _one(name, place, 0.2 if quick else 5.0)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            print(f"{name}: {error}", file=sys.stderr)
            figures.append(Figure(f"{name}|-", 0.0, "", note="not measured"))
            continue
        named = f"{name} {found.pop('version')}"
        figures += [Figure(f"{named}|{what}", value, "") for what, value in found.items()]
    return figures


def render(figures: list[Figure]) -> str:
    """One row a tracker."""
    rows: dict[str, dict[str, str]] = {}
    for figure in figures:
        name, _, what = figure.what.partition("|")
        cells = rows.setdefault(name, {})
        if what != "-":
            cells[what] = number(figure.value, "")
    columns = list(dict.fromkeys(what for cells in rows.values() for what in cells))
    lines = ["| tracker | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name, cells in rows.items():
        told = name if cells else f"{name} (not installed, or it failed)"
        lines.append(f"| {told} | " + " | ".join(cells.get(c, "-") for c in columns) + " |")
    return "\n".join(lines)


def _one(name: str, place: Path, budget_s: float) -> dict[str, Any]:
    found: dict[str, Any] = _task(name, "cost", place / "cost", budget_s)
    _task(name, "bytes", place / "empty", 0.0)
    points = _task(name, "bytes", place / "bytes", budget_s * 4)["points"]
    time.sleep(2.0)  # what a tracker still writes behind the process that ended
    found["bytes a point"] = (_weight(place / "bytes") - _weight(place / "empty")) / points
    _task(name, "kill", place / "kill", budget_s * 4)
    returned = int((place / "kill" / "returned").read_text())
    time.sleep(2.0)
    found["returned"] = returned
    found["lost"] = returned - _task(name, "count", place / "kill", budget_s)["count"]
    return found


def _task(name: str, task: str, place: Path, budget_s: float) -> Any:
    python = sys.executable if name == "labbook" else str(PYTHON)
    done = subprocess.run(
        [python, "-m", "tests.benchmarks.peer_child", name, task, str(budget_s)],
        cwd=place,
        env=environment(
            HOME=str(place),
            TRACKIO_DIR=str(place / "trackio"),
            WANDB_SILENT="true",
            DO_NOT_TRACK="true",
        ),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if task == "kill" and done.returncode == -signal.SIGKILL:
        return {}
    if done.returncode != 0:
        raise RuntimeError(f"{task} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _weight(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
