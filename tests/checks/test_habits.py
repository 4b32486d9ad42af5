"""Small habits, several devices, functions without a test, augmentation before anything fits."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

import labbook
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, limits_of, registry
from labbook.checks.rules import ledger_defaults
from labbook.checks.rules.devices import COPY, damaged, scaling
from labbook.checks.running import check_run

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


@pytest.fixture(autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def followed(book, **options):
    model = nn.Linear(6, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, **options)
    with labbook.start({}, book=book, gauges=False, output=False) as run:
        run.follow(model, optimizer)
        for step in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()
            run.log(loss=1.0, step=step)
        return run.id


def rules(book, run_id, only):
    opened = labbook.open(book)
    return {f.rule for f in check_run(opened.run(run_id), opened, only=[only]).findings}


def test_a_book_of_tuned_optimizers_has_no_default_run(tmp_path):
    for _ in range(3):
        last = followed(tmp_path, betas=(0.8, 0.9))
    assert rules(tmp_path, last, "ledger/no-default-run") == {"ledger/no-default-run"}
    last = followed(tmp_path)
    assert rules(tmp_path, last, "ledger/no-default-run") == set()


def test_a_dirty_tree_is_a_note(tmp_path, monkeypatch):
    with labbook.start({}, book=tmp_path, gauges=False, output=False) as run:
        run.log(loss=1.0)
    reader = Recorded(labbook.open(tmp_path).run(run.id))
    for dirty, n in ((("a.py",), 1), ((), 0)):
        summary = SimpleNamespace(dirty=dirty)
        monkeypatch.setattr(reader.run, "summary", lambda summary=summary: summary)
        assert len(list(ledger_defaults.dirty(reader, {}))) == n
    monkeypatch.setattr(reader.run, "summary", lambda: SimpleNamespace(dirty=None))
    with pytest.raises(Cannot):
        list(ledger_defaults.dirty(reader, {}))


def test_a_lead_within_the_noise_is_said(monkeypatch):
    rows = [
        {"id": "a", "name": "a", "state": "finished", "result.val.accuracy": 0.912},
        {"id": "b", "name": "b", "state": "finished", "result.val.accuracy": 0.910},
    ]
    from labbook.checks.ledger import Ledger

    run = SimpleNamespace(ledger=Ledger(rows), book=SimpleNamespace(run=lambda which: which))
    for error, n in ((0.01, 1), (1e-4, 0)):
        monkeypatch.setattr(ledger_defaults, "_error", lambda *_, error=error: error)
        assert len(list(ledger_defaults.noise(run, {"errors": 2}))) == n


def test_a_damaged_copy_is_found_on_a_stand_in_for_two_devices():
    cpu, other = torch.device("cpu"), torch.device("cpu", 0)
    assert list(damaged([X], [cpu, other], COPY)) == []

    class Bad:
        def __init__(self, tensor):
            self.tensor = tensor

        def to(self, device):
            return Bad(self.tensor + (device == other))

        def cpu(self):
            return self.tensor

    def equal(one, other):
        return bool((one == getattr(other, "tensor", other)).all())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "equal", equal)
        found = list(damaged([Bad(X)], [cpu, other], COPY))
    assert {f.where for f in found} == {"cpu to cpu:0", "cpu:0 to cpu"}


def test_copies_need_two_devices():
    report = labbook.check({"model": lambda: nn.Linear(2, 2)}, only=["dist/copy"])
    if torch.cuda.device_count() < 2:
        assert [s.reason for s in report.skipped] == ["fewer than two devices here"]


@pytest.mark.parametrize(
    ("speeds", "status"),
    [
        ({1: 100.0, 2: 190.0}, None),
        ({1: 100.0, 2: 160.0}, "note"),
        ({1: 100.0, 2: 120.0}, "warn"),
        ({1: 100.0, 2: 101.0}, "fail"),
    ],
)
def test_more_processes_should_be_faster(tmp_path, speeds, status):
    for n, speed in speeds.items():
        with labbook.start({"lr": 1}, book=tmp_path, gauges=False, output=False) as run:
            run.log(loss=1.0)
        folder = tmp_path / "runs" / run.id / "attempts/1"
        [attempt] = [p for p in folder.glob("*.json") if not p.name.endswith(".end.json")]
        body = json.loads(attempt.read_text())
        attempt.write_text(json.dumps({**body, "world_size": n}))
        meta = tmp_path / "runs" / run.id / "meta"
        meta.mkdir(exist_ok=True)
        seconds = 1000.0
        about = {"steps": 100, "examples": round(speed / n * seconds), "seconds": seconds}
        about_all = {"train": about}
        record = {"fact": "loaders", "writer": body["writer"], "loaders": about_all}
        (meta / f"loaders-{body['writer']}.json").write_text(json.dumps(record))
    opened = labbook.open(tmp_path)
    rule = registry()["dist/scaling"]
    recorded = Recorded(opened.run(run.id), opened)
    found = [f.status for f in scaling(recorded, limits_of(rule, {}))]
    assert found == ([status] if status else [])


OWN = """
import torch
class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x
    @staticmethod
    def backward(ctx, g):
        return 2 * g
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 2)
    def forward(self, x):
        return Doubled.apply(self.linear(x))
"""


def test_a_function_without_a_test_is_noted(tmp_path):
    path = tmp_path / "own_layers.py"
    path.write_text(OWN)
    (tmp_path / ".git").mkdir()
    spec = importlib.util.spec_from_file_location("own_layers", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_layers"] = module
    spec.loader.exec_module(module)
    subject = {"model": module.Net, "loader": [(X, Y)]}
    [found] = labbook.check(subject, only=["code/untested"]).findings
    assert (found.status, "Doubled" in found.evidence) == ("note", True)
    (tmp_path / "test_own.py").write_text("from own_layers import Doubled")
    assert not labbook.check(subject, only=["code/untested"]).findings


class Noisy(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, i):
        return X[i] + torch.randn(6), Y[i]


@pytest.mark.parametrize(("rate", "data", "n"), [
    (1e-7, Noisy(), 1), (1e-2, Noisy(), 0), (1e-7, TensorDataset(X, Y), 0),
])  # fmt: skip
def test_augmenting_before_it_fits_is_noted(rate, data, n):
    subject = {
        "model": lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2)),
        "loss": F.cross_entropy,
        "loader": DataLoader(data, 32),
        "optimizer": lambda model: torch.optim.Adam(model.parameters(), rate),
    }
    report = labbook.check(subject, only=["ledger/augment-before-fit"])
    assert len(report.findings) == n
    assert not report.crashed
    assert np.isfinite(report.seconds)
