"""The cell-diffing driver: the same picture as everything sent, with fewer bytes."""

from __future__ import annotations

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st

from labbook_tui.diff import CellDiff

WIDTH, HEIGHT = 20, 6

styles = st.sampled_from(
    ["", "1", "7", "38;5;12", "38;2;1;2;3;48;2;9;9;9", "48;5;17", "31", "1;4;92", "2", "41"]
)
# "\u754c" takes two cells
texts = st.text(st.sampled_from(list("abc  ─⣿▀é\u754c")), min_size=1, max_size=12)
spans = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), styles, texts)
frames = st.lists(st.lists(spans, max_size=8), max_size=8)


def cells_of(text: str) -> int:
    return sum(2 if char == "\u754c" else 1 for char in text)


def written(spans: list[tuple[int, int, str, str]]) -> str:
    """What Textual writes: moves, and each segment with its style and a reset."""
    out = []
    for row, column, style, text in spans:
        fits = [n for n in range(1, len(text) + 1) if column + cells_of(text[:n]) <= WIDTH]
        if fits:
            out.append(f"\x1b[{row + 1};{column + 1}H\x1b[{style}m{text[: fits[-1]]}\x1b[0m")
    return "".join(out)


def look(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """Cells as the eye sees them: a blank has no ink."""
    out = []
    for y in range(HEIGHT):
        row = []
        for x in range(WIDTH):
            cell = screen.buffer[y][x]
            inked = cell.data != " " or cell.underscore or cell.reverse
            ink = (cell.fg, cell.bold, cell.reverse, cell.underscore) if inked else ()
            row.append((cell.data, cell.bg, *ink))
        out.append(row)
    return out


def blank_frame() -> str:
    return "".join(f"\x1b[{row + 1};1H{' ' * WIDTH}" for row in range(HEIGHT))


@settings(max_examples=300, deadline=None)
@given(frames)
def test_diffed_terminal_shows_what_a_plain_one_shows(frames: list[list]) -> None:
    plain, diffed = pyte.Screen(WIDTH, HEIGHT), pyte.Screen(WIDTH, HEIGHT)
    plain.reset_mode(pyte.modes.DECAWM)
    diffed.reset_mode(pyte.modes.DECAWM)
    model = CellDiff(WIDTH, HEIGHT)
    wide = False
    for frame in [[], *frames]:
        was_wide, wide = wide, any("\u754c" in text for *_, text in frame)
        # terminals disagree about a wide character covered by half: one span a row then
        spans = list({span[0]: span for span in frame}.values()) if wide else frame
        data = (blank_frame() if was_wide or wide or not spans else "") + written(spans)
        pyte.Stream(plain).feed(data)
        pyte.Stream(diffed).feed(model.feed(data))
    assert look(diffed) == look(plain)


def test_equal_frame_sends_nothing() -> None:
    model = CellDiff(WIDTH, HEIGHT)
    frame = "\x1b[?2026h" + blank_frame() + "\x1b[2;3H\x1b[1;31mhello\x1b[0m" + "\x1b[?2026l"
    assert "hello" in model.feed(frame)
    assert model.feed(frame) == ""


def test_one_changed_cell_costs_a_move_a_style_and_the_cell() -> None:
    model = CellDiff(WIDTH, HEIGHT)
    model.feed(blank_frame() + "\x1b[2;3H\x1b[31mhello\x1b[0m")
    assert model.feed("\x1b[2;1H  \x1b[31mhallo\x1b[0m") == "\x1b[2;4H\x1b[31ma"


def test_resize_and_alternate_screen_forget_the_cells() -> None:
    model = CellDiff(WIDTH, HEIGHT)
    frame = blank_frame() + "\x1b[1;1Hhello"
    model.feed(frame)
    model.resize(WIDTH, HEIGHT)
    assert "hello" in model.feed(frame)
    model.feed("\x1b[?1049h")
    assert "hello" in model.feed(frame)


def test_unknown_sequences_pass_in_order() -> None:
    model = CellDiff(WIDTH, HEIGHT)
    out = model.feed("\x1b[1;1Ha\x1b[?25l\x1b]52;c;aGk=\x07\x1b[1;2Hb")
    assert (
        out.index("a") < out.index("\x1b[?25l") < out.index("\x1b]52;c;aGk=\x07") < out.rindex("b")
    )


def test_synchronised_update_is_sent_only_around_changes() -> None:
    model = CellDiff(WIDTH, HEIGHT)
    model.feed(blank_frame())
    out = model.feed("\x1b[?2026h") + model.feed("\x1b[1;1Hx") + model.feed("\x1b[?2026l")
    assert out.startswith("\x1b[?2026h")
    assert out.endswith("\x1b[?2026l")
    nothing = model.feed("\x1b[?2026h") + model.feed("\x1b[1;1Hx") + model.feed("\x1b[?2026l")
    assert nothing == ""
