from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labbook.book.text import clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ✓ ü 損失", "plain ✓ ü 損失"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred\x9dtitle\x9cafter", "redafter"),
        ("\x1bPq#0;2;0\x1b\\sixel", "sixel"),
        ("a\x1b", "a"),
        ("unterminated \x1b]0;rest", "unterminated 0;rest"),
        ("nul\0 bell\a del\x7f c1\x85x", "nul bell del c1 x"),
        ("two\r\nlines\nthree\rfour", "two lines three four"),
        ("tab\tbed", "tab bed"),
        ("evil\u202egnp.exe\u2066", "evilgnp.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("\u0645\u06cc\u200c\u062e 👩\u200d🔬", "\u0645\u06cc\u200c\u062e 👩\u200d🔬"),
        ("half \ud800 pair", "half \ufffd pair"),
        (3, "3"),
    ],
)
def test_what_a_terminal_would_act_on_is_gone(text, expected):
    assert clean(text) == expected


def test_lines_can_be_kept():
    assert clean("a\r\nb\nc\x1b[2Jd\re", lines=True) == "a\nb\ncd\ne"


@settings(deadline=None)
@given(st.text())
def test_nothing_that_controls_is_left(text):
    found = clean(text)
    assert not [c for c in found if unicodedata.category(c) in {"Cc", "Cs"}]
    assert "\x1b" not in clean(found)
    assert clean(found) == found


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_visible_text_is_kept(text):
    assert clean(text) == text
