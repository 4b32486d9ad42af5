"""`labbook show --args`: a command line that, run again, gives the same arguments."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import labbook
from labbook.restore.typed import quoted
from tests.cli.conftest import environment

ROOT = Path(__file__).parents[2]

HARD = ["", "a b", "it's", '"q"', "$HOME `x` \\", "*", "a\nb", "\ttab", "é∂", "\x1b[31mred", "-x=1"]
"""Values that a shell would take apart, and a terminal would obey."""

START = "\nlabbook.start(gauges=None, output=False).finish()\n"

PROGRAMS = {
    "argparse": (
        """
import argparse, labbook
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
sub = parser.add_subparsers(dest="verb")
train = sub.add_parser("train")
train.add_argument("texts", nargs="*")
train.add_argument("--layers", type=int, nargs="+", default=[64])
train.add_argument("--no-amp", action="store_true")
train.add_argument("--lr", type=float, default=1e-3)
args = parser.parse_args()
"""
        + START,
        ["--seed", "1", "train", "--layers", "8", "16", "--no-amp", "--", *HARD],
    ),
    "hydra": (
        """
import hydra, labbook
@hydra.main(version_base=None, config_path=".", config_name="conf")
def main(cfg):
    labbook.start(gauges=None, output=False).finish()
main()
""",
        ["model.width=16", "tags=[a,'b c']", "+more={x: 1, y: true}", "hydra.job.chdir=true"],
    ),
    "click": (
        """
import click, labbook
@click.group()
@click.option("--debug/--no-debug")
def cli(debug): ...
@cli.command()
@click.option("--layer", type=int, multiple=True)
@click.option("--lr", default=1e-3)
@click.argument("text", nargs=-1)
def train(layer, lr, text):
    labbook.start(gauges=None, output=False).finish()
cli(standalone_mode=False)
""",
        ["--debug", "train", "--layer", "8", "--layer", "16", "--", *HARD],
    ),
    "tyro": (
        """
import dataclasses, tyro, labbook
@dataclasses.dataclass
class Model:
    width: int = 8
@dataclasses.dataclass
class Args:
    model: Model
    lr: float = 0.1
    amp: bool = True
args = tyro.cli(Args)
"""
        + START,
        ["--model.width", "16", "--no-amp"],
    ),
}


def run_of(folder, *command, **options):
    """Run a command that records one run, and return it."""
    book = folder / "book"
    before = set(labbook.open(book).ids()) if book.exists() else set()
    environ = environment() | {"LABBOOK_DIR": str(book)}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=50, **options
    )
    assert done.returncode == 0, done.stderr
    opened = labbook.open(book)
    (run_id,) = set(opened.ids()) - before
    return opened.run(run_id)


def shown(folder, run):
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", "show", run.id, "--args"],
        env=environment() | {"LABBOOK_DIR": str(folder / "book")},
        capture_output=True, text=True, check=True, cwd=folder, timeout=50,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("kind", PROGRAMS)
def test_the_command_line_gives_the_same_arguments_again(tmp_path, kind):
    if kind != "argparse":
        pytest.importorskip(kind)
    source, words = PROGRAMS[kind]
    project = tmp_path / "a project"
    project.mkdir()
    (project / "conf.yaml").write_text("lr: 0.1\ntags: []\nmodel:\n  width: 8\n")
    (project / "train.py").write_text(source)
    first = run_of(tmp_path, sys.executable, "train.py", *words, cwd=project)
    text = shown(tmp_path, first)
    assert text.splitlines()[0].startswith(f"cd '{project}' && ")
    assert not set("\x1b\x07\t") & set(text)
    again = run_of(tmp_path, "bash", input=text, cwd=tmp_path)
    assert first.conditions["arguments"]["values"]
    assert again.conditions["arguments"] == first.conditions["arguments"]
    assert again.conditions["command"] == first.conditions["command"]


def test_what_was_typed_is_told_from_defaults(lab):
    lines = lab.labbook("show", "second", "--args").stdout.splitlines()
    assert lines[1:] == [
        "# lr = 0.001",
        "# model = mlp",
        "# called = second",
        "# then = end  (default)",
    ]
    text = lab.labbook("show", "second").stdout
    assert "then      end (default)" in text
    assert "model     mlp\n" in text


def test_the_command_is_for_where_one_stands(lab, monkeypatch):
    typed = f"{shlex.quote(sys.executable)} train.py --called first"
    monkeypatch.chdir(lab.root)
    assert lab.labbook("show", "first", "--args").stdout.splitlines()[0] == typed
    monkeypatch.chdir("/")
    line = lab.labbook("show", "first", "--args").stdout.splitlines()[0]
    assert line == f"cd '{lab.root}' && {typed}"


def test_json_has_the_values(lab):
    found = json.loads(lab.labbook("show", "second", "--args", "--json").stdout)
    assert (found["lr"], found["model"]) == (0.001, "mlp")


def test_a_secret_is_not_made_up(tmp_path):
    (tmp_path / "train.py").write_text(
        "import argparse, labbook\np = argparse.ArgumentParser()\np.add_argument('--api-key')\n"
        "args = p.parse_args()\n" + START
    )
    run = run_of(
        tmp_path, sys.executable, "train.py", "--api-key", "abcdefghijklmnop", cwd=tmp_path
    )
    lines = shown(tmp_path, run).splitlines()
    assert lines[0].endswith("train.py --api-key '***'")
    assert lines[1] == "# *** stands for a secret that was not recorded: put it in"
    assert lines[2] == "# api_key = ***"


@pytest.mark.parametrize("word", [*HARD, os.fsdecode(b"\xff\xfe"), "a\u202eb", "\ud800"])
def test_words_pass_a_shell_unchanged(word):
    text = quoted(word)
    assert text.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True)
    wanted = b"?" if word == "\ud800" else os.fsencode(word)
    assert done.stdout == wanted
