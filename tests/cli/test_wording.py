from __future__ import annotations

import pytest

from labbook.cli.wording import bytes_text, number_text, seconds_text, short_ids, value_text


def test_short_ids_are_the_shortest_unique_beginnings_of_one_length():
    ids = ["20261123-081000-abcdef", "20261123-081000-abzzzz", "20261123-081500-abcdef"]
    assert short_ids(ids, ids) == [
        "20261123-081000-abc",
        "20261123-081000-abz",
        "20261123-081500-abc",
    ]


def test_short_ids_look_at_runs_that_are_not_listed():
    every = ["20261123-081000-abcdef", "20261123-081001-abcdef"]
    assert short_ids(every[:1], every) == ["20261123-081000"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.9, "59s"), (187, "3m07s"), (7500, "2h05m"), (529_200, "6d03h"), (None, "?")],
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (3.0, "3"), (0.123456, "0.1235"), (1e-7, "1e-07"), (float("nan"), "nan")],
)
def test_numbers(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("cnn", "cnn"), (True, "true"), (None, "-"), ([1, 2], "[1, 2]"), (1e-05, "1e-05")],
)
def test_values_read_as_they_are_typed(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("size", "text"), [(912, "912 B"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB"), (None, "?")]
)
def test_sizes(size, text):
    assert bytes_text(size) == text
