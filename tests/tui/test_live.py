"""Pages about live runs: this machine, the header of a run whose code changes, notes and tags."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import labbook
from labbook.upkeep import marks
from labbook_tui.read import code
from labbook_tui.views.conditions import ConditionsView
from labbook_tui.views.host import HostView
from tests.tui.lab import TRAIN, Lab, make_lab
from tests.tui.screens import app_on, screen_text, until

pytestmark = pytest.mark.timeout(240)

SIZES = [(80, 24), (120, 40)]
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A book with two live runs, begun from a dirty tree."""
    lab = make_lab(tmp_path_factory.mktemp("live"))
    (lab.root / "train.py").write_text(TRAIN + "# dirty\n")
    with lab.begin("--called", "older") as first, lab.begin("--called", "newer") as second:
        yield lab
        first.communicate()
        second.communicate()


@pytest.mark.parametrize("size", SIZES)
async def test_this_machine(live: Lab, size: tuple[int, int]) -> None:
    app = app_on(live.book)
    async with app.run_test(size=size) as pilot:
        await until(pilot, "newer")
        await pilot.press("m")
        text = await until(pilot, lambda text: "live runs  2" in text)
        for word in ("this machine", "cpu", "memory", "disk", "network", "load", "the book"):
            assert word in text
        row = next(line for line in text.split("\n") if " newer " in line)
        assert " 60 " in row  # its step
        assert "–" in row  # nothing measured of GPUs: no zero is invented
        assert all(len(line) <= size[0] for line in screen_text(app).split("\n"))
        view = app.screen.query_one(HostView)
        newer = view.run_id
        await pilot.press("j")
        assert view.run_id != newer
        assert app.screen.at_run() == app.screen.copied() == view.run_id
        await pilot.press("w")
        assert app.screen.remembered() == {"window": 60.0}
        shown = app.screen.shown()
        assert shown is not None
        assert "cpu.host_percent" in {row[0] for row in shown.rows}
        await pilot.press("slash", *"network", "enter")
        await until(pilot, "network")
        await pilot.press("escape", "enter")
        await until(pilot, lambda text: text.lstrip().startswith("older"))
        await pilot.press("escape")
        await until(pilot, "live runs")
        await pilot.press("escape")
        await until(pilot, "2 runs")


async def test_the_program_can_begin_with_this_machine(live: Lab) -> None:
    app = app_on(live.book, None, "host")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "live runs")
        await pilot.press("escape")
        await until(pilot, "2 runs")


@pytest.mark.parametrize("size", SIZES)
async def test_a_change_under_a_live_run_is_told(
    live: Lab, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "PERIOD_S", 0.0)
    script = live.root / "train.py"
    before = script.read_text()
    run = labbook.open(live.book).summaries()[0]
    app = app_on(live.book, run.id)
    async with app.run_test(size=size) as pilot:
        text = await until(pilot, "dirty tree: 1 file not as committed: train.py")
        assert "the code changed" not in text
        try:
            script.write_text(before + "# later\n")
            text = await until(pilot, "the code changed since this run began: train.py")
            assert "2 Curves" in text  # the header grew
        finally:
            script.write_text(before)
        await until(pilot, lambda text: "the code changed" not in text)


async def test_a_commit_since_is_told(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    (lab.root / "train.py").write_text(TRAIN + "# dirty\n")
    assert lab.train("--then", "none").returncode == 0
    subprocess.run([*GIT, "commit", "-qam", "later"], cwd=lab.root, check=True)
    from labbook.paths import open_book
    from labbook.upkeep import committed

    head = committed.head(str(lab.root))
    assert head is not None
    assert committed.mark(open_book(lab.book), str(lab.root), head, seconds=30)
    app = app_on(lab.book, labbook.open(lab.book).summaries()[0].id)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, f"train.py, committed as {head.oid[:7]} since")


async def test_notes_and_tags_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    lab = make_lab(tmp_path / "lab")
    assert lab.train("--then", "none").returncode == 0
    reader = labbook.open(lab.book).run(labbook.open(lab.book).summaries()[0].id)
    marks.note(reader, "first line\n\x1b[31mred\n")
    app = app_on(lab.book, reader.id, "conditions")
    async with app.run_test(size=(80, 24)) as pilot:
        text = await until(pilot, "first line")
        assert "\x1b" not in text
        await pilot.press("E", *"a new line", "enter")
        await until(pilot, "a new line")
        assert reader.paths.notes.read_text() == "first line\n\x1b[31mred\na new line\n"
        await pilot.press("plus", *"good, base", "enter")
        await until(pilot, "good, base")
        await pilot.press("plus", *"-base", "enter")
        await until(pilot, lambda text: "good" in text and "base" not in text)
        await pilot.press("plus", *"a", "escape")
        reader.refresh()
        assert reader.tags == ["good"]
        await pilot.press("plus", *"bad\u200b", "enter")
        view = app.screen.query_one(ConditionsView)
        assert view.has_focus


async def test_keys_of_the_conditions(lab: Lab) -> None:
    run = labbook.open(lab.book).run("second")
    app = app_on(lab.book, run.id, "conditions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "arguments")
        view = app.screen.query_one(ConditionsView)
        assert app.screen.copied().endswith("train.py --called second --lr 0.001 --then none")
        folded = len(view.rows(80))
        await pilot.press("a")
        assert len(view.rows(80)) > folded + 5
        await pilot.press("a", "slash", *"numpy", "enter")  # in the folded packages
        await until(pilot, "numpy")
        assert view.hits
        await pilot.press("escape", "n", "n")
        top = view.top
        assert top > 0
        await pilot.press("N")
        assert view.top < top
        shown = app.screen.shown()
        assert shown is not None
        assert ("arguments", "lr", "0.001") in shown.rows


async def test_the_machine_of_a_run_says_what_it_came_to(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    with lab.begin("--called", "measured") as process:
        run = labbook.open(lab.book).run("measured")
        app = app_on(lab.book, run.id, "machine")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda text: "% of a core" in text and "memory at most" in text)
            await pilot.press("w")
            await until(pilot, "last 10m")
            assert "cpu.percent" in app.screen.copied()
            shown = app.screen.shown()
            assert shown is not None
            assert "memory.rss_bytes" in {row[0] for row in shown.rows}
        process.communicate()
