"""The book that the tests of the terminal program read, and a terminal without settings."""

from __future__ import annotations

import pytest

from tests.tui.lab import TRAIN, Lab, evaluate, make_lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Runs from old to new: `first` trained and evaluated; `second` dirty; `broken`; `gone`."""
    lab = make_lab(tmp_path_factory.mktemp("a lab"))
    done = lab.train("--called", "first")
    assert done.returncode == 0, done.stderr
    evaluate(lab, "first")
    (lab.root / "train.py").write_text(TRAIN + "# a change\n")
    assert lab.train("--called", "second", "--lr", "0.001", "--then", "none").returncode == 0
    assert lab.train("--called", "broken", "--then", "fail").returncode == 1
    lab.kill("--called", "gone", "--lr", "0.5")
    return lab


@pytest.fixture(autouse=True)
def _plain_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
