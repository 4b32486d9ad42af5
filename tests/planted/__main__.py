"""Measures `labbook check` on programs with planted faults and on clean ones.

    python -m tests.planted [--faults] [--clean] [--only PATTERN] [--list] [--out FOLDER]

Every program is checked in a process of its own. Prints how many faults were found, how many were
named rightly, and how many clean programs alarmed. Exits with 1 when an exact check missed a fault
or alarmed on a clean program, or when a program gave no report.
"""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

from tests.planted.program import Program, clean, faulty
from tests.planted.report import print_score
from tests.planted.running import run_all
from tests.planted.scoring import Score, look


def main() -> int:
    """Run what was asked for."""
    args = _arguments()
    programs = _chosen(args)
    if args.list:
        for program in programs:
            why = program.fault.why if program.fault else "clean"
            print(f"{program.name:<42} {why}")
        return 0
    if not programs:
        print(f"no program is called {args.only}", file=sys.stderr)
        return 2
    score = Score()
    results = run_all(
        programs,
        args.out,
        jobs=args.jobs,
        budget_s=args.budget,
        limit_s=args.limit,
        seed=args.seed,
        again=args.again,
    )
    try:
        for n, (program, result) in enumerate(results, 1):
            seen = look(program, result)
            score.add(seen)
            if args.verbose:
                said = result.error or ", ".join(seen.alarms) or "nothing"
                line = f"{n:>4}/{len(programs)} {program.name:<42} {result.wall_s:5.1f} s  {said}"
                print(line, flush=True)
    except KeyboardInterrupt:
        print(f"stopped after {len(score.faults) + len(score.clean)} of {len(programs)} programs")
    print_score(score)
    has_broken = any(s.error for s in (*score.faults, *score.clean))
    return int(has_broken or any(row.missed or row.false for row in score.exact()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.planted",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--faults", action="store_true", help="only programs with a fault")
    parser.add_argument("--clean", action="store_true", help="only clean programs")
    parser.add_argument(
        "--only", metavar="PATTERN", help="names that match, as in mlp-* or softmax"
    )
    parser.add_argument("--list", action="store_true", help="name the programs, run nothing")
    parser.add_argument("--out", type=Path, default=Path("build/planted"), metavar="FOLDER")
    parser.add_argument("--again", action="store_true", help="check also what was checked before")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--budget", type=float, default=60, help="seconds a check may take")
    parser.add_argument("--limit", type=float, default=240, help="seconds a process may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each program")
    return parser.parse_args()


def _chosen(args: argparse.Namespace) -> list[Program]:
    programs = [] if args.clean and not args.faults else faulty()
    programs += [] if args.faults and not args.clean else clean()
    # an order by lot, the same each time: a run that is stopped has seen a fair sample
    programs.sort(key=lambda program: sha256(program.name.encode()).digest())
    if args.only is None:
        return programs
    pattern = args.only if any(c in args.only for c in "*?[") else f"*{args.only}*"
    return [program for program in programs if fnmatch(program.name, pattern)]


if __name__ == "__main__":
    sys.exit(main())
