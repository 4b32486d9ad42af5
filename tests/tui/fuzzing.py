"""Random keys and sizes on the app: what `test_fuzz.py` and `make faults` have in common."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable

from textual.pilot import Pilot

KEYS = [
    *"123456789", *"abcefghijklmnoprstuvwxyzABCDEFGHLNRSTVW0+-=<>[].,", "space", "enter", "escape",
    "tab", "shift+tab", "up", "down", "left", "right", "home", "end", "pageup", "pagedown",
    "backspace", "slash", "question_mark", "ctrl+p", "ctrl+u", "ctrl+d", "colon",
]  # fmt: skip
"""All but `q`, which leaves. `E` on conditions starts an editor, where there is one."""
SIZES = [(80, 24), (120, 40), (60, 15), (50, 10), (200, 60)]


async def mash(
    pilot: Pilot[None],
    process: subprocess.Popen[str],
    chance: random.Random,
    pressed: list[str],
    goes_on: Callable[[int], bool],
) -> None:
    """Press a key as long as `goes_on(place)`, now and then with more of the live run, or a size.

    Ends too when the app was left, as its palette can.
    """
    place = 0
    while goes_on(place) and pilot.app.is_running:
        if place % 30 == 29:
            columns, rows = chance.choice(SIZES)
            pressed.append(f"({columns}x{rows})")
            await pilot.resize_terminal(columns, rows)
        if place % 20 == 19:
            assert process.stdin is not None
            process.stdin.write("5\n")
            process.stdin.flush()
        *burst, last = chance.choices(KEYS, k=chance.choice((1, 1, 2, 8)))
        pressed += [*burst, last]
        for key in burst:  # typed ahead, as on a slow connection
            pilot.app.simulate_key(key)
        await pilot.press(last)
        place += 1
