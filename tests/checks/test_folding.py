"""A finding is put under the one that explains it, whichever of the two rules says so."""

from __future__ import annotations

from labbook.checks.folding import _explains, arranged
from labbook.checks.rule import registry


def found(name, status="fail"):
    return registry()[name].found(status)


def test_the_cause_may_name_what_it_explains():
    rules = registry()
    assert "loop/dry-run" not in rules["data/nonfinite"].follows
    assert "data/nonfinite" not in rules["loop/dry-run"].follows
    causes = {
        f.rule: f.follows_from for f in arranged([found("loop/dry-run"), found("data/nonfinite")])
    }
    assert causes == {"data/nonfinite": None, "loop/dry-run": "data/nonfinite"}


def test_a_note_explains_nothing():
    folded = arranged([found("loop/dry-run"), found("data/nonfinite", "note")])
    assert [f.follows_from for f in folded] == [None, None]


def test_rules_that_explain_each_other_leave_one_as_the_cause():
    """Else both would be folded, and nothing would be left to read."""
    names = list(registry())
    pairs = [
        (one, other)
        for i, one in enumerate(names)
        for other in names[i + 1 :]
        if _explains(one, other) and _explains(other, one)
    ]
    assert pairs
    for one, other in pairs:
        folded = arranged([found(other), found(one)])
        assert [(f.rule, f.follows_from) for f in folded] == [(one, None), (other, one)]


def test_nothing_is_lost_whatever_is_found():
    names = list(registry())
    folded = arranged([found(name) for name in names])
    assert sorted(f.rule for f in folded) == sorted(names)
    causes = {f.rule for f in folded if f.follows_from is None}
    assert all(f.follows_from in causes for f in folded if f.follows_from is not None)
