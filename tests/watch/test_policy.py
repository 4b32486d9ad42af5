"""What comes next, on how much of the data, and how often again."""

from __future__ import annotations

import pytest

from labbook.errors import MisuseError
from labbook.watch import policy
from labbook.watch.evaluation import Declaration
from labbook.watch.policy import Ranked, Retries


def order(pending: list[Ranked], choice: str = "newest") -> list[tuple[str, int]]:
    """The whole order, one after the other."""
    done: dict[str, set[int]] = {}
    found = []
    while pending:
        work = policy.next_of(pending, done, choice)
        pending = [other for other in pending if other is not work]
        done.setdefault(work.run, set()).add(work.position)
        found.append((work.run, work.position))
    return found


def run(name: str, count: int, start: int = 0) -> list[Ranked]:
    return [Ranked(name, n, "full", start + n) for n in range(count)]


def test_newest_first_then_the_largest_gaps():
    assert [n for _, n in order(run("a", 9))] == [8, 0, 4, 6, 2, 7, 5, 3, 1]


def test_a_new_checkpoint_goes_before_old_gaps():
    pending = [work for work in run("a", 9) if work.position not in {3, 8}]
    done = {"a": {3}}
    assert policy.next_of([*pending, Ranked("a", 8, "full", 8)], done, "newest").position == 8


def test_the_run_with_the_newest_checkpoint_goes_first():
    assert order([*run("old", 2), *run("new", 2, start=100)])[:2] == [("new", 1), ("new", 0)]


def test_all_goes_oldest_first():
    assert order(run("a", 4), "all") == [("a", n) for n in range(4)]


def test_mini_goes_before_full():
    pending = [Ranked("a", 9, "full", 9), Ranked("a", 0, "mini", 0)]
    assert policy.next_of(pending, {}, "newest").subset == "mini"


def test_every_leaves_out_all_but_each_nth_and_the_last():
    kept = [n for n in range(10) if policy.selected("every=4", n, n == 9) is None]
    assert kept == [3, 7, 9]
    assert policy.selected("every=4", 0, False) == "left out by the policy every=4"


@pytest.mark.parametrize("wrong", ["latest", "every", "every=0", "every=x", ""])
def test_an_unknown_policy_says_which_there_are(wrong: str):
    with pytest.raises(MisuseError, match="newest, all or every=N"):
        policy.selected(wrong, 0, False)


def test_full_now_and_then_and_at_the_end():
    declared = Declaration("v", mini=10, full_every=3)
    lanes = [policy.lanes(declared, n, n == 4) for n in range(5)]
    assert ["full" in lane for lane in lanes] == [False, False, True, False, True]
    assert all("mini" in lane for lane in lanes)
    assert policy.lanes(Declaration("v"), 0, False) == ["full"]


def test_a_key_changes_with_everything_it_is_made_of():
    base = ("d", "v", "c", "a", Declaration("v").settings("full"))
    keys = {policy.result_key(*base)}
    for place in range(4):
        changed = [*base]
        changed[place] = "other"
        keys.add(policy.result_key(*changed))  # type: ignore[arg-type]
    keys.add(policy.result_key(*base[:4], Declaration("v", mini=5).settings("mini")))
    keys.add(policy.result_key(*base[:4], Declaration("v", batch_size=3).settings("full")))
    assert len(keys) == 7
    assert policy.result_key(*base) in keys


def test_a_bad_load_is_tried_three_times_more_at_growing_distance():
    retries = Retries()
    delays = []
    now = 100.0
    while retries.failed("k", "load", now):
        delays.append(retries.delay_s("k", now))
        now += delays[-1]
    assert delays == [1.0, 5.0, 25.0]
    assert retries.attempts("k") == 4
    assert not retries.failed("k2", "user", now)
    assert retries.delay_s("k2", now) == 0
