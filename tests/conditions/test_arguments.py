"""Where the arguments are looked for, in real programs that parse them in every usual way."""

import argparse
import sys
import types
from dataclasses import dataclass, field

import pytest

from labbook.conditions.arguments import find
from labbook.errors import MisuseError


def test_a_namespace_in_the_caller_is_found_under_any_name(program):
    found = program(
        """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--layers", type=int, nargs="+", default=[64, 64])
parser.add_argument("--amp", action="store_true")

def main(whatever):
    report(find(sys._getframe()))

main(parser.parse_args())
""",
        "--lr", "0.5", "--amp",
    )  # fmt: skip
    assert found["values"] == {"lr": 0.5, "layers": [64, 64], "amp": True}
    assert found["source"] == "argparse.Namespace 'whatever' in train.py"
    assert found["defaults"] == {"lr": 1e-3, "layers": [64, 64], "amp": False}


def test_the_innermost_wins(program):
    found = program("""
import argparse
args = argparse.Namespace(lr=1)

def inner(config):
    report(find(sys._getframe()))

def outer():
    inner({"lr": 2})

outer()
""")
    assert found["values"] == {"lr": 2}
    assert found["source"] == "dict 'config' in train.py"


def test_a_namespace_beats_a_dictionary_in_the_same_frame(program):
    found = program("""
import argparse
config = {"model": "small"}
options = argparse.Namespace(lr=1)
report(find(sys._getframe()))
""")
    assert found["values"] == {"lr": 1}


def test_sub_commands_and_defaults_of_their_parser(program):
    found = program(
        """
import argparse
parser = argparse.ArgumentParser()
sub = parser.add_subparsers(dest="verb")
train = sub.add_parser("train")
train.add_argument("--steps", type=int, default="10")
args = parser.parse_args()
report(find(sys._getframe()))
""",
        "train",
    )
    assert found["values"] == {"verb": "train", "steps": 10}


def test_a_global_that_no_frame_holds_is_found_last(program, tmp_path):
    (tmp_path / "settings.py").write_text("import argparse\nargs = argparse.Namespace(lr=3)\n")
    (tmp_path / "trainer.py").write_text(
        "import sys\nfrom settings import args\n"
        "from labbook.conditions.arguments import find\n"
        "def fit():\n    return find(sys._getframe())\n"
    )
    found = program("import trainer\nreport(trainer.fit())\n")
    assert found["values"] == {"lr": 3}
    assert found["source"] == "argparse.Namespace 'args' in trainer.py"


MADE = {
    "dataclass": """
import dataclasses
@dataclasses.dataclass
class C:
    lr: float = 0.1
    inner: object = None
cfg = C(inner=C())
""",
    "SimpleNamespace": """
from types import SimpleNamespace as N
hparams = N(lr=0.1, inner=N(lr=0.1, inner=None))
""",
    "dict": "config = {'lr': 0.1, 'inner': {'lr': 0.1, 'inner': None}}",
    "OrderedDict": """
from collections import OrderedDict
args = OrderedDict(lr=0.1, inner={'lr': 0.1, 'inner': None})
""",
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_others_are_found_by_name(program, made):
    found = program(f"{made}\nreport(find(sys._getframe()))\n")
    assert found["values"] == {"lr": 0.1, "inner": {"lr": 0.1, "inner": None}}


def test_nothing_found_has_no_source(program):
    found = program(
        "arguments = {'lr': 1}\nargs = []\ncfg = {}\nconfig = {0: 1}\nreport(find(sys._getframe()))"
    )
    assert found["source"] is None
    assert found["values"] == {}


def test_star_args_and_classes_are_no_arguments(program):
    found = program("""
def main(*args, **config):
    report(find(sys._getframe()))
class cfg:
    lr = 1
main(1, 2)
""")
    assert found["source"] is None


# -- what other programs put between us and the script


def test_nothing_of_pytest_is_taken(pytestconfig):
    # this very test runs under pytest, whose frames hold `args`, `config` and a Namespace
    assert find(sys._getframe()).source is None
    config = pytestconfig
    args = pytestconfig.option
    found = find(sys._getframe())
    assert found.source is None, (config, args)


def test_nothing_of_a_debugger_is_taken(program):
    found = program(
        "report(find(sys._getframe()))\n", launcher=("-m", "pdb", "-c", "continue", "-c", "quit")
    )
    assert found["source"] is None


def test_a_debugged_programs_own_arguments_are_found(program):
    source = "def main(args):\n    report(find(sys._getframe()))\nmain({'lr': 1})\n"
    found = program(source, launcher=("-m", "pdb", "-c", "continue", "-c", "quit"))
    assert found["values"] == {"lr": 1}


@pytest.mark.parametrize("tracer", [("-m", "trace", "--count", "-C", "."), ("-m", "cProfile")])
def test_nothing_of_a_tracer_is_taken(program, tracer):
    assert program("report(find(sys._getframe()))\n", launcher=tracer)["source"] is None


def test_nothing_of_coverage_is_taken(program):
    pytest.importorskip("coverage")
    launcher = ("-m", "coverage", "run")
    assert program("report(find(sys._getframe()))\n", launcher=launcher)["source"] is None


def test_frames_of_installed_packages_are_passed_over(program, tmp_path):
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "framework.py").write_text(
        "def run(call):\n    args = {'of': 'the framework'}\n    call()\n"
    )
    found = program("""
sys.path.insert(0, "site-packages")
import framework
def task():
    report(find(sys._getframe()))
def main(args):
    framework.run(task)
main({"lr": 1})
""")
    assert found["values"] == {"lr": 1}


# -- click, typer, absl, Hydra, OmegaConf, pydantic, attrs: the real libraries


def test_a_click_command_with_its_group_and_defaults(program):
    found = program(
        """
import click
@click.group()
@click.option("--debug/--no-debug", default=False)
def cli(debug): ...
@cli.command()
@click.option("--lr", type=float, default=1e-3)
@click.option("--steps", type=int, default=10)
def train(lr, steps):
    helper()
def helper():
    report(find(sys._getframe()))
cli()
""",
        "--debug", "train", "--lr", "0.5",
    )  # fmt: skip
    assert found["values"] == {"debug": True, "lr": 0.5, "steps": 10}
    assert found["defaults"] == {"debug": False, "lr": 1e-3, "steps": 10}
    assert found["source"].startswith("click command ")


def test_nothing_is_imported_to_look_for_it(program):
    found = program("""
found = find(sys._getframe())
heavy = {"click", "numpy", "torch", "omegaconf", "absl", "argparse", "git", "pyarrow"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
report(found)
""")
    assert found["source"] is None


def test_a_typer_command(program):
    pytest.importorskip("typer")
    found = program(
        """
import typer
def main(lr: float = 1e-3, name: str = "x"):
    report(find(sys._getframe()))
typer.run(main)
""",
        "--lr", "0.5",
    )  # fmt: skip
    assert found["values"] == {"lr": 0.5, "name": "x"}
    assert found["defaults"] == {"lr": 1e-3, "name": "x"}


def test_absl_flags_without_those_of_absl_itself(program):
    pytest.importorskip("absl.flags")
    found = program(
        """
from absl import app, flags, logging
FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 1e-3, "")
flags.DEFINE_integer("steps", 10, "")
def main(argv):
    report(find(sys._getframe()))
app.run(main)
""",
        "--lr=0.5",
    )
    assert found["values"] == {"lr": 0.5, "steps": 10}
    assert found["defaults"] == {"lr": 1e-3, "steps": 10}
    assert found["source"] == "absl flags"


def test_a_hydra_task(program, tmp_path):
    pytest.importorskip("hydra")
    (tmp_path / "conf.yaml").write_text("lr: 0.1\nmodel:\n  width: 8\n  wide: ${model.width}\n")
    found = program(
        """
import hydra
@hydra.main(version_base=None, config_path=".", config_name="conf")
def main(anything):
    report(find(sys._getframe()))
main()
""",
        "model.width=16",
    )
    assert found["values"] == {"lr": 0.1, "model": {"width": 16, "wide": 16}}
    assert "'anything' in train.py" in found["source"]


def test_omegaconf_with_an_interpolation_that_leads_nowhere(program):
    pytest.importorskip("omegaconf")
    found = program("""
from omegaconf import OmegaConf
cfg = OmegaConf.create({"lr": 0.1, "bad": "${nowhere}", "must": "???", "list": [1, {"a": 2}]})
report(find(sys._getframe()))
""")
    assert found["values"] == {"lr": 0.1, "bad": "${nowhere}", "must": "???", "list": [1, {"a": 2}]}


def test_pydantic_and_its_secrets(program):
    pytest.importorskip("pydantic")
    found = program("""
from pydantic import BaseModel, SecretStr
class Inner(BaseModel):
    width: int = 8
class Config(BaseModel):
    lr: float = 0.1
    inner: Inner = Inner()
    key: SecretStr = SecretStr("correct horse battery")
config = Config()
report(find(sys._getframe()))
""")
    assert found["values"]["lr"] == 0.1
    assert found["values"]["inner"] == {"width": 8}
    assert "horse" not in str(found["values"])
    assert found["repr"] == ["key"]


def test_attrs_and_ml_collections(program):
    pytest.importorskip("attrs")
    pytest.importorskip("ml_collections")
    found = program("""
import attrs, ml_collections
@attrs.define
class A:
    lr: float = 0.1
    more: object = None
args = A(more=ml_collections.ConfigDict({"width": 8, "deep": {"er": 1}}))
report(find(sys._getframe()))
""")
    assert found["values"] == {"lr": 0.1, "more": {"width": 8, "deep": {"er": 1}}}


def test_tyro(program):
    pytest.importorskip("tyro")
    found = program(
        """
import dataclasses, tyro
@dataclasses.dataclass
class Args:
    lr: float = 0.1
args = tyro.cli(Args)
report(find(sys._getframe()))
""",
        "--lr", "0.5",
    )  # fmt: skip
    assert found["values"] == {"lr": 0.5}


# -- given by hand


@dataclass
class Model:
    width: int = 8
    shared: str = "same"


@dataclass
class Data:
    path: str = "here"
    shared: str = "same"


@dataclass
class Clashing:
    width: int = 9
    tags: list[str] = field(default_factory=list)


def test_given_arguments_win(monkeypatch):
    args = {"lr": 1}
    assert find(sys._getframe(), {"lr": 2}).values == {"lr": 2}, args


def test_several_are_merged():
    found = find(None, [Model(), Data(), types.SimpleNamespace(lr=1)])
    assert found.values == {"width": 8, "shared": "same", "path": "here", "lr": 1}
    assert found.source == "args= (Model + Data + SimpleNamespace)"


def test_several_that_disagree_are_all_kept():
    found = find(None, [Model(), Clashing(), Clashing(width=10)])
    assert found.values["Model"]["width"] == 8
    assert found.values["Clashing"]["width"] == 9
    assert found.values["Clashing-2"]["width"] == 10


@pytest.mark.parametrize("wrong", ["--lr 1", 5, [1], ["--lr", "1"], {1: 2}, Model, object()])
def test_anything_else_is_refused(wrong):
    with pytest.raises(MisuseError, match=r"args must be an argparse\.Namespace.*pass args=vars"):
        find(None, wrong)


def test_secrets_are_masked_in_the_record_and_not_for_the_program():
    given = argparse.Namespace(wandb={"api_key": "0123456789abcdef"}, max_tokens=512)
    found = find(None, given)
    assert found.values == {"wandb": {"api_key": "***"}, "max_tokens": 512}
    assert found.masked == ["wandb.api_key"]
    assert found.unmasked["wandb"]["api_key"] == "0123456789abcdef"
    assert found.secret_values() == ["0123456789abcdef"]
    assert "0123456789abcdef" not in repr(found)
