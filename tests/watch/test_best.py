"""`labbook best`: text, JSON, export and retention advice, of real results by a real worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner, Result

from labbook.cli import main
from tests.watch.conftest import EVALUATION, Here, Lab, Run, net

Make = Callable[..., Here]

MINI = EVALUATION.replace("batch_size=32", "batch_size=32, mini=20, full_every=3")


def called(lab: Lab, *words: str) -> Result:
    return CliRunner().invoke(main, [words[0], "--book", str(lab.book.root), *words[1:]])


@pytest.fixture
def run(lab: Lab, here: Make) -> Run:
    made = lab.run()
    for step in range(1, 6):
        made.save(step)
    made.end()
    here().evaluate()
    return made


def by_hand(run: Run) -> dict[int, float]:
    return {step: meta["metrics"]["loss"] for step, meta in run.metas().items()}


def test_the_best_is_shown_first(lab: Lab, run: Run):
    found = called(lab, "best", run.paths.id, "--metric", "loss", "--top", "3")
    assert found.exit_code == 0, found.output
    losses = by_hand(run)
    best = min(losses, key=losses.__getitem__)
    lines = found.output.splitlines()
    assert lines[0] == "validation.loss on the full set, less is better, 5 checkpoints"
    assert lines[2].split() == [
        "step",
        "loss",
        "±",
        "stderr",
        "examples",
        "minus",
        "the",
        "best",
        "file",
    ]
    assert lines[3].split() == [
        str(best), f"{losses[best]:.4g}", lines[3].split()[2], "103", "best",
        f"checkpoints/step-{best}.pt",
    ]  # fmt: skip
    assert "… and 2 more (--top 5)" in lines
    assert f"best: step {best}, loss {losses[best]:.4g}" in lines


def test_json_has_all_of_it(lab: Lab, run: Run):
    found = json.loads(called(lab, "best", run.paths.id, "-m", "loss", "--json").output)
    losses = by_hand(run)
    ordered = sorted(losses, key=losses.__getitem__)
    assert [row["step"] for row in found["results"]] == ordered
    assert found["best_step"] == ordered[0]
    assert (found["mode"], found["subset"], found["metric"]) == ("min", "full", "loss")
    first, second = found["results"][:2]
    assert first["against_best"] is None
    gap = second["against_best"]
    assert gap["difference"] == pytest.approx(second["value"] - first["value"])
    assert gap["n"] == 103
    assert gap["low"] <= gap["difference"] <= gap["high"]
    assert gap["is_noise"] == (gap["low"] <= 0)


def test_a_metric_that_is_clear_need_not_be_named(lab: Lab, run: Run):
    assert "validation.correct on the full set" in called(lab, "best", run.paths.id).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["-m", "los"],
            "no result has a metric 'los'; there are validation.correct, validation.loss",
        ),
        (["-m", "loss", "--subset", "mini"], "validation has no results on the mini set"),
        (["-m", "loss", "--evaluation", "test"], "no evaluation 'test'; there are validation"),
    ],
)
def test_what_is_asked_wrongly(lab: Lab, run: Run, words: list[str], told: str):
    found = called(lab, "best", run.paths.id, *words)
    assert found.exit_code == 2
    assert told in found.output


def test_a_run_without_results(lab: Lab):
    made = lab.run()
    made.save(1)
    for words in ([], ["-m", "loss"]):
        found = called(lab, "best", made.paths.id, *words)
        assert found.exit_code == 1
        assert "no checkpoint of this run has a result yet" in found.output


def test_nothing_finite(lab: Lab, here: Make, tmp_path: Path):
    made = lab.run()
    state = net().state_dict()
    state["0.weight"][:] = float("nan")
    made.save(1, state)
    here().evaluate()
    found = called(lab, "best", made.paths.id, "-m", "loss")
    assert "no result has a finite loss: there is no best" in found.output
    refused = called(lab, "best", made.paths.id, "-m", "loss", "--export", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "nothing to export" in refused.output


def test_show_says_the_best_and_where_the_newest_stands(lab: Lab, run: Run):
    losses = by_hand(run)
    best = min(losses, key=losses.__getitem__)
    shown = " ".join(called(lab, "show", run.paths.id).output.split())
    assert f"best validation.loss: {losses[best]:.4g} ± " in shown
    assert f"at step {best}; step 5 minus step " in shown
    assert "(paired, n 103" in shown
    told = json.loads(called(lab, "show", run.paths.id, "--json").output)["best"]
    (loss,) = [each for each in told if each["metric"] == "loss"]
    assert loss["best_step"] == best
    assert loss["newest_step"] == 5
    before = min((step for step in losses if step != 5), key=losses.__getitem__)
    assert loss["previous_best_step"] == before
    difference = loss["against_previous_best"]["difference"]
    assert difference == pytest.approx(losses[5] - losses[before])


# -- export -------------------------------------------------------------------------------------


def test_the_best_is_exported_and_replaced_by_a_better_one(
    lab: Lab,
    run: Run,
    here: Make,
    tmp_path: Path,
):
    out = tmp_path / "out"
    losses = by_hand(run)
    best = min(losses, key=losses.__getitem__)
    found = called(lab, "best", run.paths.id, "-m", "loss", "--export", str(out), "--json")
    path = Path(json.loads(found.output)["exported"])
    original = run.paths.checkpoints / f"step-{best}.pt"
    assert path.read_bytes() == original.read_bytes()
    facts = json.loads((out / "best.json").read_text())
    assert facts["file"] == path.name
    assert (facts["step"], facts["metric"], facts["n_examples"]) == (best, "loss", 103)
    assert facts["value"] == losses[best]
    assert facts["stderr"] == pytest.approx(run.metas()[best]["stderr"]["loss"])
    assert facts["digest"] == run.metas()[best]["checkpoint"]["digest"]

    again = called(lab, "best", run.paths.id, "-m", "loss", "--export", str(out))
    assert again.exit_code == 0, again.output
    assert {each.name for each in out.iterdir()} == {"best.json", path.name}

    before = original.read_bytes()
    (out / facts["file"]).write_bytes(b"the user's own")
    assert original.read_bytes() == before
    other = called(lab, "best", run.paths.id, "-m", "loss", "--mode", "max", "--export", str(out))
    assert other.exit_code == 0, other.output
    facts = json.loads((out / "best.json").read_text())
    assert facts["step"] == max(losses, key=losses.__getitem__)
    assert {each.name for each in out.iterdir()} == {"best.json", facts["file"]}
    assert original.exists()


def test_a_checkpoint_that_was_written_again_is_not_exported(
    lab: Lab,
    run: Run,
    tmp_path: Path,
):
    out = tmp_path / "out"
    losses = by_hand(run)
    best = min(losses, key=losses.__getitem__)
    torch.save(net(seed=99).state_dict(), run.paths.checkpoints / f"step-{best}.pt")
    found = called(lab, "best", run.paths.id, "-m", "loss", "--export", str(out))
    assert found.exit_code == 1
    assert "was written again after it had been evaluated" in found.output
    assert list(out.iterdir()) == []

    (run.paths.checkpoints / f"step-{best}.pt").unlink()
    found = called(lab, "best", run.paths.id, "-m", "loss", "--export", str(out))
    assert "is not there any more" in found.output


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"thesis.tex": "x"}, "holds thesis.tex and no best.json: name an empty folder"),
        ({"best.json": "{"}, "best.json cannot be read"),
    ],
)
def test_a_folder_of_something_else_is_left_alone(
    lab: Lab,
    run: Run,
    tmp_path: Path,
    content: dict[str, str],
    told: str,
):
    out = tmp_path / "out"
    out.mkdir()
    for name, text in content.items():
        (out / name).write_text(text)
    found = called(lab, "best", run.paths.id, "-m", "loss", "--export", str(out))
    assert found.exit_code != 0
    assert told in found.output
    assert {each.name: each.read_text() for each in out.iterdir()} == content


def test_best_json_removes_nothing_that_lies_elsewhere(
    lab: Lab,
    run: Run,
    tmp_path: Path,
):
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("mine")
    out.mkdir()
    (out / "best.json").write_text(json.dumps({"file": "../victim"}))
    found = called(lab, "best", run.paths.id, "-m", "loss", "--export", str(out))
    assert found.exit_code == 0, found.output
    assert victim.read_text() == "mine"


# -- retention ----------------------------------------------------------------------------------


def advice(lab: Lab, run: Run, *words: str) -> dict[int, str | None]:
    found = called(lab, "best", run.paths.id, "-m", "loss", "--retention", "--json", *words)
    assert found.exit_code == 0, found.output
    return {
        each["step"]: None if each["could_be_removed"] else each["why"]
        for each in json.loads(found.output)["retention"]
    }


def test_what_is_evaluated_and_not_among_the_best_could_be_removed(lab: Lab, run: Run):
    losses = by_hand(run)
    best = sorted(losses, key=losses.__getitem__)[:2]
    told = advice(lab, run, "--top", "2")
    assert told[5] == "the last one"
    for step in set(losses) - {5}:
        assert told[step] == ("among the best by validation.loss" if step in best else None)
    text = called(lab, "best", run.paths.id, "-m", "loss", "--retention", "--top", "2").output
    n = sum(each is None for each in told.values())
    assert f"{n} of 5 could be removed" in text
    assert "nothing was" in text
    assert len(list(run.paths.checkpoints.glob("*.pt"))) == 5


def test_what_lacks_a_result_is_kept(lab: Lab, run: Run):
    (path,) = [p for p in run.results() if p.stem == run.metas()[2]["key"]]
    path.unlink()
    assert advice(lab, run, "--top", "1")[2] == "no result: validation"


def test_a_checkpoint_needs_the_lanes_that_are_its_own(lab: Lab, here: Make):
    made = lab.run()
    for step in range(1, 7):
        made.save(step)
    made.end()
    here(MINI).evaluate()
    told = advice(lab, made, "--subset", "full", "--top", "1")
    # in full: each third, and the last; the others need no more than their mini result
    assert sum(each is None for each in told.values()) in {4, 5}
    for path in made.results():
        if json.loads(pq.read_schema(path).metadata[b"labbook"])["subset"] == "mini":
            path.unlink()
    told = advice(lab, made, "--top", "1")
    assert told[1] == "no result: validation (mini)"
