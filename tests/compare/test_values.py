import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook.compare.recorded import is_seed
from labbook.compare.values import Item, compare_maps, same, value_text


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (None, None, True),
        (None, 0, False),
        (float("nan"), float("nan"), True),
        ([1, 2], [1, 2.0], True),
        ([1, 2], [2, 1], False),
        ({"a": [True]}, {"a": [1]}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_when_two_values_are_the_same(a, b, expected):
    assert same(a, b) is expected
    assert same(b, a) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "1e-3"),
        (0.0003, "3e-4"),
        (0.1, "0.1"),
        (10.0, "10.0"),
        (1.5e-07, "1.5e-7"),
        (-0.00025, "-2.5e-4"),
        (0.0, "0.0"),
        (100000, "100000"),
        (True, "true"),
        (None, "null"),
        ("adam", "adam"),
        ("1", '"1"'),
        ("true", '"true"'),
        ("", '""'),
        ("two words", '"two words"'),
        ([1, "a"], '[1, "a"]'),
    ],
)
def test_a_value_is_written_so_that_its_type_can_be_told(value, text):
    assert value_text(value) == text


@given(st.floats(allow_nan=False))
def test_a_number_is_written_exactly(value):
    assert float(value_text(value)) == value


def test_names_that_came_and_went():
    found = compare_maps({"kept": 1, "gone": 2, "other": 3}, {"other": 4, "kept": 1, "new": None})
    assert found == (
        Item("gone", "removed", 2, None),
        Item("other", "changed", 3, 4),
        Item("new", "added", None, None),
    )
    assert [item.text for item in found] == ["- gone 2", "other 3 → 4", "+ new null"]


@pytest.mark.parametrize("name", ["seed", "train.seed", "data_seed", "random_state", "RNG"])
def test_seeds_by_name(name):
    assert is_seed(name)


@pytest.mark.parametrize("name", ["seedling", "lr", "seed.size", "n_reseed"])
def test_what_is_no_seed(name):
    assert not is_seed(name)
