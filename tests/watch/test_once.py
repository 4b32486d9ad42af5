"""`labbook watch --once` from the outside: real files, a real worker, real results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.watch.conftest import EVALUATION, N_EXAMPLES, Lab, net


def test_every_checkpoint_gets_one_result_equal_to_a_bare_loop(lab: Lab):
    run = lab.run()
    for step in (0, 100, 200):
        run.save(step)
    run.end()
    lab.write()
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert len(run.results()) == 3
    make = torch.Generator().manual_seed(7)
    x = torch.randn(N_EXAMPLES, 3, generator=make)
    y = (x[:, 0] > 0).long()
    for step, meta in run.metas().items():
        model = net()
        model.load_state_dict(torch.load(run.paths.checkpoints / f"step-{step}.pt"))
        model.eval()
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
        rows = pq.read_table(run.paths.result("validation", meta["key"]))
        assert rows["example"].to_pylist() == list(range(N_EXAMPLES))
        assert torch.allclose(torch.tensor(rows["loss"].to_pylist()), loss)
        # the mean over rows, not the mean of the means of uneven batches
        assert meta["metrics"]["loss"] == pytest.approx(loss.double().mean().item(), rel=1e-6)
        assert meta["n_examples"] == meta["n_expected"] == N_EXAMPLES
        assert meta["coverage"] == "complete"
        assert meta["run"] == run.paths.id
        assert meta["checkpoint"]["file"] == f"checkpoints/step-{step}.pt"
    shown = [line for line in done.stdout.splitlines() if "step 200" in line]
    assert len(shown) == 1
    assert f"{N_EXAMPLES} examples" in shown[0]
    assert "loss" in shown[0]


def test_setup_and_data_run_once_and_a_second_watcher_has_nothing_to_do(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write()
    lab.once()
    assert lab.log().count("setup 4") == 1
    assert lab.log().count("data") == 1
    before = lab.log()
    again = lab.once()
    assert again.returncode == 0
    assert "0 new results" in again.stdout
    assert lab.log() == before


def test_a_file_that_fails_to_import_ends_the_watcher(lab: Lab):
    lab.run().save(1)
    lab.write("import labbook\nimport no_such_package\n")
    done = lab.once()
    assert done.returncode == 1
    assert "evaluation.py line 2: ModuleNotFoundError" in done.stderr
    assert "no_such_package" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_cut_in_half_is_named_and_the_others_are_evaluated(lab: Lab):
    run = lab.run()
    run.save(1)
    bad = run.save(2)
    run.save(3)
    os.truncate(bad, bad.stat().st_size // 2)
    lab.write()
    done = lab.once()
    assert done.returncode == 1
    assert sorted(run.metas()) == [1, 3]
    (reason,) = run.reasons()
    assert reason["state"] == "incomplete"
    assert reason["checkpoint"]["file"] == "checkpoints/step-2.pt"
    said = [line for line in done.stderr.splitlines() if "step-2.pt" in line]
    assert len(said) == 1
    assert run.paths.id in said[0]
    assert "bytes" in said[0]  # what is wrong
    assert "Save it again or remove it" in said[0]  # what to do

    run.save(2)
    mended = lab.once()
    assert mended.returncode == 0
    assert sorted(run.metas()) == [1, 2, 3]
    assert run.reasons() == []


def test_a_device_that_is_not_there(lab: Lab):
    lab.write()
    done = lab.once("--device", "cuda:63")
    assert done.returncode == 1
    assert "device 'cuda:63' cannot be used" in done.stderr


def test_an_exception_is_given_up_with_its_traceback_and_the_rest_goes_on(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(EVALUATION.replace("x, y = batch", "x, y = batch\n        1 / (context.step - 2)"))
    done = lab.once()
    assert done.returncode == 1
    assert sorted(run.metas()) == [1, 3]
    (reason,) = run.reasons()
    assert reason["state"] == "failed"
    assert "ZeroDivisionError" in reason["reason"]
    assert "evaluation.py line" in reason["reason"]
    assert "Traceback" in reason["traceback"]
    again = lab.once()
    assert again.returncode == 1  # it stands, and is not tried for ever

    retried = lab.watch(run.paths.id, verb="evaluate").finish()
    assert "given up" in retried.stderr
    assert retried.returncode == 1


def test_skip_is_recorded_and_no_failure(lab: Lab):
    run = lab.run()
    run.save(1)
    run.save(2)
    lab.write(
        EVALUATION.replace(
            "x, y = batch",
            "x, y = batch\n        if context.step == 1: raise labbook.Skip('too early\\x1b[31m')",
        )
    )
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert "skipped: too early" in done.stdout
    assert "\x1b" not in done.stdout
    (reason,) = run.reasons()
    assert reason["state"] == "skipped"
    assert sorted(run.metas()) == [2]


def test_a_result_that_is_not_finite_is_said(lab: Lab):
    run = lab.run()
    state = net().state_dict()
    state["0.weight"][:] = float("nan")
    run.save(1, state)
    lab.write()
    done = lab.once()
    assert done.returncode == 0
    assert f"non-finite: loss in {N_EXAMPLES}" in done.stdout


def test_checkpoints_elsewhere_are_found_by_the_pattern_the_run_gave(lab: Lab):
    run = lab.run()
    folder = lab.root / "ckpts"
    folder.mkdir()
    run.watch_pattern(os.path.relpath(folder / "*.pt", lab.book.root))
    torch.save(net().state_dict(), folder / "epoch=1-step=500.pt")
    torch.save(net(seed=1).state_dict(), folder / "last.pt")
    lab.write()
    done = lab.once()
    assert done.returncode == 0, done.stderr
    metas = run.metas()
    assert set(metas) == {500, None}
    assert metas[500]["checkpoint"]["external"] is True
    assert metas[500]["checkpoint"]["file"] == "../ckpts/epoch=1-step=500.pt"


def test_the_supervisor_loads_neither_torch_nor_pyarrow(lab: Lab):
    lab.run().save(1)
    lab.write()
    code = (
        "import sys\n"
        "from labbook.cli import main\n"
        "try: main(['watch', 'evaluation.py', '--once'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'torch', 'numpy', 'pyarrow', 'git'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=lab.root,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_several_evaluations_in_one_file(lab: Lab):
    run = lab.run()
    run.save(1)
    run.save(2)
    lab.write(EVALUATION + '\n@labbook.evaluation(name="again")\nclass Again(Validation): pass\n')
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert sorted(run.metas()) == sorted(run.metas("again")) == [1, 2]


def test_a_run_folder_that_cannot_be_written_is_said_once(lab: Lab):
    run = lab.run()
    run.save(1)
    run.paths.watch.write_text("a file where a folder belongs")
    lab.write()
    done = lab.once()
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "cannot be written" in line]
    assert str(run.paths.leases) in line
    assert "Traceback" not in done.stderr


def test_no_book(lab: Lab, tmp_path: Path):
    lab.write()
    done = lab.once("--book", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "no book at" in done.stderr


def test_an_unknown_policy(lab: Lab):
    done = lab.once("--policy", "latest")
    assert done.returncode == 2
    assert "policy must be newest, all or every=N" in done.stderr


def test_evaluating_what_is_no_checkpoint_of_a_run(lab: Lab, tmp_path: Path):
    lab.run().save(1)
    stranger = tmp_path / "stranger.pt"
    torch.save({}, stranger)
    done = lab.watch(str(stranger), verb="evaluate").finish()
    assert done.returncode == 1
    assert "stranger.pt is no checkpoint of a run" in done.stderr


def test_evaluating_one_checkpoint_leaves_the_others(lab: Lab):
    run = lab.run()
    path = run.save(1)
    run.save(2)
    lab.write()
    done = lab.watch(str(path), verb="evaluate").finish()
    assert done.returncode == 0, done.stderr
    assert sorted(run.metas()) == [1]
