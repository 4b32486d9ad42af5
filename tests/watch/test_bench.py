"""What the worker makes of an evaluation file and a checkpoint: results, or what was wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest
import torch

from labbook.errors import EvaluationError
from labbook.watch.desk import message_of
from labbook.watch.program import load_program
from tests.watch.conftest import EVALUATION, N_EXAMPLES, Here, Lab, net

Make = Callable[..., Here]

WITH_BATCHES = EVALUATION.replace("def data(self", "def other(self").replace(
    "def step",
    """def batches(self, context):
        MORE
        found = self.other(context)
        for start in range(0, END, 32):
            stop = min(start + 32, END)
            yield list(range(start, stop)), found[start:stop]

    def step""",
)


def with_batches(first: str, end: int) -> str:
    return WITH_BATCHES.replace("MORE", first).replace("END", str(end))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "import labbook\nimport no_such_package\n",
            ["evaluation.py line 2", "ModuleNotFoundError", "no_such_package"],
        ),
        ("x = 1\ndef broken(:\n", ["evaluation.py line 2", "SyntaxError"]),
        ("import sys\nsys.exit('no data')\n", ["evaluation.py line 2", "SystemExit: no data"]),
        ("x = 1\n", ["has no evaluation", "@labbook.evaluation"]),
        (
            "import labbook\n@labbook.evaluation\nclass V:\n    pass\n",
            ["evaluation.py line 2", "lacks setup, step, data"],
        ),
        (
            EVALUATION + "\nclass Other(Validation): pass\n"
            "labbook.evaluation(name='validation')(Other)\n",
            ["two evaluations called 'validation'", "name="],
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_what_and_where(
    lab: Lab, here: Make, text: str, expected: list[str]
):
    with pytest.raises(EvaluationError) as raised:
        here(text)
    for words in expected:
        assert words in str(raised.value)


def test_a_file_that_is_not_there(lab: Lab):
    with pytest.raises(EvaluationError, match=r"there is no file .*nowhere.py"):
        load_program(lab.root / "nowhere.py")


def test_code_is_told_apart_by_the_users_own_files(lab: Lab, here: Make):
    (lab.root / "extra.py").write_text("THRESHOLD = 1\n")
    before = here("import extra\n" + EVALUATION).bench.code
    assert {"evaluation.py", "extra.py"} <= set(before["files"])
    assert not any("site-packages" in name for name in before["files"])


def test_an_exception_names_the_line_and_has_the_traceback(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    run.save(2)
    made = here(EVALUATION.replace("x, y = batch", "x, y = batch\n        1 / (context.step - 2)"))
    answers = made.evaluate()
    assert answers[1]["type"] == "result"
    assert answers[2]["type"] == "failed"
    assert answers[2]["kind"] == "user"
    assert "evaluation.py line" in answers[2]["text"]
    assert "ZeroDivisionError" in answers[2]["text"]
    assert "Traceback" in answers[2]["traceback"]


def test_rows_that_are_missing_are_never_published(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    made = here(with_batches("context.n_examples = 103", 96))
    answer = made.evaluate()[1]
    assert run.results() == []
    expected = "103 examples expected, 96 rows came: 7 missing (96, 97, 98, 99, 100, …)"
    assert expected in answer["text"]


def test_own_batches_are_unverified_until_they_say_how_many(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    here(with_batches("pass", 103)).evaluate()
    meta = run.metas()[1]
    assert meta["coverage"] == "unverified"
    assert meta["n_expected"] is None
    assert meta["n_examples"] == 103


def test_a_mini_set_needs_to_know_how_many_there_are(lab: Lab, here: Make):
    lab.run().save(1)
    text = with_batches("pass", 103)
    made = here(text.replace("batch_size=32", "mini=8"))
    made.evaluate()
    (failed,) = [answer for answer in made.answers if answer["type"] == "failed"]
    assert "context.n_examples" in failed["text"]


def test_a_result_that_is_not_finite_is_kept_and_counted(lab: Lab, here: Make):
    run = lab.run()
    state = net().state_dict()
    state["0.weight"][:] = float("nan")
    run.save(1, state)
    answer = here().evaluate()[1]
    meta = run.metas()[1]
    assert meta["metrics"]["loss"] is None
    assert answer["n_nonfinite"] == {"loss": N_EXAMPLES, "output": N_EXAMPLES}
    assert meta["n_examples"] == N_EXAMPLES
    json.loads(json.dumps(meta), parse_constant=pytest.fail)


FUNCTION = """
import torch
def setup(context):
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
def evaluate(model, device):
    for start in range(3):
        yield {"mean": model(torch.ones(5, 3) * start).mean(1)}
"""


def test_a_plain_function_and_weights_under_a_key_with_prefixes(lab: Lab, here: Make):
    run = lab.run()
    state = {f"module._orig_mod.{name}": value for name, value in net().state_dict().items()}
    run.save(1, {"model": state, "step": 1, "optimizer": {"state": {}, "param_groups": []}})
    here(FUNCTION).evaluate()
    (meta,) = run.metas("evaluate").values()
    assert meta["n_examples"] == 15
    assert meta["coverage"] == "unverified"


def test_weights_that_do_not_fit_are_named_key_by_key(lab: Lab, here: Make):
    run = lab.run()
    state = net(width=6).state_dict()
    state["extra"] = torch.zeros(1)
    del state["2.bias"]
    run.save(1, state)
    text = here().evaluate()[1]["text"]
    assert "missing: 2.bias" in text
    assert "unexpected: extra" in text
    assert "0.weight is [6, 3] in the checkpoint and [4, 3] in the model" in text


def test_a_mini_set_is_evaluated_everywhere_and_the_whole_set_now_and_then(lab: Lab, here: Make):
    run = lab.run()
    for step in range(1, 6):
        run.save(step)
    run.end()
    here(EVALUATION.replace("batch_size=32", "batch_size=32, mini=10, full_every=2")).evaluate()
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


def test_the_best_on_the_mini_set_is_evaluated_on_the_whole_set_too(lab: Lab, here: Make):
    run = lab.run()
    for step in (1, 2, 3, 4):
        run.save(step, _sure(1.0 if step == 2 else -1.0 - step / 10))
    bench = here(EVALUATION.replace("batch_size=32", "batch_size=32, mini=10, full_every=4"))
    bench.evaluate()  # the mini sets, and the fourth on the whole set
    [job] = bench.state().pending
    assert (job.found.step, job.subset) == (2, "full")
    bench.evaluate()
    assert bench.state().pending == []
    run.save(5, _sure(5.0))
    run.save(6, _sure(0.5))  # the last one has its full evaluation anyway
    bench.evaluate()
    [job] = bench.state().pending
    assert (job.found.step, job.subset) == (5, "full")


def _sure(factor: float) -> dict[str, torch.Tensor]:
    """Weights that look at the input that decides the class: right with a factor above 0."""
    state = {name: torch.zeros_like(value) for name, value in net().state_dict().items()}
    state["0.weight"][0, 0] = 1.0
    state["2.weight"][:, 0] = torch.tensor([-factor, factor])
    return state


def test_runs_with_other_arguments_get_a_model_of_their_own(lab: Lab, here: Make):
    first, second = lab.run(1, width=4), lab.run(2, width=6)
    first.save(10)
    second.save(10, net(width=6).state_dict())
    here().evaluate()
    assert len(first.results()) == len(second.results()) == 1
    assert {line for line in lab.log() if line.startswith("setup")} == {"setup 4", "setup 6"}


def test_the_same_key_is_published_once(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    made = here()
    (job,) = made.state().pending
    made.bench.take(message_of(job, job.found.path))
    first = job.result.stat()
    made.bench.take(message_of(job, job.found.path))
    assert made.answers[-1]["published"] is False
    assert (job.result.stat().st_ino, job.result.stat().st_mtime_ns) == (
        first.st_ino,
        first.st_mtime_ns,
    )


def test_a_checkpoint_rewritten_after_the_claim_gives_no_result(lab: Lab, here: Make):
    run = lab.run()
    path = run.save(1)
    made = here()
    (job,) = made.state().pending
    torch.save(net(seed=9).state_dict(), path)
    made.bench.take(message_of(job, path))
    assert made.answers[-1]["kind"] == "load"
    assert "written again" in made.answers[-1]["text"]
    assert run.results() == []


def test_a_flipped_bit_is_found_before_the_weights_are_used(lab: Lab, here: Make):
    run = lab.run()
    path = run.save(1)
    raw = bytearray(path.read_bytes())
    weights = net(seed=1).state_dict()["0.weight"].numpy().tobytes()
    raw[raw.index(weights)] ^= 1
    path.write_bytes(raw)
    run.sidecar(path, 1)
    torch.load(path, weights_only=True)  # torch does not notice
    answer = here().evaluate()[1]
    assert answer["kind"] == "load"
    assert "does not match its checksum" in answer["text"]


def test_an_evaluation_leaves_the_weights_and_its_own_rng_alone(lab: Lab, here: Make):
    """Two evaluations of the same content under different names agree to the bit."""
    run = lab.run()
    run.save(1, seed=3)
    noisy = EVALUATION.replace(
        "out = context.model(x)", "out = context.model(x) + torch.rand(len(x), 2)"
    )
    here(noisy).evaluate()
    other = lab.run(2)
    other.save(2, seed=3)
    here(noisy).evaluate()
    first, second = (pq.read_table(each.results()[0])["output"] for each in (run, other))
    assert first.equals(second)


def test_running_out_of_memory_halves_the_batch_once(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    here(
        EVALUATION.replace(
            "x, y = batch",
            "x, y = batch\n        if len(x) > 16: raise torch.OutOfMemoryError('CUDA')",
        )
    ).evaluate()
    meta = run.metas()[1]
    assert meta["settings"]["batch_size"] == 32
    assert meta["settings"]["batch_size_used"] == 16
    assert meta["n_examples"] == N_EXAMPLES
    assert any("batch size of 16" in warning for warning in meta["warnings"])


def test_user_methods_replace_the_defaults(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    here(
        EVALUATION
        + """
    def load(self, context, path):
        state = torch.load(path, weights_only=True)
        context.model.load_state_dict(state)
        tell("loaded", path.name)

    def reduce(self, rows):
        return {"worst": rows["loss"].max()}

    def collate(self, items):
        tell("collated")
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
"""
    ).evaluate()
    assert lab.log().count("loaded step-1.pt") == 1
    assert lab.log().count("collated") == 4
    meta = run.metas()[1]
    rows = pq.read_table(run.results()[0])
    assert meta["metrics"] == {"worst": pytest.approx(max(rows["loss"].to_pylist()))}


def test_a_loss_that_was_averaged_already_is_refused(lab: Lab, here: Make):
    lab.run().save(1)
    answer = here(EVALUATION.replace('reduction="none"', 'reduction="mean"')).evaluate()[1]
    assert "column 'loss' has shape () for a batch of 32" in answer["text"]
    assert 'reduction="none"' in answer["text"]


def test_code_imported_while_it_runs_is_recorded_and_said(lab: Lab, here: Make):
    run = lab.run()
    run.save(1)
    run.save(2)
    (lab.root / "extra.py").write_text("THRESHOLD = 1\n")
    here(EVALUATION.replace("x, y = batch", "x, y = batch\n        import extra")).evaluate()
    for meta in run.metas().values():
        assert meta["code"]["imported"] != meta["code"]["digest"]
        assert any("imported while it ran" in warning for warning in meta["warnings"])
