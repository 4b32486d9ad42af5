"""Nine planted mistakes of evaluations, and the words that name each."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest
import torch

from tests.watch.conftest import N_EXAMPLES, Here, Lab, net

Make = Callable[..., Here]

HEAD = """
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset
import labbook

def data():
    make = torch.Generator().manual_seed(7)
    x = torch.randn(103, 3, generator=make)
    return TensorDataset(x, (x[:, 0] > 0).long())
"""

PLAIN = (
    HEAD
    + """
@labbook.evaluation(batch_size=32)
class Validation:
    def setup(self, context):
        return torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))

    def data(self, context):
        return data()

    def step(self, context, batch):
        x, y = batch
        out = context.model(x)
        return {"loss": F.cross_entropy(out, y, reduction="none"), "correct": out.argmax(1) == y}
"""
)

BATCHES = PLAIN.replace("def data(self, context):\n        return data()", "BATCHES")


def warned(lab: Lab, made: Here, *states: object) -> tuple[dict, dict]:
    """Evaluate; the last checkpoint's metadata, and its findings by kind."""
    run = lab.run()
    for step, state in enumerate(states or (net(seed=1).state_dict(),), 1):
        run.save(step, state)
    made.evaluate()
    assert [a["text"] for a in made.answers if a["type"] == "failed"] == []
    meta = run.metas()[max(1, len(states))]
    found = {each["kind"]: each for each in meta["probes"]["found"]} if meta["probes"] else {}
    for each in found.values():
        assert each["text"] in meta["warnings"]
    return meta, found


def refused(lab: Lab, made: Here, state: object | None = None) -> str:
    """The words of a checkpoint that gets no result."""
    run = lab.run()
    run.save(1, state)
    answer = made.evaluate()[1]
    assert answer["type"] == "failed"
    assert run.results() == []
    return str(answer["text"])


def test_the_evaluation_that_the_others_are_made_of_is_clean(lab: Lab, here: Make):
    meta, found = warned(lab, here(PLAIN))
    assert found == {}
    assert meta["warnings"] == []
    assert meta["probes"]["not_run"] == {}
    assert meta["probes"]["n_batches"] == 5  # again, another seed, two halves, backwards


# 1
@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("context.model.train(); out = context.model(x)", "1"),
        ("context.model.train(); out = context.model(x); context.model.eval()", "1"),
    ],
)
def test_a_forgotten_eval(lab: Lab, here: Make, line: str, where: str):
    _, found = warned(lab, here(PLAIN.replace("out = context.model(x)", line)))
    assert list(found) == ["training"]
    assert "forgotten eval(): " in found["training"]["text"]
    assert "1 Dropout" in found["training"]["text"]
    assert where in found["training"]["where"]


def test_a_forgotten_eval_of_a_model_of_its_own(lab: Lab, here: Make):
    text = PLAIN.replace(
        "def data(self, context):",
        """def load(self, context, path):
        self.net = torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
        self.net.load_state_dict(torch.load(path, weights_only=True))

    def data(self, context):""",
    ).replace("context.model(x)", "self.net(x)")
    _, found = warned(lab, here(text))
    assert list(found) == ["training"]
    assert "not self.net: call self.net.eval()" in found["training"]["text"]
    assert found["training"]["where"] == "self.net.1"


# 2
def test_functional_dropout(lab: Lab, here: Make):
    text = PLAIN.replace(
        "@labbook",
        """class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.last(F.dropout(self.first(x), 0.5))

@labbook""",
    ).replace(
        "torch.nn.Sequential(\n            torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), "
        "torch.nn.Linear(4, 2))",
        "Net()",
    )
    state = {
        f"{name}.{part}": torch.randn(shape)
        for name, part, shape in (
            ("first", "weight", (4, 3)),
            ("first", "bias", (4,)),
            ("last", "weight", (2, 4)),
            ("last", "bias", (2,)),
        )
    }
    _, found = warned(lab, here(text), state)
    assert list(found) == ["random"]
    assert "F.dropout(x, p) drops in eval mode too" in found["random"]["text"]
    assert found["random"]["where"] == "Net.forward itself"


# 3
def test_batchnorm_on_the_statistics_of_the_batch(lab: Lab, here: Make):
    text = PLAIN.replace("torch.nn.Dropout(0.5)", "NORM").replace(
        "NORM", "torch.nn.BatchNorm1d(4, track_running_stats=False)"
    )
    norm = torch.nn.BatchNorm1d(4, track_running_stats=False)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), norm, torch.nn.Linear(4, 2))
    _, found = warned(lab, here(text), model.state_dict())
    assert list(found) == ["batch"]
    assert "the rows change with what else is in the batch" in found["batch"]["text"]
    assert "BatchNorm" in found["batch"]["text"]
    assert found["batch"]["where"] == "1 (BatchNorm1d)"


# 4, 5
@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("ids[:-1] + [0]", "1 missing (102); 1 more than once (0)"),  # a padded sampler
        ("ids[:-3]", "3 missing (100, 101, 102)"),  # drop_last
    ],
)
def test_duplicate_and_missing_ids(lab: Lab, here: Make, last: str, told: str):
    text = BATCHES.replace(
        "BATCHES",
        f"""def batches(self, context):
        context.n_examples = 103
        ids = list(range(103))
        ids = {last}
        for start in range(0, len(ids), 32):
            part = ids[start : start + 32]
            yield part, data()[part]""",
    )
    assert told in refused(lab, here(text))


def test_duplicate_ids_where_nobody_says_how_many_there_are(lab: Lab, here: Make):
    text = BATCHES.replace(
        "BATCHES",
        """def batches(self, context):
        for start in (0, 32, 60):
            part = list(range(start, start + 32))
            yield part, data()[part]""",
    )
    said = refused(lab, here(text))
    assert "4 examples came more than once (60, 61, 62, 63)" in said
    assert "Nothing was published" in said


# 6
def test_a_mean_over_each_batch_of_which_the_last_is_smaller(lab: Lab, here: Make):
    reduced = PLAIN.replace('y, reduction="none")', "y)")
    said = refused(lab, here(reduced))
    assert "column 'loss' has shape () for a batch of 32" in said
    assert 'reduction="none"' in said


def test_a_mean_over_each_batch_spread_over_its_rows(lab: Lab, here: Make):
    spread = PLAIN.replace('y, reduction="none")', "y).expand(len(x))")
    _, found = warned(lab, here(spread))
    assert list(found) == ["batch"]
    assert "'loss' in 16 of 16 rows" in found["batch"]["text"]
    assert "a mean over the batch" in found["batch"]["text"]


# 7
def test_a_batch_of_nan(lab: Lab, here: Make):
    text = PLAIN.replace(
        'F.cross_entropy(out, y, reduction="none")',
        "torch.where((x == data()[0][0]).all(1), torch.nan, "
        'F.cross_entropy(out, y, reduction="none"))',
    )
    run = lab.run()
    run.save(1)
    answer = here(text).evaluate()[1]
    assert answer["n_nonfinite"] == {"loss": 1}
    meta = run.metas()[1]
    assert meta["metrics"]["loss"] is None  # never the mean of the others
    assert meta["n_examples"] == N_EXAMPLES  # kept
    rows = pq.read_table(run.results()[0])
    assert torch.tensor(rows["loss"].to_pylist()).isnan().sum() == 1


# 8
def test_raw_weights_where_the_checkpoint_has_averaged_ones(lab: Lab, here: Make):
    state = {"model": net(seed=1).state_dict(), "model_ema": net(seed=2).state_dict()}
    _, found = warned(lab, here(PLAIN), state)
    assert list(found) == ["ema"]
    assert "averaged weights under 'model_ema' too, and the raw ones" in found["ema"]["text"]


EMA = PLAIN.replace("batch_size=32", "batch_size=32, probes=1, weights='ema'")


def test_averaged_weights_that_are_not_there(lab: Lab, here: Make):
    said = refused(lab, here(EMA), {"model": net().state_dict()})
    assert "weights='ema', and the checkpoint has none of ema, model_ema" in said


def test_averaged_weights_that_never_move(lab: Lab, here: Make):
    states = [
        {"model": net(seed=seed).state_dict(), "ema": net(seed=9).state_dict()} for seed in (1, 2)
    ]
    _, found = warned(lab, here(EMA), *states)
    assert "never updated" in found["ema"]["text"]


def test_averaged_weights_that_are_a_copy(lab: Lab, here: Make):
    states = [
        {"model": net(seed=seed).state_dict(), "ema": net(seed=seed).state_dict()}
        for seed in (1, 2)
    ]
    _, found = warned(lab, here(EMA), *states)
    assert "equal the raw ones bit for bit" in found["ema"]["text"]


def test_averaged_weights_as_they_should_be(lab: Lab, here: Make):
    states = [
        {"model": net(seed=seed).state_dict(), "ema": net(seed=seed + 10).state_dict()}
        for seed in (1, 2)
    ]
    meta, found = warned(lab, here(EMA), *states)
    assert found == {}
    assert meta["settings"]["weights"] == "ema"


# 9
def test_answers_from_a_cache(lab: Lab, here: Make):
    text = PLAIN.replace(
        "out = context.model(x)",
        """self.cache = getattr(self, "cache", {})
        key = x.sum().item()
        if key not in self.cache:
            self.cache[key] = context.model(x)
        out = self.cache[key]""",
    ).replace("batch_size=32", "batch_size=32, probes=50")
    meta, found = warned(lab, here(text), net(seed=1).state_dict(), net(seed=2).state_dict())
    assert list(found) == ["stale"]
    assert "all rows equal those of step 1 to the bit" in found["stale"]["text"]
    assert "answers from a cache" in found["stale"]["text"]
    assert any("cache" in text for text in meta["warnings"])
