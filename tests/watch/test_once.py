"""`labbook watch --once` from the outside: real files, a real worker, real results."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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


def test_runs_with_other_arguments_get_a_model_of_their_own(lab: Lab):
    first, second = lab.run(1, width=4), lab.run(2, width=6)
    first.save(10)
    second.save(10, net(width=6).state_dict())
    lab.write()
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert len(first.results()) == len(second.results()) == 1
    assert {line for line in lab.log() if line.startswith("setup")} == {"setup 4", "setup 6"}


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "import labbook\nimport no_such_package\n",
            ["evaluation.py line 2", "ModuleNotFoundError", "no_such_package"],
        ),
        ("x = 1\ndef broken(:\n", ["evaluation.py line 2", "SyntaxError"]),
        ("x = 1\n", ["has no evaluation", "@labbook.evaluation"]),
        (
            "import labbook\n@labbook.evaluation\nclass V:\n    pass\n",
            ["evaluation.py line 2", "lacks setup, step, data"],
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_what_and_where(lab: Lab, text: str, expected: list[str]):
    lab.run().save(1)
    lab.write(text)
    done = lab.once()
    assert done.returncode == 1
    for words in expected:
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there(lab: Lab):
    done = lab.once("nowhere.py")
    assert done.returncode == 1
    assert "there is no file" in done.stderr
    assert "nowhere.py" in done.stderr


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


def test_rows_that_are_missing_are_never_published(lab: Lab):
    run = lab.run()
    run.save(1)
    lab.write(
        EVALUATION.replace("def data(self", "def other(self").replace(
            "def step",
            """def batches(self, context):
        context.n_examples = 103
        found = self.other(context)
        for start in range(0, 96, 32):
            yield list(range(start, start + 32)), found[start:start + 32]

    def step""",
        )
    )
    done = lab.once()
    assert done.returncode == 1
    assert run.results() == []
    assert "103 examples expected, 96 rows came: 7 missing (96, 97, 98, 99, 100, …)" in done.stderr


def test_a_result_that_is_not_finite_is_kept_counted_and_said(lab: Lab):
    run = lab.run()
    state = net().state_dict()
    state["0.weight"][:] = float("nan")
    run.save(1, state)
    lab.write()
    done = lab.once()
    assert done.returncode == 0
    meta = run.metas()[1]
    assert meta["metrics"]["loss"] is None
    assert meta["n_nonfinite"] == {"loss": N_EXAMPLES, "output": N_EXAMPLES}
    assert meta["n_examples"] == N_EXAMPLES
    assert f"non-finite: loss in {N_EXAMPLES}" in done.stdout
    json.loads(json.dumps(meta), parse_constant=pytest.fail)


def test_a_plain_function_and_weights_under_a_key_with_prefixes(lab: Lab):
    run = lab.run()
    state = {f"module._orig_mod.{name}": value for name, value in net().state_dict().items()}
    run.save(1, {"model": state, "step": 1, "optimizer": {"state": {}, "param_groups": []}})
    lab.write(
        "import torch\n"
        "def setup(context):\n"
        f"    return torch.nn.Sequential(torch.nn.Linear(3, {4}), torch.nn.Dropout(0.5),"
        " torch.nn.Linear(4, 2))\n"
        "def evaluate(model, device):\n"
        "    for start in range(3):\n"
        "        yield {'mean': model(torch.ones(5, 3) * start).mean(1)}\n"
    )
    done = lab.once()
    assert done.returncode == 0, done.stderr
    (meta,) = run.metas("evaluate").values()
    assert meta["n_examples"] == 15
    assert meta["coverage"] == "unverified"


def test_weights_that_do_not_fit_are_named_key_by_key(lab: Lab):
    run = lab.run()
    state = net(width=6).state_dict()
    state["extra"] = torch.zeros(1)
    del state["2.bias"]
    run.save(1, state)
    lab.write()
    done = lab.once()
    assert done.returncode == 1
    (reason,) = run.reasons()
    assert "missing: 2.bias" in reason["reason"]
    assert "unexpected: extra" in reason["reason"]
    assert "0.weight is [6, 3] in the checkpoint and [4, 3] in the model" in reason["reason"]


def test_a_mini_set_is_evaluated_everywhere_and_the_whole_set_now_and_then(lab: Lab):
    run = lab.run()
    for step in range(1, 6):
        run.save(step)
    run.end()
    lab.write(EVALUATION.replace("batch_size=32", "batch_size=32, mini=10, full_every=2"))
    assert lab.once().returncode == 0
    subsets: dict[str, set[int]] = {"mini": set(), "full": set()}
    ids = set()
    for path in run.results():
        table = pq.read_table(path)
        meta = json.loads(table.schema.metadata[b"labbook"])
        subsets[meta["subset"]].add(meta["checkpoint"]["step"])
        if meta["subset"] == "mini":
            ids.add(tuple(table["example"].to_pylist()))
    assert subsets == {"mini": {1, 2, 3, 4, 5}, "full": {2, 4, 5}}
    assert len(ids) == 1
    assert len(ids.pop()) == 10


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
