"""The core of `labbook check`: subjects, the registry, copies, folding."""

from __future__ import annotations

import fnmatch
import math
import random
import threading
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook
from labbook.book.throughput import throughput
from labbook.checks.curves import spearman
from labbook.checks.rule import STAGES, registry
from labbook.errors import MisuseError

X = torch.randn(96, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
LOADER = DataLoader(TensorDataset(X, Y), 16, shuffle=True)


def make():
    return nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def adam(model):
    return torch.optim.Adam(model.parameters(), 1e-2)


def loop(clears=True, also=lambda: None):
    def train(model, optimizer, n_steps):
        done = 0
        while done < n_steps:
            for x, y in LOADER:
                if clears:
                    optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                done += 1
                also()

    return train


def parts(**changed):
    return {
        "model": make,
        "loss": F.cross_entropy,
        "loader": LOADER,
        "optimizer": adam,
        "train": loop(),
        **changed,
    }


STALE = {"only": ["loop/stale-grad"]}


def test_a_missing_zero_grad_is_found_at_its_line():
    [found] = labbook.check(parts(train=loop(clears=False)), **STALE).findings
    assert (found.rule, found.status) == ("loop/stale-grad", "fail")
    assert "test_core.py" in found.where
    assert "zero_grad" in found.fix


def test_a_loop_that_clears_passes():
    report = labbook.check(parts(), **STALE)
    assert report.ok
    assert report.passed == ("loop/stale-grad",)


def test_without_a_loop_it_is_skipped_and_never_passed():
    report = labbook.check(parts(train=None), **STALE)
    assert not report.ok
    assert [(s.rule, s.reason) for s in report.skipped] == [("loop/stale-grad", "no train= given")]


def test_a_loop_that_raises_is_said():
    def train(model, optimizer, n_steps):
        raise RuntimeError("no such file")

    [skipped] = labbook.check(parts(train=train), **STALE).skipped
    assert "train() raised RuntimeError: no such file at " in skipped.reason
    assert not skipped.crashed


def test_a_loop_without_an_end_is_stopped():
    def train(model, optimizer, n_steps):
        while True:
            loop()(model, optimizer, 1)

    assert labbook.check(parts(train=train), **STALE).ok


@pytest.mark.timeout(240)
def test_nothing_of_the_users_is_changed(tmp_path):
    model = make()
    F.cross_entropy(model(X), Y).backward()
    optimizer = adam(model)
    optimizer.step()
    target = tmp_path / "last.pt"
    target.write_bytes(b"mine")
    model[1].eval()

    def also():
        target.write_bytes(b"theirs")
        torch.save(model.state_dict(), tmp_path / "new.pt")
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / "log.txt").write_text("step")
        with torch.no_grad():
            model[0].weight.add_(1)
        model[0].weight.grad.zero_()
        optimizer.step()

    def state():
        return (
            [p.detach().clone() for p in model.state_dict().values()],
            [p.grad.clone() for p in model.parameters()],
            [m.training for m in model.modules()],
            [s["step"].item() for s in optimizer.state.values()],
            torch.get_rng_state().clone(),
            random.getstate(),
        )

    before = state()
    subject = labbook.Subject(**parts(model=model, optimizer=optimizer, train=loop(also=also)))
    labbook.check(subject)
    after = state()
    for one, other in zip(before[0] + before[1], after[0] + after[1], strict=True):
        assert torch.equal(one, other)
    assert before[2:4] == after[2:4]
    assert torch.equal(before[4], after[4])
    assert before[5] == after[5]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.pt"]
    assert target.read_bytes() == b"mine"
    assert torch.get_num_threads() >= 1


def test_and_neither_after_an_exception(tmp_path):
    state = torch.get_rng_state().clone()

    def also():
        (tmp_path / "left.txt").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labbook.check(parts(train=loop(also=also)))
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


def test_what_is_allowed_is_set_aside_with_its_reason():
    allowed = parts(train=loop(clears=False), allow={"loop/stale-grad": "momentum by hand"})
    report = labbook.check(allowed, **STALE)
    assert report.ok or not report.findings
    assert [f.reason for f in report.allowed] == ["momentum by hand"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: labbook.check(parts(), only=["loss/sing"]), "no rule is called 'loss/sing'"),
        (lambda: labbook.check(parts(), only="loop/stale-grad"), "only takes a list"),
        (lambda: labbook.check(parts(), set={"loop/stale-grad.z": 1}), "has no limit 'z'"),
        (lambda: labbook.check(parts(allow={"loop/stale-grad": " "})), "needs a reason"),
        (lambda: labbook.check(parts(task="clasification")), "expected one of"),
        (lambda: labbook.check(parts(loader=iter(LOADER))), "read several times"),
        (lambda: labbook.check(3), "takes a labbook.Subject"),
        (lambda: labbook.check({"modle": make}), "a subject has no modle"),
        (lambda: labbook.Subject(model=3), "takes a function that makes a model"),
    ],
)
def test_wrong_use_is_said_at_once(call, says):
    with pytest.raises(MisuseError, match=says):
        call()


def test_every_rule_says_what_it_is():
    for rule in registry().values():
        assert rule.checks, f"{rule.name} looks at nothing"
        for word in ("says", "formula", "advice", "fix", "source"):
            assert getattr(rule, word).strip(), f"{rule.name} has no {word}"
        assert rule.stage in STAGES
        assert Path(rule.name).parent.name, rule.name
        unknown = [pattern for pattern in rule.follows if not fnmatch.filter(registry(), pattern)]
        assert not unknown, f"{rule.name} follows {unknown}, which are no rules"
        unknown = [pattern for pattern in rule.explains if not fnmatch.filter(registry(), pattern)]
        assert not unknown, f"{rule.name} explains {unknown}, which are no rules"


def test_findings_are_events_of_the_run_that_is_recorded(tmp_path):
    with labbook.start({}, book=tmp_path, gauges=False, output=False) as run:
        labbook.check(parts(train=loop(clears=False, also=lambda: run.log(loss=1.0))), **STALE)
        allowed = {"loop/stale-grad": "momentum by hand"}
        labbook.check(parts(train=loop(clears=False), allow=allowed), **STALE)
    reader = labbook.open(tmp_path).run(run.id)
    events = [(e["kind"], e["text"]) for e in reader.events().to_pylist()]
    assert [kind for kind, _ in events if kind in {"finding", "allowed"}] == ["finding", "allowed"]
    assert ("allowed", "loop/stale-grad is allowed: momentum by hand") in events
    assert reader.names() == [], "what the loop logs meanwhile goes nowhere"


def test_what_the_run_itself_writes_meanwhile_stays(tmp_path):
    """Gauges, seals and heartbeats are written by other threads: they are not the loop's."""
    done = threading.Event()

    def write():
        (tmp_path / "mine.json").write_text("{}")
        done.set()

    def also():
        if not done.is_set():
            threading.Thread(target=write).start()
            done.wait()
        (tmp_path / "loops.txt").write_text("x")

    labbook.check(parts(train=loop(also=also)), **STALE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def test_a_live_run_takes_nothing_from_a_loop_that_is_tried(tmp_path):
    with labbook.start({}, book=tmp_path, gauges=False, output=False) as run:
        model = make()
        optimizer = adam(model)
        run.follow(model, optimizer)
        chosen = run.choose(LOADER.dataset, n=8)
        wrapped = run.loader(LOADER)
        handle = run.series("handled")

        def train(model, optimizer, n_steps):
            for step, (x, y) in enumerate(wrapped):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                handle(1.0)
                run.log(loss=1.0)
                run.event("a step")
                chosen.observe(model, F.cross_entropy, step=step)
                run.axis("loss")
            run.finish()

        subject = parts(model=model, optimizer=optimizer, train=train, loader=wrapped)
        report = labbook.check(subject, **STALE)
        assert report.passed == ("loop/stale-grad",)
        assert not run.finished
        run.log(mine=1.0)
    reader = labbook.open(tmp_path).run(run.id)
    assert reader.names() == ["mine"]
    assert reader.chosen().num_rows == 0
    assert not [event for event in reader.events().to_pylist() if event["text"] == "a step"]
    assert reader.model().num_rows == 0
    assert [entry["steps"] for entry in throughput(reader.facts)] in ([], [0])


def test_a_run_that_a_loop_starts_itself_is_not_begun(tmp_path):
    def also():
        labbook.start({}, book=tmp_path / "book", gauges=False, output=False).log(loss=1.0)

    assert labbook.check(parts(train=loop(also=also)), **STALE).ok
    assert not (tmp_path / "book").exists()


def test_equal_values_share_their_rank():
    assert spearman([1, 2, 3, 4], [1, 1, 2, 2]) == pytest.approx(0.894427191)
    assert spearman(range(300), [step % 3 for step in range(300)]) == pytest.approx(0, abs=0.02)
    assert math.isnan(spearman([1, 2], [5, 5]))
