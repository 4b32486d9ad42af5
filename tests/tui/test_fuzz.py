"""Random keys on a live book, over every page: whatever is pressed, the program goes on."""

from __future__ import annotations

import random
import shutil

import pytest

import labbook
from tests.tui.fuzzing import mash
from tests.tui.lab import Lab
from tests.tui.screens import app_on, until

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("seed", range(2))
async def test_random_keys(lab: Lab, seed: int, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where exports go
    for name in ("EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
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
        await mash(pilot, process, chance, pressed, lambda place: place < 60)
        await pilot.resize_terminal(100, 30)
        assert app.feed.faults == 0
