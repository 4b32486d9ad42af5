"""Marks, copy and export: the real app on a real book."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from labbook_tui.marks import Marks
from tests.tui.lab import Lab
from tests.tui.screens import app_on, until

pytestmark = pytest.mark.timeout(240)


async def test_copy_and_export(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("y")
        run = app.screen.table.current
        await until(pilot, f"copied {run.id}")
        assert app.clipboard == run.id
        await pilot.press("e")
        await until(pilot, "written: ")
        rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
        assert {row["name"] for row in rows} == {"first", "second", "broken", "gone"}


def test_marks_keep_their_letters() -> None:
    marks = Marks()
    for name in "tuvwxyz":
        assert marks.toggle(name)
    assert not marks.toggle("more")
    assert marks.toggle("u")
    assert marks.letter("v") == "C"
    assert marks.toggle("more")
    assert marks.letter("more") == "B"
    marks.clear()
    assert marks.ids == ()
