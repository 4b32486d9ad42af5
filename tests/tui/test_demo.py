"""The recorded book: in the wheel, small, silent about the machine that made it, and whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hatchling.builders.wheel import WheelBuilder

import labbook
from labbook.cli import main
from labbook.errors import StoreError
from labbook_tui import demo
from tests.demo_book import GROWING, HOME, ROOT, SMALLER, SMOOTHING, changed, texts_of
from tests.tui.screens import app_on, until
from tests.tui.terminal import Terminal

MOST_BYTES = 300_000
FOLDERS = "Users|home|root|tmp|usr|opt|var|mnt|work|data|srv|run|private|scratch|nix"
PATHS = re.compile(rf"(?<![\w+/.\\-])/(?:{FOLDERS})/[\w./-]*")


@pytest.fixture(scope="module")
def shipped() -> Path:
    """The archive, by the name under which the wheel has it."""
    files = WheelBuilder(str(ROOT)).recurse_included_files()
    [found] = [f for f in files if f.distribution_path.startswith("labbook_tui/demo/book")]
    return Path(found.path)


@pytest.fixture
def book(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(demo, "ARCHIVE", shipped)
    with demo.unpacked() as found:
        yield found


def test_it_is_small(shipped: Path) -> None:
    assert shipped == demo.ARCHIVE
    assert shipped.stat().st_size < MOST_BYTES


def test_it_names_no_folder_user_or_host_of_the_machine_that_made_it(book: Path) -> None:
    for path, text in texts_of(book):
        named = {found for found in PATHS.findall(text) if not found.startswith(HOME)}
        assert named == set(), path
        # two backslashes: JSON within the text of a table
        hosts = re.findall(r'\\?"(?:host|hostname|user)\\?": \\?"([^"\\]*)', text)
        assert {*hosts} <= {"workstation", "you"}, path
    runs = labbook.open(book).runs()
    assert {*runs["host"].to_pylist()} == {"workstation"}


def test_it_has_what_a_newcomer_should_see(book: Path) -> None:
    runs = [labbook.open(book).run(run_id) for run_id in labbook.open(book).ids()]
    assert [run.name for run in runs if run.state.name == "failed"] == ["growing"]
    assert {run.state.name for run in runs} == {"finished", "failed"}
    assert labbook.open(book).runs()["group"].to_pylist().count("seeds") == 3
    for run in runs:
        assert len(run.results()) == len(run.checkpoints()) > 1
        assert run.chosen("chosen").num_rows > 100
    assert list(book.glob("runs/*/checkpoints/*.pt")) == []


def test_it_can_be_made_anew_from_the_examples_as_they_are() -> None:
    made = {
        name: changed((ROOT / "examples" / "digits" / name).read_text(), changes)
        for name, changes in SMALLER.items()
    }
    for change in ({}, GROWING, SMOOTHING):
        compile(changed(made["train.py"], change), "train.py", "exec")
    compile(made["evaluation.py"], "evaluation.py", "exec")


async def test_every_screen_shows_it(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await until(pilot, "6 runs")
        assert "2 from a dirty tree" in text
        await pilot.press("space", "j", "space", "9")
        await until(pilot, lambda text: "compare" in text and "reading" not in text)
        await pilot.press("v")
        await until(pilot, "smoothed → growing")
        await pilot.press("v")
        await until(pilot, lambda text: "validation" in text and "±" in text)
        await pilot.press("escape", "E")
        await until(pilot, "columns of the runs")
        await pilot.press("escape", "question_mark")
        await until(pilot, "everywhere")
        await pilot.press("escape", "m")
        await until(pilot, "this machine")
        await pilot.press("escape", "j")
        for digit in "2345678":
            await pilot.press(digit)
            text = await until(pilot, lambda text: "reading" not in text and "fast" in text)
            assert "cannot be read" not in text
        await pilot.press("4", "enter")
        await until(pilot, "taken for")
        assert app.feed.faults == 0


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    folders = {"TMPDIR": tmp_path / "tmp", "XDG_STATE_HOME": tmp_path / "state"}
    (tmp_path / "tmp").mkdir()
    places = {name: str(folder) for name, folder in folders.items()}
    with Terminal((80, 24), "--demo", **places) as terminal:
        terminal.until("6 runs")
        [folder] = (tmp_path / "tmp").glob("labbook-demo-*")
        assert (folder / "digits" / ".labbook" / "book.json").is_file()
        terminal.press("q")
        assert terminal.finish() == 0
    assert [*tmp_path.rglob("*")] == [tmp_path / "tmp"]


def test_a_file_that_comes_while_it_is_removed_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = shutil.rmtree

    def late(folder: str, ignore_errors: bool) -> None:
        monkeypatch.setattr(shutil, "rmtree", plain)
        plain(Path(folder) / "digits" / ".labbook" / "runs")

    with demo.unpacked() as book:
        monkeypatch.setattr(shutil, "rmtree", late)
    assert not book.parent.parent.exists()


def test_a_run_of_it_can_be_named() -> None:
    with Terminal((80, 24), "--demo", "growing") as terminal:
        terminal.until("failed: RuntimeError")
        terminal.press("q")
        assert terminal.finish() == 0


def test_a_damaged_archive_is_a_plain_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.tar.xz").write_bytes(b"not xz")
    monkeypatch.setattr(demo, "ARCHIVE", tmp_path / "book.tar.xz")
    with pytest.raises(StoreError, match="the recorded book cannot be unpacked"), demo.unpacked():
        pass


def test_demo_and_a_book_exclude_each_other() -> None:
    result = CliRunner().invoke(main, ["tui", "--demo", "--book", "x"])
    assert result.exit_code == 2
    assert "--demo opens a book of its own: leave out --demo or --book" in result.output


def test_serving_it_is_explained() -> None:
    result = CliRunner().invoke(main, ["tui", "--demo", "--serve"])
    assert "textual serve 'labbook tui --plain-driver --demo'" in result.output


def test_a_missing_book_names_the_demo(tmp_path: Path) -> None:
    with Terminal((120, 24), "--book", str(tmp_path / "none")) as terminal:
        assert terminal.finish() == 1
        assert "labbook tui --demo" in " ".join(terminal.text.split())
