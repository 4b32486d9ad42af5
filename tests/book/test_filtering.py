"""The filter language, on summaries made by hand."""

from __future__ import annotations

import dataclasses
import math
import time

import pytest

from labbook.book.fields import Fields
from labbook.book.filtering import parse
from labbook.book.stats import Stat
from labbook.book.summary import RunSummary, unreadable_run
from labbook.errors import MisuseError

HOUR_NS = 3600 * 10**9


def summary(run_id: str = "20261123-081000-abcdef", **changes) -> RunSummary:
    now = time.time_ns()
    plain = dataclasses.replace(
        unreadable_run(run_id, OSError("")),
        name="brave",
        state="running",
        created_ns=now - 3 * HOUR_NS,
        ended_ns=now - 2 * HOUR_NS,
        tags=("baseline", "Small"),
        commit="12e4567" + "0" * 33,
        dirty=("train.py",),
        arguments={"lr": 0.01, "model": "CNN", "optimizer.momentum": 0.9, "amp": True, "cap": None},
        stats={
            "loss": Stat(last=0.5, step=99, min=0.25, max=2.0, count=100),
            "diverged": Stat(last=math.nan, step=9, min=None, max=None, count=10),
        },
        results={"validation": {"accuracy": 0.98}},
        n_checkpoints=3,
    )
    return dataclasses.replace(plain, **changes)


def matches(text: str, run: RunSummary | None = None) -> bool:
    run = run or summary()
    return parse(text, Fields([run]))(run)


@pytest.mark.parametrize(
    "text",
    [
        "lr>1e-3 and model=cnn and state=running and dirty",
        "lr=0.01",
        "lr==1e-2",
        "lr<=0.01 and lr>=0.01",
        "args.lr=0.01",
        "momentum=0.9",
        "optimizer.momentum=0.9",
        "model='cnn'",
        'model="CNN"',
        "model~nn and model!~mlp",
        "amp",
        "amp=true",
        "cap=null and not cap",
        "loss<1 and min.loss<0.3 and max.loss=2 and count.loss=100",
        "diverged=nan",
        "validation.accuracy>0.9 and accuracy>0.9",
        "tag=baseline and tag=small and not tag=large",
        "tags~base",
        "age>2h and age<1d and duration>=1h and duration<61m",
        "created>2020-01-01",
        "commit~12e45",
        "state=killed or checkpoints=3",
        "(state=killed or lr=0.01) and not (model=mlp)",
        "NOT state=killed AND lr=0.01",
        "lr = 0.01 and model = cnn",
        "state!=killed",
        "lr<0.5 model:cn state:killed,run since:4h -tag:large name~rav -lr>1",
        "model=mlp,cnn and model!=mlp,gru and tag:base|gone",
        "-(model=mlp) -dirty:no dirty:yes dirty=true",
        "brave",
        "lr=0.01 small -debug",
        '"model=cnn"',
        "momentum:0.9 age:4h age<=4h commit:12e git:4567",
        "since:2020-01-01",
        "LR=0.01 and Optimizer.Momentum=0.9",
        "validation/accuracy>0.9",
        "cap:null",
        "lr>-1",
    ],
)
def test_matches(text):
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "lr>0.01",
        "model=mlp",
        "not dirty",
        "state=killed and lr=0.01 or model=mlp",
        "cap>1",
        "cap!=1",
        "diverged>0 or diverged<0",
        "tag!=baseline",
        "commit=12e4568",
        "faults",
        "host",
        "age:2h",
        "since:2h",
        "since:2999-01-01",
        "state:unning",
        "-brave",
        "model:mlp,gru",
        "model!~mlp,cnn",
        "cap:x",
        "dirty:no",
        "dirty:unknown",
        "lr<abc or lr>abc",
        "zzz",
        "tags:large",
    ],
)
def test_does_not_match(text):
    assert not matches(text)


def test_and_binds_closer_than_or():
    assert matches("lr=0.01 or state=killed and model=mlp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr>1", "no run here has a field 'lrr'; did you mean lr?"),
        ("lr>", "filter 'lr>' expected a value after '>' at its end"),
        ("lr>>1", "filter 'lr>>1' expected a value after '>' at '>1'"),
        (
            "lr=<1 and dirty",
            "filter 'lr=<1 and dirty' expected a value after '=' at '<1 and dirty'",
        ),
        ("lr=1 or", "filter 'lr=1 or' expected a field at its end"),
        ("lr=1 or and", "filter 'lr=1 or and' expected a field at 'and'"),
        ("lr=1)", "filter 'lr=1)' expected another condition or the end at ')'"),
        ("model:", "filter 'model:' expected a value after ':' at its end"),
        ("model:,", "filter 'model:,' expected a value after ':' at ','"),
        (":cnn", "filter ':cnn' expected a field at ':cnn'"),
        ("colour:red", "no run here has a field 'colour'"),
        ("since:soon", "age is compared with a time such as 30s or 2h, not 'soon'"),
        ("(lr=1", "filter '(lr=1' expected ')' at its end"),
        ("lr=1 and", "filter 'lr=1 and' expected a field at its end"),
        ("", "filter '' expected a field at its end"),
        ("lr & 1", "filter 'lr & 1' cannot be read at '& 1'"),
        ('model="cnn', "filter 'model=\"cnn' has a quote that is not closed at '\"cnn'"),
        ("age<soon", "age is compared with a time such as 30s or 2h, not 'soon'"),
    ],
)
def test_wrong_filters_say_what_and_where(text, message):
    with pytest.raises(MisuseError) as error:
        matches(text)
    assert str(error.value) == message


def test_an_ambiguous_last_part_is_refused():
    run = summary(arguments={"optimizer.lr": 1, "head.lr": 2})
    with pytest.raises(MisuseError, match=r"'lr' may be any of head\.lr, optimizer\.lr: write"):
        matches("lr=1", run)


def test_a_fixed_field_wins_over_an_argument_which_args_still_reaches():
    run = summary(arguments={"state": "training"})
    assert matches("state=running and args.state=training", run)


def test_a_run_that_cannot_be_read_fails_comparisons_and_stays_listable():
    run = unreadable_run("20261123-081000-abcdef", OSError("no permission"))
    assert matches("state=unknown", run)
    assert not matches("age>0s or created>2020 or dirty or not dirty=null", run)


def test_a_quoted_number_is_text():
    run = summary(arguments={"version": "1.0"})
    assert matches('version="1.0"', run)
    assert matches("version=1.0", run)
    assert not matches("version=1", run)


def test_a_value_with_a_comma_is_also_taken_as_it_stands():
    run = summary(arguments={"betas": "0.9,0.99"})
    assert matches("betas=0.9,0.99 and betas='0.9,0.99'", run)
    assert not matches("betas='0.9'", run)


def test_a_series_with_a_colon_in_its_name_comes_before_the_loose_equal():
    stat = Stat(last=0.5, step=1, min=0.5, max=0.5, count=1)
    run = summary(stats={"val:loss": stat})
    assert matches("val:loss<1 val:loss:0.5", run)


def test_what_every_run_has_is_filtered_without_asking_the_runs():
    def never():
        raise AssertionError("asked")
        yield

    test = parse("state=running since:4h -tag:debug", Fields(never()))
    assert test(summary())


def test_fields_by_name_are_those_learnt_from_the_runs():
    run = summary()
    named = Fields.named(run.arguments, run.stats, [("validation", "accuracy")])
    text = "lr=0.01 max.loss=2 accuracy>0.9 momentum=0.9"
    assert parse(text, named)(run)
    assert parse(text, Fields([run]))(run)
