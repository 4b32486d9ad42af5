"""When an observation is due."""

import numpy as np
import pytest
import torch
from torch import nn

from labbook.client.chosen import choose
from labbook.client.schedule import Schedule
from labbook.errors import MisuseError

LOG = [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 79, 100, 126, 158, 200]


def due(every, steps):
    schedule = Schedule(every)
    last, until = None, schedule.first
    found = []
    for step in steps:
        if last is not None and last <= step < until:
            continue
        if last is None and step < until:
            continue
        found.append(step)
        last, until = step, schedule.after(step)
    return found


@pytest.mark.parametrize(
    ("every", "steps", "wanted"),
    [
        (None, range(3), [0, 1, 2]),
        (10, range(35), [0, 10, 20, 30]),
        (10, range(7, 35), [7, 10, 20, 30]),
        (np.int64(10), [1, 2, 9, 10, 11, 25, 26, 30], [1, 10, 25, 30]),
        ("log", range(210), LOG),
        ("log", range(90, 130), [90, 100, 126]),
        ([5, 2, 5, 9], range(20), [2, 5, 9]),
        (np.array([3, 8]), [0, 4, 6, 9, 100], [4, 9]),
    ],
)
def test_steps_that_are_due(every, steps, wanted):
    assert due(every, steps) == wanted


def test_the_log_schedule_has_ten_steps_a_decade():
    schedule, step, n = Schedule("log"), 100, 0
    while step < 10**9:
        step = schedule.after(step)
        n += 1
    assert n == 70


@pytest.mark.parametrize(
    ("every", "text"),
    [
        (0, "must be at least 1, got 0"),
        (2.5, 'must be a number of steps, "log", "epoch" or steps, got 2.5'),
        ("daily", "got 'daily'"),
        ([], "was given no steps"),
        ([1, 2.5], "wants whole steps: 'float' object"),
    ],
)
def test_what_is_no_schedule_is_refused(every, text):
    with pytest.raises(MisuseError, match=text):
        Schedule(every)


@pytest.fixture
def model():
    return nn.Linear(2, 2)


def test_given_steps_are_observed_and_no_others(journal, model):
    chosen = choose(journal.writer, torch.rand(4, 2), 4, every=[3, 6])
    assert [step for step in range(10) if chosen.observe(model, step=step)] == [3, 6]
    assert [step for step, _ in journal.columns("chosen")] == [3, 6]


def test_once_an_epoch(journal, model):
    chosen = choose(journal.writer, torch.rand(4, 2), 4, every="epoch")
    for step in range(9):
        assert chosen.observe(model, step=step, epoch=step // 4) == (step % 4 == 0)
    assert [step for step, _ in journal.columns("chosen")] == [0, 4, 8]
    with pytest.raises(MisuseError, match=r"needs the epoch: chosen.observe\(model, loss, epoch="):
        chosen.observe(model, step=9)


def test_a_resumed_run_begins_again(journal, model):
    chosen = choose(journal.writer, torch.rand(4, 2), 4, every="log")
    assert [step for step in (0, 90, 95, 100, 20, 21, 25) if chosen.observe(model, step=step)] == [
        0, 90, 100, 20, 25,
    ]  # fmt: skip
