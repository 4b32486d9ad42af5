"""`labbook windows`: what an output sees, put to a person, and their accuracy as a run."""

from __future__ import annotations

import csv
import re

import pytest
from click.testing import CliRunner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook
from labbook.checks.bench import Bench
from labbook.checks.rule import Cannot
from labbook.checks.subject import Subject
from labbook.checks.windows import windows
from labbook.cli import main, windowing
from tests.checks.programs_data import made, pictures, table

PROGRAM = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook

labbook.start()
G = torch.Generator().manual_seed(0)
Y = torch.randint(0, 3, (60,), generator=G)
X = F.one_hot(Y, 3).float()[:, :, None].repeat(1, 1, 3)[:, None] + 0.01


def evaluate(model):
    return {"loss": 1.0, "val/accuracy": 0.5}


@labbook.subject
def subject():
    return dict(
        model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 3)),
        loss=F.cross_entropy,
        loader=DataLoader(TensorDataset(X, Y), 10, shuffle=True),
        val=DataLoader(TensorDataset(X, Y), 10),
        evaluate=evaluate,
    )
"""


@pytest.fixture
def typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checks.py").write_text(PROGRAM)

    def run(*args, **how):
        return CliRunner().invoke(main, ["windows", "checks.py", "--book", "book", *args], **how)

    return run


def bench(subject):
    return Bench(Subject(**subject))


def segmentation():
    x, _ = pictures(32, side=16)
    y = (x[:, 0] > 0.5).long()
    y[:, 0] = 255
    model = lambda: nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 1))  # noqa: E731
    loss = nn.CrossEntropyLoss(ignore_index=255)
    return made(model, loss, loader=DataLoader(TensorDataset(x, y), 8)), x, y


def test_windows_of_a_net_that_sees_little():
    subject, _, y = segmentation()
    found = windows(bench(subject), 30)
    assert found.field.size == (1, 5, 5)
    assert found.classes == (0, 1)
    assert "1 x 5 x 5 of 1 x 16 x 16" in found.about
    for window in found.windows:
        at = int(window.example.removeprefix("example "))
        (_, (top, bottom), (left, right)) = window.box
        assert bottom - top <= 5
        row = top + 2 if bottom - top == 5 else (bottom - 3 if top == 0 else top + 2)
        column = left + 2 if right - left == 5 else (right - 3 if left == 0 else left + 2)
        assert int(y[at, row, column]) == window.target
        assert window.target != 255


def test_the_choice_follows_from_the_seed():
    subject, *_ = segmentation()
    one, other = (windows(bench(subject), 9) for _ in range(2))
    assert [w.digest for w in one.windows] == [w.digest for w in other.windows]


def test_whole_examples_where_every_output_sees_everything():
    x, y = pictures(64)
    model = lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 4))  # noqa: E731
    subject = made(model, nn.CrossEntropyLoss(), loader=DataLoader(TensorDataset(x, y), 8))
    found = windows(bench(subject), 5)
    assert "whole examples" in found.about
    assert all(w.target == int(y[int(w.example.split()[1])]) for w in found.windows)
    assert found.windows[0].what.picture.shape == (12, 12, 1)


def test_numbers_cannot_be_asked_for():
    x, _ = table(64)
    subject = made(
        lambda: nn.Linear(12, 2), nn.MSELoss(), loader=DataLoader(TensorDataset(x, x[:, :2]), 8)
    )
    with pytest.raises(Cannot, match="asked for classes"):
        windows(bench(subject), 5)


def filled(path, answers):
    rows = list(csv.DictReader(path.read_text().splitlines()))
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, rows[0])
        lines.writeheader()
        for row, answer in zip(rows, answers, strict=False):
            lines.writerow({**row, "answer": str(answer)})


def truth(tmp_path, n):
    """The classes, read from the pages' order by the same seed."""
    import os

    from labbook.checks.loading import subjects_in
    from labbook.checks.subject import as_subject

    before = os.environ.pop("LABBOOK_MODE", None)
    [value] = subjects_in(str(tmp_path / "checks.py")).values()
    found = windows(Bench(as_subject(value)), n)
    os.environ.pop("LABBOOK_MODE", None)
    if before is not None:
        os.environ["LABBOOK_MODE"] = before
    return [w.target for w in found.windows]


def test_a_filled_file_becomes_a_run(typed, tmp_path):
    written = typed("--n", "8", "--write")
    assert written.exit_code == 0, written.output
    assert "labbook windows checks.py --n 8 --seed 0 --answers windows.csv" in written.output
    page = (tmp_path / "windows.html").read_text()
    assert page.count("<img") + page.count("<code>") == 8
    assert "<script" not in page
    assert not re.search(r'(src|href)="?http', page)
    assert not (tmp_path / "book").exists()

    right = truth(tmp_path, 8)
    filled(tmp_path / "windows.csv", [*right[:5], (right[5] + 1) % 3, "", ""])
    done = typed("--n", "8", "--answers", "windows.csv")
    assert done.exit_code == 0, done.output
    assert "5 of 6 right: val/accuracy 0.833 ± 0.152" in done.output
    opened = labbook.open(tmp_path / "book")
    [run_id] = opened.ids()
    run = opened.run(run_id)
    assert run.series("val/accuracy")["value"].to_pylist() == [pytest.approx(5 / 6)]
    assert opened.runs().to_pylist()[0]["tags"] == ["human"]


def test_answers_to_other_windows_are_refused(typed, tmp_path):
    typed("--n", "8", "--write")
    filled(tmp_path / "windows.csv", [0] * 8)
    said = typed("--n", "7", "--seed", "3", "--answers", "windows.csv")
    assert said.exit_code == 2
    assert "is another one" in said.output
    filled(tmp_path / "windows.csv", ["dog"] * 8)
    said = typed("--n", "8", "--answers", "windows.csv")
    assert "must be a class (0, 1, 2), got 'dog'" in said.output
    (tmp_path / "windows.csv").write_text("a,b\n1,2\n")
    assert "has not the columns" in typed("--answers", "windows.csv").output
    assert not (tmp_path / "book").exists()


def test_answers_are_asked_for_in_a_terminal(typed, tmp_path, monkeypatch):
    monkeypatch.setattr(windowing, "_is_terminal", lambda: True)
    right = truth(tmp_path, 4)
    done = typed("--n", "4", "--metric", "acc", input=f"{right[0]}\nx\n{right[1]}\n\nq\n")
    assert done.exit_code == 0, done.output
    assert "got 'x'" in done.output
    assert "2 of 2 right: acc 1.000" in done.output
    done = typed("--n", "4", input="q\n")
    assert "Nothing was answered" in done.output
    assert len(labbook.open(tmp_path / "book").ids()) == 1


def test_a_file_without_a_subject(typed, tmp_path):
    (tmp_path / "checks.py").write_text("x = 1\n")
    said = typed()
    assert said.exit_code == 2
    assert "declares no subject" in said.output
