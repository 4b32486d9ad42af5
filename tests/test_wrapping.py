"""Lines fit a terminal, and are whole everywhere else."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios

from labbook.wrapping import width_of, wrapped

LINE = "labbook: run 20260101-000001-abcdef (probe) · code 1234567 + 2 modified · 3 arguments"


def test_a_line_is_folded_at_spaces_and_what_follows_is_indented():
    lines = wrapped(LINE, 40, indent=4)
    assert lines[0] == "labbook: run 20260101-000001-abcdef"
    assert all(line.startswith("    ") for line in lines[1:])
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines) == LINE


def test_without_a_terminal_nothing_is_folded():
    assert wrapped(LINE, None) == [LINE]
    assert width_of(io.StringIO()) is None
    assert width_of(None) is None


def test_a_path_stays_whole_even_when_it_is_too_wide():
    path = "/a/" + "long-name/" * 12
    assert path in wrapped(f"kept in {path} for now", 40)[1]
    assert wrapped(f"  in    {path}", 40, indent=8) == [f"  in    {path}"]


def test_the_ends_of_lines_stay_where_they_are():
    text = "first\n\n  second " + "word " * 20
    lines = wrapped(text, 40)
    assert lines[:2] == ["first", ""]
    assert lines[2].startswith("  second word")


def test_the_width_is_the_terminals_unless_told(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    with open(theirs, "w") as stream:
        assert width_of(stream) == 80  # of no size: as usual
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 51, 0, 0))
        assert width_of(stream) == 51
        monkeypatch.setenv("COLUMNS", "33")
        assert width_of(stream) == 33
    assert width_of(stream) is None  # closed
    os.close(ours)
