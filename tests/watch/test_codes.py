"""Which code a run has, as the supervisor tells it from the run's conditions alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from labbook.paths import RunPaths
from labbook.watch.codes import CURRENT, Code, Refusal, code_of, content_of, folder_of
from labbook.watch.facts import RunFacts, slim
from labbook.watch.offers import Offers

TREE = "a" * 40
PATHS = RunPaths(Path("/book/runs/20260101-000001-abcdef"))


def snapshot(tree: str = TREE, **more: Any) -> dict[str, Any]:
    return {"kind": "complete", "reason": None, "tree": tree, "prefix": "", "raw": {}} | more


def conditions(**more: Any) -> dict[str, Any]:
    return {
        "host": os.uname().nodename,
        "snapshot": snapshot(),
        "script": "/home/u/project/train.py",
        "cwd": "/home/u/project",
        "environment": {"HOME": "/home/u", "PYTHONPATH": "src"},
        "packages": {"torch": "2.13.0"},
    } | more


def facts(file: Path | None = None, **more: Any) -> RunFacts:
    return RunFacts(PATHS.id, "probe", None, 0, None, {}, conditions(**more), file=file)


def test_what_the_supervisor_keeps_names_the_same_code():
    nested = {"left_out": snapshot("b" * 40), "omitted": snapshot("c" * 40, raw={"x": "d" * 40})}
    editable = {"files_of": snapshot("e" * 40, files_modified=["a"])}
    whole = facts(snapshot=snapshot(nested=nested, left_out=[1], deleted=["x"]), editable=editable)
    kept = slim(whole)
    assert folder_of(kept.conditions) == folder_of(whole.conditions)
    assert content_of(kept.conditions) == content_of(whole.conditions)
    assert "packages" not in kept.conditions
    assert kept.conditions["environment"] == {"PYTHONPATH": "src"}


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": snapshot("b" * 40)},
        {"snapshot": snapshot(raw={"a.txt": "b" * 40})},
        {"snapshot": snapshot(nested={"sub": snapshot()})},
        {"snapshot": snapshot(prefix="inner")},
        {"editable": {"other": snapshot()}},
    ],
)
def test_another_code_has_another_name(change: dict[str, Any]):
    assert content_of(conditions(**change)) != content_of(conditions())


def test_where_the_code_lay_is_no_part_of_what_it_is():
    moved = conditions(script="/elsewhere/train.py", cwd="/elsewhere")
    assert content_of(moved) == content_of(conditions())
    assert folder_of(moved) != folder_of(conditions())


def test_which_code_a_run_is_evaluated_in(tmp_path: Path):
    own = code_of(facts(tmp_path), PATHS, "run", False)
    assert isinstance(own, Code)
    assert (own.mode, own.tree, own.run_root) == ("run", TREE, PATHS.root)
    assert code_of(facts(tmp_path), PATHS, "current", False) is CURRENT
    none = code_of(facts(tmp_path, snapshot=None), PATHS, "run", False)
    assert none == CURRENT
    assert isinstance(none, Code)
    assert none.why == "no code was recorded for this run"


@pytest.mark.parametrize("hostile", [{"host": "other"}, {"host": None}])
def test_foreign_code_is_refused_unless_trusted(tmp_path: Path, hostile: dict[str, Any]):
    refused = code_of(facts(tmp_path, **hostile), PATHS, "run", False)
    assert isinstance(refused, Refusal)
    assert f"labbook restore {PATHS.id} DIR" in refused.text
    assert isinstance(code_of(facts(tmp_path, **hostile), PATHS, "run", True), Code)


@pytest.mark.parametrize("tree", ["../../etc", None, 7, "A" * 40])
def test_a_tree_of_another_shape_is_refused(tmp_path: Path, tree: Any):
    found = code_of(facts(tmp_path, snapshot=snapshot(tree)), PATHS, "run", False)
    assert isinstance(found, Refusal)


def test_offers_outlive_the_watcher_until_a_file_outside_changes(tmp_path: Path):
    file = tmp_path / "evaluation.py"
    file.write_text("one")
    code = Code("1" * 32, "run", TREE, PATHS.root)
    answer = {
        "evaluations": [{"name": "validation", "mini": 5, "code": "sha256:1", "later": "field"}],
        "outside": {"outside:evaluation.py": str(file)},
    }

    def offers() -> Offers:
        return Offers((file,), tmp_path / "cache", "run", is_trusting=False, store=tmp_path)

    first = offers()
    assert first.of(code) is None
    assert first.learn(code, answer)
    assert not first.learn(code, answer)
    again = offers().of(code)
    assert again is not None
    assert not isinstance(again, Refusal)
    ((declared, digest),) = again.evaluations
    assert (declared.name, declared.mini, digest) == ("validation", 5, "sha256:1")
    file.write_text("two")
    assert offers().of(code) is None


def test_a_refusal_holds_until_something_changes(tmp_path: Path):
    file = tmp_path / "evaluation.py"
    file.write_text("x")
    offers = Offers((file,), tmp_path / "cache", "run", is_trusting=False, store=tmp_path)
    offers.refresh()
    offers.refuse(CURRENT, "it does not import")
    offers.refresh()
    assert offers.of(CURRENT) == Refusal("it does not import")
    file.write_text("better")
    offers.refresh()
    assert offers.of(CURRENT) is None
