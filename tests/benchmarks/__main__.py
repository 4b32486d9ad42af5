"""Runs benchmarks one after another, each in a process of its own.

`python -m tests.benchmarks [names …] [--quick] [--peers] [--out FILE]`. Each puts its section into
`RESULTS.md` beside this file; quick ones are only printed, unless `--out` is given.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.ground import ROOT, environment

NAMES = (
    "log_cost",
    "advice_cost",
    "step_slowdown",
    "data_cost",
    "follow_cost",
    "import_start",
    "kill",
    "corrupt",
    "bytes_per_point",
    "seal_speed",
    "finish_time",
    "memory",
    "run_table",
    "curve_draw",
    "series_read",
    "start_many",
    "gauges_cost",
    "watch_throughput",
    "watch_training",
    "watch_resnet",
    "snapshot_cost",
    "hook_cost",
    "chosen_set",
    "dynamics",
    "check_cost",
    "tui_runs",
    "tui_bytes",
)
RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# What labbook costs, measured

Made by `make bench`. Floors, peers and labbook are measured in the same run, so the ratios say more
than the times: this kind of machine drifts by a factor of two. Goals are the design's; ratios are
measured ÷ floor. Under each heading: the machine, the date, and how busy it was.

"""


def main() -> int:
    """Run what was asked for and write it down; 1 when a benchmark itself failed."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; peers")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all")
    parser.add_argument("--peers", action="store_true", help="other trackers too, from .venv-peers")
    parser.add_argument("--out", type=Path, help="write the Markdown there")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.names) - {*NAMES, "peers"}
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    if args.one:
        return _one(args.names[0], args.quick)
    return _all(args)


def _one(name: str, quick: bool) -> int:
    module = importlib.import_module(f"tests.benchmarks.{name}")
    with tempfile.TemporaryDirectory(prefix="labbook-bench-") as folder:
        figures = module.measure(Path(folder), quick=quick)
    print(json.dumps(report.as_json(figures)))
    return 0


def _all(args: argparse.Namespace) -> int:
    names = args.names or [*NAMES]
    if args.peers and "peers" not in names:
        names.append("peers")
    out = args.out or (None if args.quick else RESULTS)
    failed = 0
    for name in names:
        began = time.perf_counter()
        text, is_good = _section(name, args.quick)
        failed += not is_good
        print(f"{text}\n({time.perf_counter() - began:.0f} s)\n", flush=True)
        if out is not None and is_good:
            _put(out, name, text)
    return 1 if failed else 0


def _put(out: Path, name: str, text: str) -> None:
    """Put a section into the file; those of other benchmarks stay."""
    before = out.read_text().split("\n## ")[1:] if out.exists() else []
    sections = {part.partition("\n")[0]: f"## {part.strip()}\n" for part in before}
    sections[name] = text
    order = [n for n in (*NAMES, "peers") if n in sections]
    out.write_text(HEAD + "\n".join(sections[n] for n in order))


def _section(name: str, quick: bool) -> tuple[str, bool]:
    module = importlib.import_module(f"tests.benchmarks.{name}")
    head = f"## {name}\n\n{(module.__doc__ or '').strip()}\n\nOn {report.machine()}.\n\n"
    words = [sys.executable, "-m", "tests.benchmarks", name, "--one"]
    done = subprocess.run(
        words + ["--quick"] * quick,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return f"{head}Failed with exit status {done.returncode}: nothing was measured.\n", False
    figures = [report.Figure(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    render = getattr(module, "render", report.table)
    return f"{head}{render(figures)}\n", True


if __name__ == "__main__":
    sys.exit(main())
