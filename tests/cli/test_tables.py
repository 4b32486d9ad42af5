from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from labbook.cli.tables import Column, cell_width, render


def test_numbers_stand_right_and_text_left():
    lines, _ = render([Column("n", ["1", "10"], is_number=True), Column("name", ["a", "b"])], None)
    assert lines == [" n  name", " 1  a", "10  b"]


def test_a_narrow_table_shrinks_text_then_drops_the_highest_rank():
    columns = [
        Column("id", ["20261123-0810"]),
        Column("name", ["a-name-of-some-length"], rank=1, can_shrink=True),
        Column("loss", ["0.1234"], rank=2),
    ]
    assert render(columns, 34)[0][1] == "20261123-0810  a-name-of-…  0.1234"
    lines, n_left_out = render(columns, 25)
    assert lines[1] == "20261123-0810  a-name-of…"
    assert n_left_out == 1


def test_control_characters_do_not_reach_the_terminal():
    lines, _ = render([Column("na\x1b[2Jme", ["a\x1b]0;title\x07b\nc"])], None)
    assert lines == ["name", "ab c"]


def test_wide_characters_take_two_cells():
    assert cell_width("数字") == 4
    lines, _ = render([Column("名", ["数字", "a"]), Column("x", ["1", "2"])], None)
    assert lines == ["名    x", "数字  1", "a     2"]


@given(
    st.lists(st.lists(st.text(max_size=30), min_size=3, max_size=3), min_size=1, max_size=6),
    st.integers(20, 120),
)
def test_a_fitted_table_is_never_wider_than_its_terminal(contents, width):
    columns = [Column(f"c{i}", cells, rank=i, can_shrink=True) for i, cells in enumerate(contents)]
    lines, n_left_out = render(columns, width)
    assert n_left_out < len(columns)
    assert all(cell_width(line) <= width for line in lines)
