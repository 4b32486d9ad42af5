"""Random keys on the terminal program, on a live book at 80×24, resized now and then, for minutes.

The book is the recorded one, with a run beside it that goes on logging. An exception anywhere in
the app, or in its reader, ends the campaign; the seed makes it press the same keys again.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from labbook_tui.demo import unpacked
from tests.tui.fuzzing import mash
from tests.tui.lab import Lab, make_lab
from tests.tui.screens import app_on, until

__all__ = ["Mashed", "press"]

KEYS_AN_APP = 400
"""So many keys, then a new app: how the last one was left is remembered by the next."""
SHOWN = 200


@dataclass
class Mashed:
    """What came of it; `wrong` holds the traceback, if any, and the last keys."""

    keys: int = 0
    apps: int = 0
    wrong: str = ""
    pressed: list[str] = field(default_factory=list)


def press(folder: Path, minutes: float, seed: int) -> Mashed:
    """Press keys for so long; exports, notes and the memory of the program stay in `folder`."""
    lab = make_lab(folder / "lab")
    with unpacked() as book:
        shutil.copytree(book, lab.book)
    (folder / "cwd").mkdir()
    os.chdir(folder / "cwd")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    for name in ("EDITOR", "VISUAL"):
        os.environ.pop(name, None)
    found = Mashed()
    with lab.begin("--called", "mashed") as process:
        try:
            asyncio.run(_campaign(lab, process, minutes, random.Random(seed), found))
        except Exception:
            found.wrong = f"{traceback.format_exc()}\nlast: {' '.join(found.pressed[-SHOWN:])}"
        finally:
            process.kill()
    os.chdir(folder.parent)
    return found


async def _campaign(lab: Lab, process, minutes: float, chance: random.Random, found: Mashed):
    ends = time.monotonic() + 60 * minutes
    while time.monotonic() < ends:
        app = app_on(lab.book)
        found.apps += 1
        before = len(found.pressed)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, "7 runs")  # whatever filter is remembered
            found.pressed.append("(new)")
            await mash(
                pilot,
                process,
                chance,
                found.pressed,
                lambda place: place < KEYS_AN_APP and time.monotonic() < ends,
            )
        if app.feed.faults:
            raise AssertionError(f"{app.feed.faults} faults of the reader")
        found.keys += len(found.pressed) - before - 1
