"""`run.log`: what it takes, what it refuses and in which words, and at which step it lands."""

import math

import numpy as np
import pytest
import torch

import labbook
from labbook.errors import MisuseError
from tests.client.conftest import journal_rows


def logged(run):
    run.finish()
    return [
        (row.step, dict(zip(row.names, row.values, strict=True))) for row in journal_rows(run.paths)
    ]


def test_numbers_of_every_kind_land_as_their_values(start):
    run = start()
    run.log(
        {"a/b c": 1, "ü": True},
        f=0.25,
        none=None,
        np32=np.float32(0.5),
        np_int=np.int64(7),
        np_bool=np.bool_(True),
        np0d=np.array(2.5),
        t=torch.tensor(1.5),
        grad=torch.tensor(2.0, requires_grad=True),
        bf16=torch.tensor(0.5, dtype=torch.bfloat16),
        one=torch.ones(1),
        step=3,
    )
    assert logged(run) == [
        (
            3,
            {
                "a/b c": 1.0,
                "ü": 1.0,
                "f": 0.25,
                "none": None,
                "np32": 0.5,
                "np_int": 7.0,
                "np_bool": 1.0,
                "np0d": 2.5,
                "t": 1.5,
                "grad": 2.0,
                "bf16": 0.5,
                "one": 1.0,
            },
        )
    ]


def test_nan_and_infinities_are_values(start):
    run = start()
    run.log(a=float("nan"), b=np.inf, c=-math.inf, step=0)
    ((_, values),) = logged(run)
    assert math.isnan(values["a"])
    assert (values["b"], values["c"]) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0.5", "metrics must be numbers, got 'loss' of type str at step 120: text goes to"),
        ([1, 2], "metrics must be numbers, got 'loss' of type list at step 120: log one number"),
        (np.ones(3), "metric 'loss' at step 120 must be one number, got numpy.ndarray of shape (3"),
        (torch.ones(2, 2), "must be one number, got torch.Tensor of shape (2, 2): log its mean"),
        (1j, "metrics must be numbers, got 'loss' of type complex at step 120"),
        (torch.tensor(1j), "metrics must be numbers, got 'loss' of type torch.Tensor"),
    ],
)
def test_what_is_not_a_number_is_refused_by_name_type_and_step(start, value, words):
    run = start()
    with pytest.raises(TypeError) as refused:
        run.log(loss=value, step=120)
    assert words in str(refused.value)
    run.log(loss=1.0, step=121)
    assert logged(run) == [(121, {"loss": 1.0})]


@pytest.mark.parametrize("value", [2**53 + 1, np.int64(2**53 + 1), -(2**60) - 1, 10**400])
def test_an_integer_that_would_lose_digits_is_refused(start, value):
    run = start()
    with pytest.raises(MisuseError, match="has more digits than a double holds"):
        run.log(tokens=value, step=1)
    run.log(tokens=2**60, step=1)  # exact
    assert logged(run) == [(1, {"tokens": float(2**60)})]


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[31m", "\x00"])
def test_a_name_with_control_characters_is_refused(start, name):
    with pytest.raises(MisuseError, match="must not be empty or hold control characters"):
        start().log({name: 1.0})


@pytest.mark.parametrize("step", [1.5, "3", None.__class__])
def test_a_step_must_be_whole(start, step):
    with pytest.raises(TypeError, match="step must be a whole number, got"):
        start().log(loss=1.0, step=step)


def test_a_step_may_be_a_numpy_integer_or_a_0d_tensor(start):
    run = start()
    run.log(loss=1.0, step=np.int32(4))
    run.log(loss=1.0, step=torch.tensor(5))
    assert [step for step, _ in logged(run)] == [4, 5]


def test_nothing_to_log_is_refused(start):
    with pytest.raises(MisuseError, match="needs at least one metric"):
        start().log(step=1)


def test_without_a_step_a_name_logged_again_begins_the_next(start):
    run = start()
    run.log(loss=1.0)
    run.log(lr=0.1)
    run.log(loss=2.0)
    run.log(loss=3.0, lr=0.2)
    assert logged(run) == [
        (0, {"loss": 1.0}),
        (0, {"lr": 0.1}),
        (1, {"loss": 2.0}),
        (2, {"loss": 3.0, "lr": 0.2}),
    ]


def test_after_an_explicit_step_the_implicit_ones_continue_from_it(start):
    run = start()
    run.log(loss=1.0, step=100)
    run.log(lr=0.1)
    run.log(loss=2.0)
    run.log(val=1.0, step=50)
    run.log(loss=3.0)
    run.log(loss=4.0)
    assert [step for step, _ in logged(run)] == [100, 100, 101, 50, 50, 51]


def test_out_of_order_and_repeated_steps_are_kept_as_logged(start):
    run = start()
    for step in (5, 3, 3, 9, 3):
        run.log(loss=float(step), step=step)
    assert [step for step, _ in logged(run)] == [5, 3, 3, 9, 3]


def test_a_validation_loop_that_advances_the_step_is_pointed_out_once(start, capsys):
    run = start()
    for _ in range(3):
        for _ in range(5):
            run.log(loss=1.0)
        for _ in range(30):
            run.log(val=1.0)
    assert capsys.readouterr().err.count("val advanced the step many times in a row") == 1
    assert run.faults == {"implicit-step": 2}


def test_a_series_handle_logs_like_log(start):
    run = start()
    loss = run.series("loss")
    loss(1.0)
    loss(2.0)
    loss(torch.tensor(3.0), 10)
    loss(4.0, 11)
    run.log(loss=5.0)
    assert logged(run) == [
        (step, {"loss": value})
        for step, value in [(0, 1.0), (1, 2.0), (10, 3.0), (11, 4.0), (12, 5.0)]
    ]


def test_events_are_recorded_with_their_fields(start):
    from labbook.journal.reader import Event, SegmentReader

    run = start()
    run.event("loss exploded", kind="alert", step=4, value=1e9, where={"layer": 3})
    with pytest.raises(TypeError, match="an event's text must be text, got int"):
        run.event(3)
    run.finish()
    (path,) = [p for _, _, p in run.paths.segments()]
    events = [r for r in SegmentReader(path).records() if isinstance(r, Event)]
    assert events[0].step == 4
    assert events[0].fields == {
        "kind": "alert",
        "text": "loss exploded",
        "value": 1e9,
        "where": {"layer": 3},
    }


def test_labbook_log_talks_to_the_current_run(start):
    run = start()
    labbook.log(loss=1.0, step=2)
    assert labbook.current() is run
    assert logged(run) == [(2, {"loss": 1.0})]


def test_what_is_logged_after_finish_is_counted_and_said_once(start, capsys):
    run = start()
    run.log(loss=1.0)
    run.finish()
    run.finish()
    run.log(loss=2.0)
    run.log(loss=3.0)
    assert run.faults["dropped"] == 2
    assert capsys.readouterr().err.count("the run is finished") == 1
    assert len(journal_rows(run.paths)) == 1


def test_thousands_of_names_and_signatures(start):
    run = start()
    for i in range(3000):
        run.log({f"layer{i}/norm": float(i), f"layer{i}/grad": 1.0}, step=i)
    rows = logged(run)
    assert rows[2999] == (2999, {"layer2999/norm": 2999.0, "layer2999/grad": 1.0})
    assert len(rows) == 3000


def test_a_signal_handler_that_logs_inside_log_does_not_deadlock(start):
    import signal

    run = start()
    seen = []

    def handler(signum, frame):
        run.log(signal=1.0, step=-1)
        seen.append(signum)

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    step = 0
    try:
        while len(seen) < 20:
            run.log(loss=float(step), step=step)
            step += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    rows = logged(run)
    assert [values["loss"] for _, values in rows if "loss" in values] == [
        float(i) for i in range(step)
    ]
    assert sum("signal" in values for _, values in rows) == len(seen)
