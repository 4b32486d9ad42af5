"""The net that was followed, as `show` and `diff` tell it."""

import json

import pytest
from click.testing import CliRunner

from labbook.cli import main
from labbook.compare.modules import module_words, net_words
from labbook.compare.values import Item
from tests.client.conftest import Script

pytestmark = pytest.mark.timeout(180)  # torch loads its compiler with the first optimizer

TRAIN = """
import argparse, labbook, torch
from torch import nn
for width in (4, 6):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
    model[2].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    args = argparse.Namespace(width=width)
    run = labbook.start(args, gauges=False, output=False, name=f"w{width}")
    run.follow(model, optimizer)
    for step in range(3):
        loss = model(torch.ones(5, 3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss, step=step)
    run.finish()
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    script = Script(tmp_path_factory.mktemp("nets"))
    process = script.popen(TRAIN)
    _, stderr = process.communicate(timeout=150)
    assert process.returncode == 0, stderr
    return script.book.root


def labbook(book, *words):
    result = CliRunner().invoke(main, [*words, "--book", str(book)])
    assert result.exit_code == 0, result.output
    return result.output


def test_show_has_the_tree_and_its_size(book):
    lines = labbook(book, "show", "w4").splitlines()
    at = lines.index("Model")
    size = "  Sequential: 26 parameters, 24 trainable, 104 B, float32 on cpu"
    assert lines[at + 1] == size
    assert lines[at + 3].split() == [
        "0", "Linear(in_features=3,", "out_features=4,", "bias=True)", "16",
    ]  # fmt: skip
    assert lines[at + 5].split()[-3:] == ["10", "partly", "frozen"]
    assert lines[at + 6] == "  SGD holds 4 parameter tensors at first with lr 0.1"
    assert lines[at + 7].startswith("  sampled 3 times, steps 0 to 2;")


def test_show_model_has_the_last_statistics(book):
    text = labbook(book, "show", "w4", "--model")
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert len(rows["0.weight"]) == 5
    assert rows["2.bias"][2:] == ["-", "-", "0"]
    found = json.loads(labbook(book, "show", "w4", "--model", "--json"))
    assert found["nets"][""]["parameters"] == 26
    assert found["statistics"]["0.weight"]["step"] == 2
    assert found["statistics"]["2.bias"]["gradient_norm"] is None


def test_show_model_of_a_run_without_one_says_how(tmp_path):
    script = Script(tmp_path)
    script.run(
        "import labbook\nlabbook.start({}, gauges=False, output=False, name='none').finish()"
    )
    assert "run.follow(model, optimizer) records it" in labbook(
        script.book.root, "show", "none", "--model"
    )


def test_diff_says_what_another_net_it_is(book):
    found = json.loads(labbook(book, "diff", "w4", "w6", "--json", "--only", "model"))
    assert found["headline"].startswith("one thing changed: width 4 → 6")
    assert "(model: 0 out_features 4 → 6, 1 more module changed)" in found["headline"]
    text = labbook(book, "diff", "w4", "w6", "--only", "model")
    assert "~ 2  in_features 4 → 6" in text
    assert "(3 the same)" in text


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("Conv2d(1, 8, kernel_size=(3, 3)) w[8]", "Conv2d(1, 16, kernel_size=(3, 3)) w[16]",
         ["out_channels 8 → 16"]),
        ("ReLU", "GELU(approximate='none')", ["ReLU → GELU"]),
        ("Own w[3]", "Own w[3]:frozen", ["w[3] → w[3]:frozen"]),
        ("Own w[3]:float16", "Own w[3]:float16 b[3]", ["none → b[3]"]),
        ("\x1b[31m(", "ReLU", ["\x1b[31m( → ReLU"]),
    ],
)  # fmt: skip
def test_what_differs_in_a_module(a, b, words):
    assert module_words(Item("m", "changed", a, b)) == words


def test_added_modules_are_counted():
    items = (Item("drop", "added", None, "Dropout(p=0.1)"),)
    assert net_words(items) == "1 module added (drop)"
