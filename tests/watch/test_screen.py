"""The lines at the bottom of a terminal, on a terminal in memory."""

from __future__ import annotations

import contextlib
import io

import pyte
import pytest

from labbook.watch import report
from labbook.watch.screen import Screen, bar, lines


class Terminal(io.StringIO):
    """A stream that says it is a terminal; `rows` is what one would show."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    def rows(self) -> list[str]:
        screen = pyte.Screen(80, 10)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        return [row.rstrip() for row in screen.display]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


@pytest.fixture
def now(monkeypatch):
    """The clock of the screen: `now[0]`, in seconds."""
    time = [100.0]
    monkeypatch.setattr("labbook.watch.screen.time.monotonic", lambda: time[0])
    return time


def worker(**more):
    return {
        "device": "cpu", "state": "evaluating", "run": "r", "name": "digits", "step": 300,
        "evaluation": "validation", "done": 512, "total": 1024, "rate": 3204.0, "seconds": 2,
    } | more  # fmt: skip


def standing(*workers, **more):
    return {
        "state": "watching", "evaluations": ["validation"], "n_pending": 12, "n_waiting": 0,
        "n_failed": 0, "n_results": 35, "lag_s": 4, "workers": list(workers),
    } | more  # fmt: skip


def test_one_worker_is_one_line():
    (line,) = lines(standing(worker()))
    assert line.startswith("digits step 300 validation ▕████████        ▏ 50 % 3,204/s")
    assert line.endswith("12 to do · behind 4 s · 35 done")


def test_several_workers_are_a_bar_each_and_a_line_for_all():
    found = lines(standing(worker(), {"device": "cpu", "state": "idle"}, n_failed=2))
    assert found[1:] == ["2 idle on cpu", "12 to do · behind 4 s · 2 failed · 35 done"]


def test_what_is_not_known_is_left_out():
    (line,) = lines(standing(worker(done=None, step=None), lag_s=None, state="draining"))
    assert line == "digits no step validation 2 s  12 to do · 35 done · ending (again to abandon)"
    (line,) = lines(standing(worker(total=None, rate=None)))
    assert "512 examples  12 to do" in line


def test_a_bar_is_as_wide_as_it_is_said():
    assert [bar(n, 8, 4) for n in (0, 1, 8, 9)] == ["    ", "▌   ", "████", "████"]
    assert bar(1, 0, 4) == "    "


def test_what_is_printed_goes_above_and_the_end_leaves_nothing(terminal, now):
    screen = Screen(terminal)
    with report.above(screen), contextlib.redirect_stderr(terminal):
        screen.draw(["one", "two"])
        report.note("a result")
        now[0] += 1
        screen.draw(["three", "four"])
        assert terminal.rows()[:4] == ["labbook watch: a result", "three", "four", ""]
        screen.clear()
    assert terminal.rows()[:2] == ["labbook watch: a result", ""]


def test_a_few_times_a_second_and_only_what_changed(terminal, now):
    screen = Screen(terminal)
    for step in range(40):
        now[0] += 0.1
        screen.draw([f"at {step // 10}"])
    assert terminal.getvalue().count("at ") == 4
    n_written = len(terminal.getvalue())
    now[0] += 1
    screen.draw(["at 3"])
    assert len(terminal.getvalue()) == n_written


def test_no_line_wraps_and_no_name_moves_the_cursor(terminal, now):
    screen = Screen(terminal)
    screen.draw(["x" * 300, "\x1b[2Jevil\x07"])
    assert terminal.rows()[:3] == ["x" * 79, "evil", ""]


@pytest.mark.parametrize("term", ["dumb", ""])
def test_no_lines_where_they_cannot_be_drawn(terminal, now, monkeypatch, term):
    if term:
        monkeypatch.setenv("TERM", term)
    else:
        monkeypatch.delenv("TERM")
    Screen(terminal).draw(["one"])
    assert terminal.getvalue() == ""


def test_no_lines_in_a_pipe(terminal, now):
    pipe = io.StringIO()
    Screen(pipe).draw(["one"])
    assert pipe.getvalue() == ""
