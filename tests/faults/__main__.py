"""Runs fault campaigns: `python -m tests.faults [saves] [claims] [keys] [--count N] [--seed S]`.

Prints what was done and what came of it; exits with 1 when anything was wrong or lost.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

NAMES = ("saves", "claims", "keys")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--count", type=int, help="saves (2,000), or faults of the claims (40)")
    parser.add_argument("--minutes", type=float, default=3.0, help="of random keys (3)")
    parser.add_argument("--seed", type=int, help="0, but for keys another one each time")
    args = parser.parse_args()
    unknown = set(args.names) - set(NAMES)
    if unknown:
        parser.error(f"no campaign {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    good = True
    for name in args.names or NAMES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="labbook-faults-") as folder:
            if name == "keys":
                seed = random.randrange(10**6) if args.seed is None else args.seed
                good &= _keys(Path(folder), args.minutes, seed)
            else:
                campaign = _saves if name == "saves" else _claims
                good &= campaign(Path(folder), args.count, args.seed or 0)
        print(f"({name}: {time.monotonic() - began:.0f} s)\n", flush=True)
    return 0 if good else 1


def _saves(folder: Path, count: int | None, seed: int) -> bool:
    from tests.faults.saves import interrupt

    tallies = interrupt(folder, count or 2000, seed)
    print(f"{'format':<28} {'saves':>6} {'killed':>7} {'whole':>6} {'wrong':>6} {'lost':>5}")
    for name, tally in tallies.items():
        print(
            f"{name:<28} {tally.saves:>6} {tally.interrupted:>7} {tally.whole:>6} "
            f"{tally.wrong:>6} {tally.lost:>5}"
        )
        for text, n in tally.texts.items():
            print(f"    {n} x {text}")
    wrong = sum(tally.wrong for tally in tallies.values())
    lost = sum(tally.lost for tally in tallies.values())
    print(f"{'all':<28} {sum(t.saves for t in tallies.values()):>6} {'':>14} {wrong:>6} {lost:>5}")
    return not wrong and not lost


def _claims(folder: Path, count: int | None, seed: int) -> bool:
    from tests.faults.claims import contend

    found = contend(folder, checkpoints=150, watchers=6, faults=count or 40, seed=seed)
    print(
        f"6 watchers, {found.keys} keys, {found.kills} SIGKILL, {found.pauses} SIGSTOP: "
        f"{found.evaluations} evaluations"
    )
    for text in found.wrong:
        print(f"    {text}")
    return not found.wrong


def _keys(folder: Path, minutes: float, seed: int) -> bool:
    from tests.faults.keys import press

    print(f"random keys on a live book at 80x24 for {minutes:g} minutes, --seed {seed}", flush=True)
    found = press(folder, minutes, seed)
    print(f"{found.keys} keys and resizes in {found.apps} apps: {found.wrong or 'nothing wrong'}")
    return not found.wrong


if __name__ == "__main__":
    sys.exit(main())
