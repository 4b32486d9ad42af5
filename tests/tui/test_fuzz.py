"""Random keys on a live book, over every page: whatever is pressed, the program goes on."""

from __future__ import annotations

import random
import shutil

import pytest

import labbook
from tests.tui.lab import Lab
from tests.tui.screens import app_on, until

pytestmark = pytest.mark.timeout(300)

KEYS = [
    *"123456789", *"abcefghijklmnoprstuvwxyzABCDEFGHLNRSTVW0+-=<>[].,", "space", "enter", "escape",
    "tab", "shift+tab", "up", "down", "left", "right", "home", "end", "pageup", "pagedown",
    "backspace", "slash", "question_mark", "ctrl+p", "ctrl+u", "ctrl+d", "colon",
]  # fmt: skip
"""All but `q`, which leaves, and `E` on conditions, which starts an editor."""
KEYS = [key for key in KEYS if key not in {"E", "q"}]
SIZES = [(80, 24), (120, 40), (60, 15), (50, 10), (200, 60)]


@pytest.mark.parametrize("seed", range(2))
async def test_random_keys(lab: Lab, seed: int, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where exports go
    chance = random.Random(seed)
    pressed: list[str] = []
    with lab.begin("--called", f"fuzzed{seed}") as process:
        try:
            await _press(app_on(lab.book), process, chance, pressed, f"fuzzed{seed}")
        except BaseException:
            print(f"pressed: {' '.join(pressed)}")
            raise
        finally:
            process.kill()
            shutil.rmtree(labbook.open(lab.book).run(f"fuzzed{seed}").paths.root)


async def _press(app, process, chance: random.Random, pressed: list[str], name: str) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, name)
        for place in range(60):
            if place % 30 == 29:
                await pilot.resize_terminal(*chance.choice(SIZES))
            if place % 20 == 19:
                process.stdin.write("5\n")
                process.stdin.flush()
            key = chance.choice(KEYS)
            pressed.append(key)
            await pilot.press(key)
        await pilot.resize_terminal(100, 30)
        assert app.feed.faults == 0
