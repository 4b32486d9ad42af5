"""Finding checkpoints: registered, orphaned, elsewhere; hardly any work when nothing changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch

from labbook.errors import AmbiguousRun, RunNotFound
from labbook.watch.discover import Scanner
from labbook.watch.facts import read_facts, resolve_run, step_of
from labbook.watch.hints import Hints
from tests.watch.conftest import Lab, net

LATER = 20_000_000_000


def names(scanner: Scanner, after_ns: int = 0) -> dict[str, list[str]]:
    scenes = scanner.scan(time.time_ns() + after_ns)
    return {scene.facts.id: [found.file for found in scene.checkpoints] for scene in scenes}


def test_registered_checkpoints_come_in_the_order_of_steps(lab: Lab):
    run = lab.run()
    for step in (100, 20, 3):
        run.save(step)
    expected = [f"checkpoints/step-{step}.pt" for step in (3, 20, 100)]
    assert names(Scanner(lab.book)) == {run.paths.id: expected}


def test_a_file_whose_sidecar_never_came_is_adopted_after_a_while(lab: Lab):
    """The training was killed between the two renames."""
    run = lab.run()
    path = run.save(7)
    path.with_name(f"{path.name}.json").unlink()
    scanner = Scanner(lab.book)
    assert names(scanner) == {run.paths.id: []}
    assert names(scanner, LATER) == {run.paths.id: ["checkpoints/step-7.pt"]}
    (scene,) = scanner.scan(time.time_ns() + LATER)
    assert (scene.checkpoints[0].step, scene.checkpoints[0].size) == (7, None)


def test_temporary_files_and_damaged_sidecars_are_not_checkpoints(lab: Lab):
    run = lab.run()
    (run.paths.checkpoints / "step-1.tmp").write_bytes(b"x")
    (run.paths.checkpoints / ".hidden").write_bytes(b"x")
    (run.paths.checkpoints / "broken.json").write_text("{")
    (run.paths.checkpoints / "out.json").write_text('{"file": "../../../../etc/passwd"}')
    assert names(Scanner(lab.book), LATER) == {run.paths.id: []}


def test_nothing_is_read_again_when_nothing_changed(lab: Lab):
    run = lab.run()
    run.save(1)
    scanner = Scanner(lab.book)
    later = time.time_ns() + LATER
    (first,) = scanner.scan(later)
    (second,) = scanner.scan(later)
    assert first is second
    run.save(2)
    (third,) = scanner.scan(later)
    assert [found.step for found in third.checkpoints] == [1, 2]


def test_a_run_that_ends_and_is_renamed_is_seen(lab: Lab):
    run = lab.run()
    scanner = Scanner(lab.book)
    later = time.time_ns() + LATER
    assert not scanner.scan(later)[0].facts.is_over
    run.end()
    assert scanner.scan(later)[0].facts.is_over
    fact = {"fact": "name", "name": "better", "time_ns": 5}
    (run.paths.meta / "name-1.json").write_text(json.dumps(fact))
    looks = [scanner.scan(later)[0].facts.name for _ in range(5)]  # nothing urgent any more
    assert looks[-1] == "better"


def test_a_checkpoint_added_to_a_run_that_is_over_is_found_within_some_looks(lab: Lab):
    run = lab.run()
    run.save(1)
    run.end()
    scanner = Scanner(lab.book)
    names(scanner, LATER)
    run.save(2)
    looks = [names(scanner, LATER)[run.paths.id] for _ in range(5)]
    assert looks[-1] == ["checkpoints/step-1.pt", "checkpoints/step-2.pt"]


def test_a_run_that_comes_and_one_that_goes(lab: Lab):
    first = lab.run(1)
    scanner = Scanner(lab.book)
    assert set(names(scanner, LATER)) == {first.paths.id}
    second = lab.run(2)
    assert set(names(scanner, LATER)) == {first.paths.id, second.paths.id}
    first.paths.root.rename(lab.root / "trashed")
    assert set(names(scanner, LATER)) == {second.paths.id}


def test_a_file_elsewhere_belongs_to_the_run_that_was_training(lab: Lab):
    folder = lab.root / "ckpts"
    folder.mkdir()
    pattern = os.path.relpath(folder / "*.pt", lab.book.root)
    runs = [lab.run(1), lab.run(2)]
    for number, run in enumerate(runs):
        row = json.loads(run.paths.run_json.read_text())
        row["created_ns"] = (1_000 + number * 100) * 10**9
        run.paths.run_json.write_text(json.dumps(row))
        run.watch_pattern(pattern)
    for name, seconds in (("before", 900), ("one", 1_050), ("two", 1_150)):
        torch.save(net().state_dict(), folder / f"{name}.pt")
        os.utime(folder / f"{name}.pt", ns=(seconds * 10**9, seconds * 10**9))
    found = names(Scanner(lab.book))
    assert found == {
        runs[0].paths.id: ["../ckpts/one.pt"],
        runs[1].paths.id: ["../ckpts/two.pt"],
    }


def test_only_folders_of_checkpoints_are_watched_and_never_a_journal(lab: Lab):
    live, over = lab.run(1), lab.run(2)
    over.end()
    folder = lab.root / "ckpts"
    folder.mkdir()
    live.watch_pattern(os.path.relpath(folder / "*.pt", lab.book.root))
    inside = {"fact": "watch", "pattern": f"runs/{live.paths.id}/journal/*.pt", "time_ns": 1}
    (live.paths.meta / "watch-2.json").write_text(json.dumps(inside))
    scanner = Scanner(lab.book)
    scanner.scan(time.time_ns())
    assert scanner.folders() == [live.paths.checkpoints, folder]


def test_hints_refuse_a_folder_with_a_journal(lab: Lab):
    run = lab.run()
    read_end, write_end = os.pipe()
    hints = Hints(write_end)
    try:
        hints.watch([run.paths.journal, run.paths.checkpoints])
        (run.paths.journal / "r0-aaaaaa-0.lbj").write_bytes(b"logged")
        os.rename(_file(run.paths.root / "new"), run.paths.checkpoints / "new")
        assert os.read(read_end, 100) == b"e"
        assert set(hints._watches) == {run.paths.checkpoints}
    finally:
        hints.close()
        os.close(read_end)
        os.close(write_end)


def _file(path: Path) -> Path:
    path.touch()
    return path


def test_facts_of_the_newest_attempt_and_rank_zero(lab: Lab):
    run = lab.run(width=4)
    second = run.paths.attempts / "2"
    second.mkdir()
    for rank, width in ((1, 99), (0, 8)):
        row = {"rank": rank, "arguments": {"values": {"width": width}}}
        (second / f"r{rank}-bbbbbb.json").write_text(json.dumps(row))
    facts = read_facts(run.paths)
    assert facts is not None
    assert facts.arguments == {"width": 8}
    assert not facts.is_over


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-100.pt", 100), ("epoch=3-step=1200.ckpt", 1200), ("checkpoint-500", 500),
        ("model_0042.safetensors", 42), ("last.pt", None), ("iter_7000", 7000), ("v2.7.pt", 7),
    ],
)  # fmt: skip
def test_steps_in_names(name: str, step: int | None):
    assert step_of(name) == step


def test_runs_by_id_prefix_and_name(lab: Lab):
    first, second = lab.run(1, name="one"), lab.run(2, name="two")
    assert resolve_run(lab.book, first.paths.id) == first.paths.id
    assert resolve_run(lab.book, "20260101-000002") == second.paths.id
    assert resolve_run(lab.book, "two") == second.paths.id
    with pytest.raises(AmbiguousRun, match="is 2 runs"):
        resolve_run(lab.book, "2026")
    with pytest.raises(RunNotFound, match=r"no run 'three' .* the newest are"):
        resolve_run(lab.book, "three")
