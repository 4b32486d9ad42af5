"""What Tab makes of a filter that is half typed."""

from __future__ import annotations

import pytest

from labbook.book.completing import complete, complete_field
from labbook.book.fields import Fields
from labbook.book.filtering import parse

FIELDS = Fields.named(
    ["optimizer.lr", "optimizer.name", "data.name", "lr_decay", "my arg", """it's "odd\""""],
    ["train/loss", "val/loss"],
    [("validation", "accuracy")],
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("st", ["state"]),
        ("dirty and -st", ["state"]),
        ("not (LR", ["lr_decay", "lr"]),
        ("state", []),
        ("va", ["val/loss", "validation.accuracy"]),
        ("optimizer.", ["optimizer.lr", "optimizer.name"]),
        ("ACC", ["validation.accuracy"]),
        ("los", ["train/loss", "val/loss"]),
        ("my", []),
        ("\"my", []),
        ("sinc", ["since"]),
        ("state=", ["running", "finished", "failed", "interrupted", "terminated", "killed",
                    "unknown"]),
        ("lr<1 state:f", ["finished", "failed"]),
        ("state=killed,f", ["finished", "failed"]),
        ("dirty!=t", ["true"]),
        ("host=a", []),
        ("lr<0", []),
        ("train/lo", ["train/loss"]),
    ],
)  # fmt: skip
def test_fields_and_states_complete_what_is_typed(text: str, found: list[str]):
    assert sorted(complete(text, FIELDS).found) == sorted(found)


def test_every_candidate_can_be_read():
    names = complete("", FIELDS).found
    assert '"my arg"' in names
    assert names[0] == "state"
    assert names.index("val/loss") < names.index("host")
    assert "name" in names  # the run's; that of an argument is written in full
    assert all("odd" not in name for name in names)  # no filter can name it
    for name in names:
        assert parse(f"{name}=1h" if name in {"age", "duration", "since"} else f"{name}=1", FIELDS)


def test_the_common_part_is_taken_first():
    found = complete("x va", FIELDS)
    assert found.common == "x val"
    assert found.with_("val/loss") == "x val/loss"
    assert complete("val", FIELDS).common == "val"
    assert complete("", FIELDS).common == ""
    assert complete("nothing like it", FIELDS).common == "nothing like it"
    assert complete("LR_", FIELDS).common == "lr_decay"


def test_the_field_to_sort_by():
    assert complete_field("-my", FIELDS).common == "-my arg"
    assert complete_field("optimizer.l", FIELDS).common == "optimizer.lr"
    assert complete_field("-acc", FIELDS).common == "-validation.accuracy"
    assert complete_field("los", FIELDS).common == "los"  # what two have in common is less
