"""The data card: one file without scripts, its words escaped, and the same in the terminal."""

from __future__ import annotations

import base64
import re

import click
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from labbook.checks.bench import Bench
from labbook.checks.card import card, write_card
from labbook.checks.page import Cell, Part, page
from labbook.checks.rule import Cannot
from labbook.checks.shown import Shown, shown
from labbook.checks.subject import Subject
from labbook.cli.partlines import part_lines
from tests.checks.programs_data import CLEAN, cnn, made, pictures

TITLES = [
    "A random selection",
    "Outliers",
    "Nearest neighbours, by their values",
    "Nearest neighbours, by features of the untrained net",
    "From the least to the greatest loss, before training",
]


def bench(subject, **more):
    return Bench(Subject(**subject, **more))


def images(**change):
    x, y = pictures(96)
    x[7] = 1 - x[7] if change.get("outlier") else x[7]
    return made(cnn(), F.cross_entropy, loader=DataLoader(TensorDataset(x, y), 16, shuffle=True))


def test_a_card_of_pictures(tmp_path):
    path = tmp_path / "card.html"
    write_card(bench(images(), name="blobs <b>"), path)
    text = path.read_text()
    assert "<title>blobs &lt;b&gt;: data card</title>" in text
    assert "1 x 12 x 12" in text
    assert "4 classes" in text
    assert [title for title in TITLES if f"<h2>{title}</h2>" in text] == TITLES
    assert "<script" not in text
    assert "Not shown" not in text
    assert not re.search(r"https?:", text)
    found = re.findall(r"data:image/png;base64,([\w+/=]+)", text)
    assert len(found) > 50
    assert all(base64.b64decode(one).startswith(b"\x89PNG") for one in found)


def test_the_outlier_comes_first():
    parts = {part.title: part for part in card(bench(images(outlier=True)))}
    assert parts["Outliers"].rows[0][0].caption.startswith("example 7, class")


def test_neighbours_begin_with_the_nearest_and_losses_rise():
    parts = {part.title: part for part in card(bench(images()))}
    for title in TITLES[2:4]:
        for row in parts[title].rows:
            assert len(row) == 4
            far = [float(cell.caption.rsplit("at ", 1)[1]) for cell in row[1:]]
            assert far == sorted(far)
        assert "same class for" in parts[title].about
    [row] = parts[TITLES[4]].rows
    losses = [float(cell.caption.rsplit("loss ", 1)[1]) for cell in row]
    assert losses == sorted(losses)
    assert len(losses) == 5


@pytest.mark.parametrize("name", CLEAN)
def test_every_kind_of_program_has_one(name, tmp_path):
    subject = bench(CLEAN[name]())
    write_card(subject, tmp_path / "card.html")
    lines = list(part_lines(card(subject)))
    assert "A random selection" in "\n".join(lines)
    assert max(len(click.unstyle(line)) for line in lines) <= 80


def test_what_cannot_be_shown_says_why():
    parts = {part.title: part.about for part in card(bench(CLEAN["lm"]()))}
    assert "whole numbers" in parts["Outliers"]


def test_without_a_loader_there_is_none(tmp_path):
    with pytest.raises(Cannot, match="no loader="):
        write_card(bench({"model": nn.Linear(2, 2)}), tmp_path / "card.html")


def test_nothing_of_the_data_is_markup():
    text = page("<i>", "a & b", [Part("<u>", "", [[Cell(Shown(None, "<script>x"), '"<s>')]])])
    assert "<script>" not in text
    assert "&lt;script&gt;x" in text
    assert "&lt;i&gt;" in text
    assert "<s>" not in text


def test_what_things_look_like():
    assert shown(torch.arange(3), (0, 1)).text == "0 1 2"
    assert shown(torch.tensor([0.5, 1.25]), (0, 1)).text == "0.5 1.25"
    assert shown(torch.rand(3, 8, 8), (0, 1)).picture.shape == (8, 8, 3)
    curve = shown(torch.linspace(0, 1, 50), (0, 1)).picture
    assert curve[-1, 0, 0] == 0
    assert curve[0, -1, 0] == 0
    assert shown(torch.full((20,), torch.nan), (0, 1)).picture is not None


def test_control_sequences_do_not_reach_the_terminal():
    parts = [Part("a\x1b[2Jb", "", [[Cell(Shown(None, "c\x1b]0;x\x07"), "d\x1b[1m")]])]
    assert all("\x1b[2J" not in line and "\x07" not in line for line in part_lines(parts))


def test_a_dataset_that_counts_its_reads_is_read_once():
    class Counted(Dataset):
        reads = 0

        def __len__(self):
            return 64

        def __getitem__(self, i):
            Counted.reads += 1
            return torch.randn(6, generator=torch.Generator().manual_seed(i)), i % 2

    subject = made(lambda: nn.Linear(6, 2), F.cross_entropy, loader=DataLoader(Counted(), 16))
    card(bench(subject))
    assert Counted.reads == 64
