"""The campaigns at a size that a suite can bear; `python -m tests.faults` runs them whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from labbook_tui.app import LabbookApp
from tests.faults.claims import contend
from tests.faults.formats import FORMATS
from tests.faults.keys import press
from tests.faults.saves import interrupt
from tests.tui import fuzzing


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore:This process .*fork:DeprecationWarning")
def test_interrupted_saves_are_never_called_whole_and_whole_ones_never_lost(tmp_path: Path):
    tallies = interrupt(tmp_path, 5 * len(FORMATS), seed=3)
    assert {name: (t.wrong, t.lost) for name, t in tallies.items()} == dict.fromkeys(
        FORMATS, (0, 0)
    ), tallies
    assert sum(tally.interrupted for tally in tallies.values()) > 10


@pytest.mark.timeout(180)
def test_watchers_that_are_killed_and_paused_publish_each_key_once(tmp_path: Path):
    found = contend(tmp_path, checkpoints=12, watchers=2, faults=5, seed=1)
    assert found.wrong == ()
    assert found.evaluations <= found.keys + found.kills + found.pauses


@pytest.mark.timeout(180)
def test_random_keys_leave_the_program_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # what the campaign changes is as before afterwards
    monkeypatch.setenv("XDG_STATE_HOME", "")
    found = press(tmp_path, minutes=0.03, seed=1)
    assert found.wrong == ""
    assert found.keys > 5


@pytest.mark.timeout(180)
def test_a_fault_of_the_program_is_found_and_its_keys_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setattr(fuzzing, "KEYS", ["T"])
    monkeypatch.setattr(LabbookApp, "action_theme", broken)
    found = press(tmp_path, minutes=1, seed=1)
    assert "ZeroDivisionError: on purpose" in found.wrong
    assert "last: (new) T" in found.wrong
