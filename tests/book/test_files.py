from __future__ import annotations

import json
import math
import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labbook.errors import DamagedFile


def result(run, key: str, step: int | None, *, evaluation: str = "Validation", **more):
    """A result as a watcher writes it."""
    path = run.paths.result(evaluation, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {
        "format": 1,
        "run": run.paths.id,
        "evaluation": evaluation,
        "key": key,
        "checkpoint": {"file": f"checkpoints/step-{step}.pt", "digest": "sha256:0", "step": step},
        "subset": "full",
        "coverage": "complete",
        "n_examples": 2,
        "n_expected": 2,
        "metrics": {"loss": 1.5, "accuracy": None},
        "stderr": {"loss": 0.5},
        **more,
    }
    table = pa.table({"example": pa.array([0, 1], pa.int64()), "loss": pa.array([1.0, 2.0])})
    pq.write_table(table.replace_schema_metadata({b"labbook": json.dumps(meta)}), path)
    os.utime(run.paths.root)
    return path


def checkpoint(run, name: str, **facts):
    """A sidecar as the client writes it."""
    run.paths.checkpoints.mkdir(exist_ok=True)
    about = {"format": 1, "file": f"checkpoints/{name}", "step": 1, "size": 3, "digest": "sha256:1"}
    about |= {"time_ns": 5, "kind": "torch", **facts}
    (run.paths.checkpoints / f"{name}.json").write_text(json.dumps(about))


def test_results_by_evaluation_and_step(make):
    run = make()
    reader = run.read()
    assert reader.results() == []
    result(run, "k2", 200)
    result(run, "k1", 100)
    result(run, "k0", None)
    result(run, "k3", 50, evaluation="Robustness", metrics={"loss": 9.0})
    assert reader.refresh()
    assert not reader.refresh()
    found = reader.results()
    assert [(r.evaluation, r.step) for r in found] == [
        ("Robustness", 50),
        ("Validation", 100),
        ("Validation", 200),
        ("Validation", None),
    ]
    assert [r.key for r in reader.results("Validation")] == ["k1", "k2", "k0"]
    one = reader.results("Validation")[0]
    assert one.metrics["loss"] == 1.5
    assert math.isnan(one.metrics["accuracy"])
    assert (one.n_examples, one.n_expected, one.subset, one.coverage) == (2, 2, "full", "complete")
    assert one.rows()["example"].to_pylist() == [0, 1]
    assert reader.summary().n_results == 4


def test_the_summary_shows_the_newest_step(make):
    run = make()
    result(run, "k1", 100, metrics={"loss": 1.0})
    result(run, "k2", 200, metrics={"loss": 0.5})
    result(run, "k0", None, metrics={"loss": 7.0})
    assert run.read().summary().results == {"Validation": {"loss": 0.5}}


def test_a_result_that_cannot_be_read_is_named(make, book):
    run = make()
    path = result(run, "k1", 100)
    result(run, "k2", 200)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedFile, match=r"k1\.parquet"):
        run.read().results()
    reader = run.read()
    assert [r.key for r in reader.results(strict=False)] == ["k2"]
    assert "k1.parquet" in reader.damage[0]
    assert book.summaries()[0].n_results == 1


@pytest.mark.parametrize("meta", [b"", b"[]", b'{"format": 99}', b'{"format": "x"}', b"\xff"])
def test_a_parquet_file_that_is_no_result_is_named(make, meta):
    run = make()
    path = result(run, "k1", 100)
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({b"labbook": meta}), path)
    with pytest.raises(DamagedFile, match="is not a result"):
        run.read().results()


def test_reasons(make):
    run = make()
    run.paths.reasons.mkdir(parents=True)
    (run.paths.reasons / "k.json").write_text('{"reason": "out of memory", "state": "failed"}')
    (run.paths.reasons / "bad.json").write_text("{")
    (run.paths.reasons / ".half.json").write_text("{")
    assert run.read().reasons() == [{"reason": "out of memory", "state": "failed", "key": "k"}]


def test_checkpoints_by_step(make, paths):
    run = make()
    checkpoint(run, "step-20.pt", step=20)
    checkpoint(run, "step-3.pt", step=3)
    checkpoint(run, "best.pt", step=None, file="../ckpts/best.pt", external=True)
    found = run.read().checkpoints()
    assert [c.step for c in found] == [3, 20, None]
    assert found[0].path == run.paths.checkpoints / "step-3.pt"
    assert not found[0].external
    assert found[2].path == paths.root.parent / "ckpts" / "best.pt"
    assert found[2].external


@pytest.mark.parametrize("file", ["../../../etc/passwd", "/etc/passwd", "a/../../x", "", 3, "a\0b"])
def test_a_checkpoint_of_the_runs_own_cannot_lie_elsewhere(make, file):
    run = make()
    checkpoint(run, "evil.pt", file=file)
    checkpoint(run, "good.pt")
    reader = run.read()
    assert [c.file for c in reader.checkpoints()] == ["checkpoints/good.pt"]
    assert "evil.pt.json" in reader.damage[0]


def test_a_checkpoint_cannot_lie_behind_a_link(make, tmp_path):
    run = make()
    run.paths.checkpoints.mkdir()
    (tmp_path / "secret").write_text("x")
    (run.paths.checkpoints / "evil.pt").symlink_to(tmp_path / "secret")
    checkpoint(run, "evil.pt")
    reader = run.read()
    assert reader.checkpoints() == []
    assert "not in the run's folder" in reader.damage[0]


def test_watched_files_of_the_runs_time_are_checkpoints(make, paths):
    run = make()
    folder = paths.root.parent / "ckpts"
    folder.mkdir()
    (folder / "old.pt").write_text("from an earlier run")
    os.utime(folder / "old.pt", (1, 1))
    run.process()
    run.fact("watch", pattern="../ckpts/*.pt")
    reader = run.read()
    assert reader.checkpoints() == []
    (folder / "new.pt").write_text("new")
    (folder / "registered.pt").write_text("new")
    checkpoint(run, "r", file="../ckpts/registered.pt", external=True, step=4)
    run.end(ended_ns=time.time_ns())
    (folder / "later.pt").write_text("by the next run")
    os.utime(folder / "later.pt", (time.time() + 60, time.time() + 60))
    assert reader.refresh()
    found = {c.path.name: (c.step, c.digest, c.external) for c in reader.checkpoints()}
    assert found == {"registered.pt": (4, "sha256:1", True), "new.pt": (None, None, True)}
