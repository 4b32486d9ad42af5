"""`labbook data`, and what diff and show make of the same files, on real runs of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from labbook.book.given import cards
from labbook.cli import main
from labbook.cli.pictures import bars, beside
from labbook.paths import BookPaths
from tests.cli.conftest import environment

SCRIPT = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

torch.manual_seed(0)
images = torch.rand(40, 3, 8, 8)
images[:, 1] = 0.5
labels = torch.arange(40) % 4


def train(name, images, inspect=True):
    torch.manual_seed(0)
    run = labbook.start({}, name=name, gauges=0, output=False)
    dataset = TensorDataset(images, labels)
    run.data("train", dataset)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    if inspect:
        run.inspect(net)
    for x, y in run.loader(DataLoader(dataset, 8)):
        net(x)
    net.eval()
    net(images[:5])
    run.finish()


train("unit", images)
train("bytes", images * 255)
train("unseen", images, inspect=False)

run = labbook.start({}, name="vectors", gauges=0, output=False)
run.choose((torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2])), n=6)
net = nn.Linear(3, 2)
run.inspect(net)
x = torch.randn(6, 3)
x[0, 0] = float("nan")
net(x)
run.finish()
labbook.start({}, name="nothing", gauges=0, output=False).finish()
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data card")
    (folder / "train.py").write_text(SCRIPT)
    made = {**environment(), "LABBOOK_DIR": str(folder / "book")}
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=made, check=True)
    return folder / "book"


def labbook(book: Path, *arguments: str) -> str:
    done = CliRunner().invoke(main, [arguments[0], "--book", str(book), *arguments[1:]])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.timeout(120)
def test_the_card_says_what_the_model_was_given_in_80_columns(book):
    text = labbook(book, "data", "unit")
    assert "train  40 examples" in text
    assert "Given to the model (Sequential) in training\n  the first 5 batches, 40 examples" in text
    assert "input  float32 (8, 3, 8, 8) on cpu" in text
    assert "constant: 1 of 3 channels" in text
    assert "as run.loader has them" in text
    assert "4 values, from 25 % (0) to 25 % (0)" in text
    assert "in evaluation\n  the first 1 batch, 5 examples" in text
    assert "1 forward pass in eval mode had gradients on" in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_all_of_it(book):
    found = json.loads(labbook(book, "data", "unit", "--json"))
    [card] = found["given"]
    assert card["train"]["inputs"]["input"]["features"]["distinct"] == [3, 1, 3]
    assert [one["name"] for one in found["fingerprints"]] == ["train"]


def test_values_that_are_not_finite_are_said(book):
    text = labbook(book, "data", "vectors")
    assert "1 of 18 values are NaN" in text
    assert "with values that are not finite: 0" in text
    assert "targets are not known: use run.loader(…), or run.inspect(model, loss)" in text


def test_a_chosen_sets_targets_stand_in_where_no_loop_told(book):
    text = labbook(book, "data", "vectors")
    assert "Targets of the chosen set 'chosen'" in text
    assert "3 values, from 16.7 % (2) to 50 % (0)" in text


def test_a_run_without_any_says_how_to_record_some(book):
    assert "nothing was recorded of the data: run.data(name, source)" in labbook(
        book, "data", "nothing"
    )


def test_show_says_how_fast_the_loop_went(book):
    text = labbook(book, "show", "unit")
    assert "Throughput\n  train: 5 steps, " in text
    assert "% of the time waiting for data" in text
    assert "first batch after" in text
    [loader] = json.loads(labbook(book, "show", "unit", "--json"))["throughput"]
    assert (loader["steps"], loader["examples"], loader["batch_size"]) == (5, 40, 8)
    assert loader["first_batch_s"] <= loader["first_step_s"]


def test_diff_says_that_the_model_was_given_another_scale(book):
    text = labbook(book, "diff", "unit", "bytes", "--only", "given")
    assert "~ input range" in text
    assert "0.00" not in text.splitlines()[0]
    items = json.loads(labbook(book, "diff", "unit", "bytes", "--json"))["given"]["items"]
    assert [item["name"] for item in items] == ["input range", "input mean ± sd"]


def test_diff_names_a_shape_and_a_run_that_nobody_looked_at(book):
    text = labbook(book, "diff", "unit", "vectors", "--only", "given")
    assert "~ input shape      N×3×8×8 → N×3" in text
    assert "target" not in text
    text = labbook(book, "diff", "unit", "unseen", "--only", "given")
    assert "only one of the runs was inspected" in text


def test_diff_counts_the_data_as_given_only_when_nothing_else_tells_why(book):
    """The code is the same and so are the arguments, but the fingerprints differ."""
    found = json.loads(labbook(book, "diff", "unit", "bytes", "--json"))
    assert [change["section"] for change in found["changes"]] == ["data"]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"train": 3, "eval": [1]}',
        '{"train": {"inputs": {"x\\u001b[31m": {"shapes": [[["a"], "b"], 3], "n": -1}}}}',
        '{"train": {"inputs": {"x": {"histogram": {"low": 0, "width": 0, "counts": [1]}}}}}',
        '{"train": {"inputs": {"x": {"mean": 1, "min": 0, "max": 1e999, "n": 5}}}}',
        '{"train": {"inputs": {"x": {"few": {"rows": [0], "shape": [1, 9, 9, 99999999],'
        ' "pixels": "AAAA"}}}}}',
        '{"train": {"inputs": {"x": {"features": {"n": [1, 2], "mean": [0]}}}}}',
        '{"train": {"targets": {"x": {"histogram": {"low": 0, "width": 1, "counts": [1],'
        ' "values": [[true, 1], "a", [2]]}}}}}',
        "not json",
    ],
)
def test_a_hostile_card_is_shown_as_far_as_it_can_be(book, tmp_path, text):
    import shutil

    shutil.copytree(book, tmp_path / "book")
    paths = BookPaths(tmp_path / "book")
    for run_id in paths.run_ids():
        for card in (paths.run(run_id).root / "given").glob("*.json"):
            card.write_text(text)
    shown = labbook(tmp_path / "book", "data", "unit")
    assert "\x1b" not in shown
    labbook(tmp_path / "book", "data", "unit", "--json")
    labbook(tmp_path / "book", "diff", "unit", "bytes")


def test_cards_read_back_what_was_written(book):
    from labbook.book.reading import open_book

    [card], damage = cards(open_book(book).run("unit").facts)
    assert not damage
    assert (card.name, card.model, card.first_mode) == ("model", "Sequential", "train")
    [given] = card.train.inputs
    assert given.shape == (3, 8, 8)
    assert given.few.shape == (8, 8, 8, 3)
    assert len(given.few.pixels) == 8 * 8 * 8 * 3


# ---------------------------------------------------------------------- pictures


def test_pictures_stand_beside_each_other():
    assert beside([["ab", "cd"], ["ef", "gh"]]) == ["ab  ef", "cd  gh"]


def test_a_bin_with_something_in_it_is_never_blank():
    assert bars([0, 1, 1000], 10) == " ▁█"
    assert bars([0, 0], 10) == "  "
    assert len(bars([1] * 100, 30)) <= 30
