"""Ready-made evaluations, evaluations with a loop of their own, and the sets that a run follows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import labbook
from labbook.errors import MisuseError
from labbook.watch.evaluation import declaration
from tests.watch.conftest import EVALUATION, Here, Lab, net

Make = Callable[..., Here]


def answered(lab: Lab, made: Here, state: object | None = None) -> dict:
    lab.run().save(1, state)
    return made.evaluate()[1]


def result_of(lab: Lab, name: str) -> tuple[dict, dict[str, list]]:
    (path,) = lab.book.run(lab.book.run_ids()[0]).evaluations.joinpath(name).glob("*.parquet")
    table = pq.read_table(path)
    return json.loads(table.schema.metadata[b"labbook"]), table.to_pydict()


# -- classification -----------------------------------------------------------------------------

THREE_LINES = """
import torch
from torch.utils.data import TensorDataset
def digits():
    make = torch.Generator().manual_seed(7)
    x = torch.randn(103, 3, generator=make)
    return TensorDataset(x, (x[:, 0] > 0).long())
def network(width):
    return torch.nn.Sequential(
        torch.nn.Linear(3, width), torch.nn.Dropout(0.5), torch.nn.Linear(width, 2))

import labbook
validation = labbook.evaluation.classification(digits(), lambda args: network(args.width))
"""


def test_a_classifier_in_three_lines_agrees_with_a_loop_by_hand(lab: Lab, here: Make):
    made = here(THREE_LINES)
    assert answered(lab, made)["type"] == "result"
    meta, rows = result_of(lab, "validation")
    model = net(seed=1).eval()
    x, y = made.program.module_of("validation").digits().tensors
    with torch.no_grad():
        out = model(x)
    loss = torch.nn.functional.cross_entropy(out, y, reduction="none")
    assert torch.allclose(torch.tensor(rows["loss"]), loss)
    assert rows["prediction"] == out.argmax(1).tolist()
    assert rows["label"] == y.tolist()
    assert torch.allclose(torch.tensor(rows["confidence"]), out.softmax(1).max(1).values)
    assert set(rows) == {"example", "loss", "accuracy", "label", "prediction", "confidence"}
    # the mean of labels is no metric
    assert meta["metrics"] == {
        "loss": pytest.approx(loss.mean().item(), rel=1e-6),
        "accuracy": pytest.approx((out.argmax(1) == y).float().mean().item()),
    }
    assert meta["stderr"].keys() == meta["metrics"].keys()
    assert meta["metrics_source"] == "rows"
    assert meta["coverage"] == "complete"
    assert meta["probes"]["found"] == []


def test_a_classifier_of_mappings_with_logits_and_options(lab: Lab, here: Make):
    text = (
        THREE_LINES
        + """
class Named(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = network(4)
    def forward(self, pixels):
        return {"logits": self.inner(pixels)}
def examples(args):
    x, y = digits().tensors
    return [{"pixels": x[n], "labels": y[n]} for n in range(args.width)]
named = labbook.evaluation.classification(
    examples, lambda args: Named(), name="named", outputs=True, batch_size=3)
"""
    )
    state = {f"inner.{name}": value for name, value in net(seed=1).state_dict().items()}
    run = lab.run()
    run.save(1, state)
    here(text.replace("validation = ", "")).evaluate()
    assert run.results() == []
    meta, rows = result_of(lab, "named")
    assert meta["settings"]["batch_size"] == 3
    assert len(rows["output"]) == 4
    assert len(rows["output"][0]) == 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("[torch.zeros(3)] * 4", "each example must be (input, label) or a mapping with 'label'"),
        ("[{'x': torch.zeros(3)}] * 4", "have no 'label' or 'labels', but x"),
        ("[(torch.zeros(3), torch.zeros(2))] * 4", "it takes logits (N, classes) and class"),
    ],
)
def test_what_is_no_classification(lab: Lab, here: Make, data: str, told: str):
    answer = answered(
        lab, here(THREE_LINES.replace("classification(digits()", f"classification({data}"))
    )
    assert told in answer["text"]


def test_a_model_where_a_function_is_wanted():
    with pytest.raises(MisuseError, match="build must be a function of the run's arguments"):
        labbook.evaluation.classification([], net())  # type: ignore[arg-type]


# -- a command ----------------------------------------------------------------------------------

SCRIPT = """
import json, sys, torch
from pathlib import Path
state = torch.load(sys.argv[1], weights_only=True)
print("hello from", len(sys.argv))
found = {"norm": float(state["0.weight"].norm()), "n_examples": 7}
if len(sys.argv) > 2:
    Path(sys.argv[2]).write_text(json.dumps(found))
else:
    print(json.dumps(found))
    print("bye")
"""


def command(words: str, more: str = "") -> str:
    return (
        "import sys, labbook\n"
        f"probe = labbook.evaluation.command([sys.executable, {words}], name='probe'{more})\n"
    )


@pytest.mark.parametrize("output", ["", ", '{output}'"])
def test_a_command_tells_its_metrics_by_a_line_or_a_file(lab: Lab, here: Make, output: str):
    (lab.root / "eval.py").write_text(SCRIPT)
    made = here(command(f"'eval.py', '{{checkpoint}}'{output}"))
    answer = answered(lab, made)
    assert answer["type"] == "result", answer
    assert answer["coverage"] == "metrics"
    meta, rows = result_of(lab, "probe")
    assert meta["metrics"] == {"norm": pytest.approx(net(seed=1)[0].weight.norm().item())}  # type: ignore[index, union-attr, operator]
    assert meta["metrics_source"] == "told"
    assert meta["n_examples"] == 7
    assert meta["n_expected"] is None
    assert meta["stderr"] == {}
    assert rows == {"example": []}


def test_metrics_without_rows_are_said_to_be(lab: Lab):
    (lab.root / "eval.py").write_text(SCRIPT.replace(', "n_examples": 7', ""))
    run = lab.run()
    run.save(1)
    lab.write(command("'eval.py', '{checkpoint}'"))
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert "step 1  probe  no rows  norm" in done.stdout
    shown = lab.labbook("show", run.paths.id)
    assert "step 1: probe has metrics and no rows" in shown.stdout


def test_a_command_with_rows_is_checked_and_measured(lab: Lab, here: Make):
    script = (
        "import json, sys\n"
        "rows = [{'example': n, 'loss': n / 2, 'tag': 'x', 'bleu': None if n else 1.0} "
        "for n in (2, 0, 1)]\n"
        "print(json.dumps({'rows': rows, 'n_expected': 3}))\n"
    )
    (lab.root / "eval.py").write_text(script)
    answered(lab, here(command("'eval.py', '{checkpoint}'")))
    meta, rows = result_of(lab, "probe")
    assert rows["example"] == [0, 1, 2]
    assert rows["loss"] == [0.0, 0.5, 1.0]
    assert rows["bleu"] == [1.0, None, None]  # null is not zero
    assert meta["metrics"] == {"loss": 0.5}
    assert meta["coverage"] == "complete"
    assert meta["metrics_source"] == "rows"


def test_no_name_of_a_checkpoint_reaches_a_shell(lab: Lab, here: Make):
    """It is one argument, whatever it is called, and braces in it are not replaced again."""
    (lab.root / "eval.py").write_text(
        "import json, sys\n"
        "open('seen.json', 'w').write(json.dumps(sys.argv[1:]))\n"
        "print('{\"n\": 1}')\n"
    )
    run = lab.run()
    name = "step-1 $(touch evil); touch evil {run} `touch evil`.pt"
    path = run.paths.checkpoints / name
    torch.save(net().state_dict(), path)
    run.sidecar(path, 1)
    words = "'eval.py', '--at={checkpoint}', '{{step}}', '{step}', '{run}'"
    made = here(command(words))
    (answer,) = made.evaluate().values()
    assert answer["type"] == "result", answer
    seen = json.loads((lab.root / "seen.json").read_text())
    assert seen == [f"--at={path}", "{step}", "1", run.paths.id]
    assert not (lab.root / "evil").exists()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys; print('oh no'); sys.exit(3)", "exited with code 3; it printed: oh no"),
        ("print('nothing')", "printed no JSON object"),
        ('print(\'{"loss": "low"}\')', "'loss' is a str; metrics are numbers"),
        ("print('{\"rows\": [1]}')", "'rows' must be a list of objects"),
        ("print('{\"n_examples\": -1}')", "'n_examples' must be a whole number, got -1"),
        (
            "import json; print(json.dumps({'rows': [{'example': 1, 'a': 1}] * 2}))",
            "1 examples came more than once (1)",
        ),
        ("import time; print('begun', flush=True); time.sleep(1000)", "longer than timeout=1 s"),
    ],
)
def test_a_command_that_does_not_do(lab: Lab, here: Make, script: str, told: str):
    (lab.root / "eval.py").write_text(script)
    timeout = ", timeout=1" if "sleep" in script else ""
    answer = answered(lab, here(command("'eval.py', '{checkpoint}'", timeout)))
    assert answer["type"] == "failed"
    assert told in answer["text"]


def test_a_command_that_is_not_there(lab: Lab, here: Make):
    text = "import labbook\nprobe = labbook.evaluation.command('no-such-tool {checkpoint}')\n"
    assert "no-such-tool cannot be started" in answered(lab, here(text))["text"]


def test_a_command_with_an_output_that_it_does_not_write(lab: Lab, here: Make):
    (lab.root / "eval.py").write_text("")
    answer = answered(lab, here(command("'eval.py', '{checkpoint}', '{output}'")))
    assert "the command wrote no {output}" in answer["text"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "there is no command"),
        ("python eval.py", r"it has no \{checkpoint\}"),
        ("eval {ckpt}", r"\{ckpt\} is not known; there are \{checkpoint\}, \{step\}"),
    ],
)
def test_a_command_that_cannot_work_says_so_at_once(given: str, told: str):
    with pytest.raises(MisuseError, match=told):
        labbook.evaluation.command(given)


# -- loops of their own -------------------------------------------------------------------------


def test_a_function_that_returns_numbers_has_metrics_and_no_rows(lab: Lab, here: Make):
    text = """
import torch
def setup(context):
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
def evaluate(model, device):
    return {"score": model(torch.ones(1, 3)).sum(), "bad": float("nan")}
"""
    assert answered(lab, here(text))["type"] == "result"
    meta, rows = result_of(lab, "evaluate")
    with torch.no_grad():
        expected = net(seed=1).eval()(torch.ones(1, 3)).sum().item()
    assert meta["metrics"] == {"score": pytest.approx(expected), "bad": None}
    assert meta["coverage"] == "metrics"
    assert meta["n_examples"] is None  # not known, and not one
    assert rows == {"example": []}


def test_a_class_with_a_loop_of_its_own_may_yield_columns(lab: Lab, here: Make):
    text = """
import labbook, torch
@labbook.evaluation
class Own:
    def setup(self, context):
        return torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
    def evaluate(self, context):
        for start in (0, 4):
            yield {"id": range(start, start + 4), "out": context.model(torch.ones(4, 3))[:, 0]}
"""
    answered(lab, here(text))
    meta, rows = result_of(lab, "own")
    assert rows["example"] == list(range(8))
    assert meta["coverage"] == "unverified"


# -- lm_eval ------------------------------------------------------------------------------------

# A fake of the package's interface, for machines without it: `simple_evaluate` and what it returns.
FAKE = """
CALLS = []
def simple_evaluate(model, tasks, use_cache=None, log_samples=False, **options):
    assert log_samples and use_cache is None
    CALLS.append(options)
    score = float(model.model.weight.sum())
    def sample(task, n, **metrics):
        return {"doc_id": n, "filter": "none", "metrics": list(metrics),
                "doc_hash": f"{task}-{n}", "prompt_hash": "p", **metrics}
    samples = {"sums": [sample("sums", n, acc=float(n % 2), acc_norm=score) for n in (2, 0, 1)],
               "words": [sample("words", 0, bits=[1.0, 3]), sample("words", 1, bits=[2.0, 3])]}
    return {
        "results": {"sums": {"alias": "sums", "sample_len": 3, "acc,none": 1 / 3,
                             "acc_stderr,none": 0.1, "acc_norm,strict": score,
                             "acc_norm_stderr,strict": "N/A"},
                    "words": {"alias": "words", "bits,none": float("nan")}},
        "samples": {task: samples[task] for task in tasks},
        "n-samples": {"sums": {"original": 3, "effective": 3},
                      "words": {"original": 2, "effective": 2 + EXTRA}},
        "versions": {"sums": 1}, "n-shot": {"sums": 0}, "lm_eval_version": "fake",
    }
"""

LANGUAGE = """
import labbook, torch
class LM:
    def __init__(self):
        self.model = torch.nn.Linear(2, 1)
language = labbook.evaluation.lm_eval(["sums", "words"], lambda args, device: LM(), limit=5)
"""


@pytest.fixture
def fake_lm_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def make(extra: int = 0) -> None:
        (tmp_path / "fake").mkdir(exist_ok=True)
        (tmp_path / "fake" / "lm_eval.py").write_text(FAKE.replace("EXTRA", str(extra)))
        monkeypatch.syspath_prepend(str(tmp_path / "fake"))
        monkeypatch.delitem(sys.modules, "lm_eval", raising=False)

    yield make
    sys.modules.pop("lm_eval", None)


def test_lm_eval_as_a_fake_gives_metrics_errors_and_a_row_a_document(
    lab: Lab, here: Make, fake_lm_eval: Callable[..., None]
):
    fake_lm_eval()
    state = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.zeros(1)}
    answer = answered(lab, here(LANGUAGE), state)
    assert answer["type"] == "result", answer
    meta, rows = result_of(lab, "lm_eval")
    assert meta["metrics"] == {
        "sums.acc": pytest.approx(1 / 3),
        "sums.acc_norm.strict": 3.0,  # the checkpoint's weights, not those of build()
        "words.bits": None,
    }
    assert meta["stderr"] == {"sums.acc": 0.1}
    assert rows["task"] == ["sums"] * 3 + ["words"] * 2
    assert rows["doc_id"] == [0, 1, 2, 0, 1]
    assert rows["acc"] == [0.0, 1.0, 0.0, None, None]  # null where a task has no such metric
    assert "bits" not in rows  # a pair a document: in the metrics only
    assert (meta["n_examples"], meta["n_expected"], meta["coverage"]) == (5, 5, "complete")
    assert meta["data_digest"].startswith("sha256:")
    assert meta["settings"]["lm_eval"] == "fake"
    assert sys.modules["lm_eval"].CALLS == [{"random_seed": 0, "limit": 5}]


def test_lm_eval_that_loses_documents_is_refused(
    lab: Lab, here: Make, fake_lm_eval: Callable[..., None]
):
    fake_lm_eval(extra=1)
    state = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.zeros(1)}
    answer = answered(lab, here(LANGUAGE), state)
    assert "lm_eval: 3 documents of words expected, 2 came" in answer["text"]


def test_lm_evals_cache_stays_off():
    with pytest.raises(MisuseError, match="use_cache= cannot be given: its cache would give one"):
        labbook.evaluation.lm_eval("arc_easy", lambda args, device: None, use_cache="/tmp/cache")
    with pytest.raises(MisuseError, match="name at least one task"):
        labbook.evaluation.lm_eval([], lambda args, device: None)


REAL = """
import labbook, torch
from lm_eval.api.model import LM

class Length(LM):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Linear(2, 1)
    def loglikelihood(self, requests, disable_tqdm=False):
        slope = float(self.model.weight.sum())
        return [(-slope * len(request.args[1]), True) for request in requests]
    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        return [-1.0 for _ in requests]
    def generate_until(self, requests, disable_tqdm=False):
        return ["" for _ in requests]

TASK = {"task": "sums", "dataset_path": "json", "test_split": "test",
        "dataset_kwargs": {"data_files": {"test": "DATA"}}, "output_type": "multiple_choice",
        "doc_to_text": "q", "doc_to_choice": "choices", "doc_to_target": "a",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]}
language = labbook.evaluation.lm_eval([TASK], lambda args, device: Length(), bootstrap_iters=10)
"""


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_itself(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    """The real package with a task of its own, two checkpoints in one worker: no answers kept."""
    pytest.importorskip("lm_eval", reason="pip install lm-eval")
    monkeypatch.setenv("HF_HOME", str(lab.root / "hf"))
    data = lab.root / "sums.json"
    docs = [{"q": f"{n}+1=", "choices": ["1", "many"], "a": n % 2} for n in range(6)]
    data.write_text(json.dumps(docs))
    run = lab.run()
    for step, slope in ((1, 1.0), (2, -1.0)):
        run.save(step, {"weight": torch.full((1, 2), slope), "bias": torch.zeros(1)})
    lab.write(REAL.replace("DATA", str(data)))
    done = lab.once()
    assert done.returncode == 0, done.stderr
    metas = run.metas("lm_eval")
    assert {step: meta["metrics"] for step, meta in metas.items()} == {
        1: {"sums.acc": 0.5},
        2: {"sums.acc": 0.5},
    }
    rows = [pq.read_table(run.paths.result("lm_eval", metas[step]["key"])) for step in (1, 2)]
    assert rows[0]["acc"].to_pylist() == [1.0, 0.0] * 3
    assert rows[1]["acc"].to_pylist() == [0.0, 1.0] * 3
    assert metas[1]["n_expected"] == 6


# -- the sets that a run follows ----------------------------------------------------------------

TRAIN = """
import sys, torch
sys.path.insert(0, {folder!r})
from torch.utils.data import TensorDataset
import labbook
make = torch.Generator().manual_seed(7)
x = torch.randn(103, 3, generator=make)
data = TensorDataset(x, (x[:, 0] > 0).long())
other = TensorDataset(x[:50] + 1, (x[:50, 0] > 0).long())
model = torch.nn.Sequential(
    torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
run = labbook.start({{"width": 4}}, book={book!r}, gauges=None, output=False)
chosen = run.choose(data, n=8)
trained = run.choose(other, n=5, name="train")
run.log(loss=1.0, step=1)
chosen.observe(model, torch.nn.functional.cross_entropy, step=1)
run.save(model.state_dict(), step=1)
run.finish()
"""

FOLLOWED = (
    EVALUATION
    + """
@labbook.evaluation(name="followed")
class Followed(Validation):
    def data(self, context):
        chosen = context.chosen["train"]
        make = torch.Generator().manual_seed(7)
        x = torch.randn(103, 3, generator=make)
        other = TensorDataset(x[:50] + 1, (x[:50, 0] > 0).long())
        return chosen.indices, torch.utils.data.Subset(other, chosen.indices)

    def setup(self, context):
        assert context.chosen["chosen"].seed == 0 and context.chosen["chosen"].length == 103
        return super().setup(context)
"""
)


def test_the_runs_chosen_sets_are_evaluated_as_well_and_their_rows_match(lab: Lab):
    import subprocess

    script = lab.root / "train.py"
    script.write_text(
        TRAIN.format(folder=str(Path(labbook.__path__[0]).parent), book=str(lab.book.root))
    )
    subprocess.run([sys.executable, str(script)], check=True, cwd=lab.root, capture_output=True)
    lab.write(FOLLOWED)
    done = lab.once()
    assert done.returncode == 0, done.stderr
    reader = labbook.open(lab.book.root).run(lab.book.run_ids()[0])
    (whole,) = reader.results("validation")
    told = whole.meta["chosen"]
    assert told["chosen"]["same"] is True  # rows of those ids are the followed examples
    assert told["chosen"]["n"] == 8
    assert told["train"]["same"] is False  # indices of other data
    observed = reader.chosen("chosen")
    indices = reader.examples("chosen")["index"].to_pylist()
    rows = {row["example"]: row for row in whole.rows().to_pylist()}
    for place, loss in zip(
        observed["example"].to_pylist(), observed["loss"].to_pylist(), strict=True
    ):
        assert rows[indices[place]]["loss"] == pytest.approx(loss, rel=1e-5)
    (followed,) = reader.results("followed")
    assert (
        sorted(reader.examples("train")["index"].to_pylist())
        == followed.rows()["example"].to_pylist()
    )


def test_a_chosen_set_that_is_not_there_is_said(lab: Lab, here: Make):
    answer = answered(lab, here(FOLLOWED.replace("class Validation", "class Validation2")
                                .replace("(Validation)", "(Validation2)")))  # fmt: skip
    assert answer["type"] == "failed"
    assert "the run has no chosen set 'chosen'; it has none" in answer["text"]


# -- declaring ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"probes": "often"}, "probes must be True, False, or a whole number"),
        ({"allow": "dropout"}, "allow='dropout' is not known; there are training, random"),
        ({"metrics": "loss"}, r"metrics must be a list of columns, as in \['loss'\]"),
    ],
)
def test_wrong_options_say_so(options: dict, told: str):
    with pytest.raises(MisuseError, match=told):
        labbook.evaluation(**options)(lambda model, device: {})


def test_probes_and_allow_are_no_part_of_a_key():
    @labbook.evaluation(probes=3, allow="random")
    def noisy(model: object, device: object) -> dict:
        return {}

    found = declaration(noisy)
    assert found is not None
    assert (found.probes, found.allow) == (3, ("random",))
    assert "probes" not in found.settings("full")
