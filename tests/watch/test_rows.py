"""Rows, batches, metrics and how an evaluation is declared."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate

import labbook
from labbook.errors import EvaluationError, MisuseError
from labbook.watch.batches import Examples, mini_ids, move, split_data
from labbook.watch.evaluation import Arguments, declaration
from labbook.watch.publish import publish, to_table
from labbook.watch.rows import Collector, Rows, check_once, measure


def collected(*batches: tuple[list[int] | None, dict[str, object]]) -> Rows:
    collector = Collector("v")
    for ids, columns in batches:
        collector.add(ids, columns)
    return collector.finish()


# -- rows and metrics ---------------------------------------------------------------------------


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50), st.integers(1, 7))
def test_a_metric_is_the_mean_over_rows_however_they_were_batched(values: list[float], size: int):
    collector = Collector("v")
    for start in range(0, len(values), size):
        part = values[start : start + size]
        ids = list(range(start, start + len(part)))
        collector.add(ids, {"loss": torch.tensor(part, dtype=torch.float64)})
    metrics, errors, bad = measure(collector.finish(), None)
    assert metrics["loss"] == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    if len(values) > 1:
        expected = np.std(values, ddof=1) / math.sqrt(len(values))
        assert errors["loss"] == pytest.approx(expected, abs=1e-9)
    assert bad == {"loss": 0}


def test_the_uneven_last_batch_weighs_what_it_is():
    """1,000 easy examples and one hard one: 0.51, not the mean of batch means."""
    easy = [
        (list(range(n, n + 100)), {"loss": torch.full((100,), 0.5)}) for n in range(0, 1000, 100)
    ]
    rows = collected(*easy, ([1000], {"loss": torch.tensor([10.0])}))
    metrics, _, _ = measure(rows, None)
    assert metrics["loss"] == pytest.approx((1000 * 0.5 + 10) / 1001)


def test_means_weighted_by_tokens():
    rows = collected(([0, 1], {"loss": torch.tensor([1.0, 4.0]), "n_tokens": torch.tensor([3, 1])}))
    metrics, errors, _ = measure(rows, "n_tokens")
    assert metrics == {"loss": pytest.approx(1.75)}
    assert errors["loss"] is not None
    with pytest.raises(EvaluationError, match="no such column"):
        measure(rows, "tokens")


def test_rows_that_are_not_finite_are_kept_and_counted():
    loss = torch.tensor([1.0, float("nan"), float("inf")])
    rows = collected(([0, 1, 2], {"loss": loss, "correct": torch.tensor([True, False, True])}))
    metrics, errors, bad = measure(rows, None)
    assert metrics["loss"] is None
    assert errors["loss"] is None
    assert metrics["correct"] == pytest.approx(2 / 3)
    assert bad == {"loss": 2}
    assert len(rows.columns["loss"]) == 3


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([0, 1, 2], None),
        ([2, 1, 0], None),
        ([0, 1], "1 missing (2)"),
        ([0, 1, 2, 2], "1 more than once (2)"),
        ([0, 1, 2, 7], "1 unexpected (7)"),
        ([0, 0, 9], "2 missing (1, 2); 1 more than once (0); 1 unexpected (9)"),
    ],
)
def test_each_expected_example_exactly_once(ids: list[int], told: str | None):
    rows = Rows(np.asarray(ids), {"loss": np.zeros(len(ids))})
    if told is None:
        check_once(rows, range(3), "v")
        return
    with pytest.raises(EvaluationError) as raised:
        check_once(rows, range(3), "v")
    assert told in str(raised.value)
    assert "Nothing was published" in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"loss": torch.tensor(1.0)}, r"'loss' has shape \(\) for a batch of 2"),
        ({"loss": torch.zeros(3)}, r"'loss' has shape \(3,\) for a batch of 2"),
        ({"text": "ab"}, "'text' has str for a batch of 2"),
        ({}, "must return a dict of per-example columns, got dict"),
        (torch.zeros(2), "must return a dict of per-example columns, got Tensor"),
    ],
)
def test_columns_that_are_not_per_example(columns: object, told: str):
    with pytest.raises(EvaluationError, match=told):
        Collector("v").add([0, 1], columns)


def test_columns_must_stay_the_same():
    collector = Collector("v")
    collector.add([0], {"a": torch.zeros(1)})
    with pytest.raises(EvaluationError, match="the columns changed between batches"):
        collector.add([1], {"b": torch.zeros(1)})


def test_everything_recordable_survives_the_file(tmp_path: Path):
    rows = collected(
        ([3, 1], {
            "half": torch.tensor([1.5, 2.5], dtype=torch.float16),
            "brain": torch.tensor([1.5, 2.5], dtype=torch.bfloat16),
            "vector": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
            "grid": torch.arange(8.0).reshape(2, 2, 2),
            "class": [4, 5],
            "text": ["three", "one"],
            "array": np.array([0.25, 0.5], dtype=np.float32),
            "flag": torch.tensor([True, False]),
        }),
    )  # fmt: skip
    target = tmp_path / "evaluations" / "v" / "k.parquet"
    assert publish(to_table(rows, {"format": 1}), target, tmp_path)
    table = pq.read_table(target)
    assert table.to_pydict() == {
        "example": [1, 3],
        "half": [2.5, 1.5],
        "brain": [2.5, 1.5],
        "vector": [[3.0, 4.0], [1.0, 2.0]],
        "grid": [[4.0, 5.0, 6.0, 7.0], [0.0, 1.0, 2.0, 3.0]],
        "class": [5, 4],
        "text": ["one", "three"],
        "array": [0.5, 0.25],
        "flag": [False, True],
    }
    meta = json.loads(table.schema.metadata[b"labbook"])
    assert meta["shapes"] == {"vector": [2], "grid": [2, 2]}
    assert not publish(to_table(rows, {"format": 2}), target, tmp_path)
    assert json.loads(pq.read_schema(target).metadata[b"labbook"])["format"] == 1
    assert [path.name for path in target.parent.iterdir()] == ["k.parquet"]


# -- batches ------------------------------------------------------------------------------------


@pytest.fixture
def tensors() -> TensorDataset:
    return TensorDataset(torch.arange(30.0).reshape(10, 3), torch.arange(10))


def equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)  # type: ignore[arg-type]
    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[arg-type,call-overload]


@pytest.mark.parametrize("order", [range(10), [9, 0, 4], [5, 6, 7]])
def test_batches_are_those_of_a_loader(tensors: TensorDataset, order: list[int]):
    examples = split_data(tensors)
    expected = DataLoader(Subset(tensors, list(order)), batch_size=4)
    for (_, batch), wanted in zip(examples.batches(list(order), 4, None), expected, strict=True):
        assert equal(batch, wanted)


def test_a_subset_of_tensors_takes_the_quick_way_too(tensors: TensorDataset):
    subset = Subset(tensors, [8, 2, 5, 6, 7])
    ((_, batch),) = split_data(subset).batches(range(5), 8, None)
    assert equal(batch, default_collate([subset[n] for n in range(5)]))


def test_ids_of_the_users_own(tensors: TensorDataset):
    examples = split_data((range(100, 110), tensors))
    (ids, batch), *_ = examples.batches([105, 101], 2, None)
    assert ids == [105, 101]
    assert batch[1].tolist() == [5, 1]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (([1, 1], ["a", "b"]), "ids are not unique"),
        (([1], ["a", "b"]), "1 ids for 2 examples"),
        ([], "no examples"),
        (iter([1]), "returned a list_iterator"),
        (None, "returned a NoneType"),
    ],
)
def test_data_that_cannot_be_used(data: object, told: str):
    with pytest.raises(EvaluationError, match=told):
        split_data(data)


def test_the_mini_set_is_fixed_and_inside():
    ids = list(range(1000))
    first = mini_ids(ids, 50)
    assert first == mini_ids(ids, 50)
    assert len(set(first)) == 50
    assert first == sorted(first)
    assert mini_ids([3, 1], 5) == [3, 1]


def test_the_fingerprint_is_of_the_content(tensors: TensorDataset):
    first = split_data(tensors).fingerprint()
    assert split_data(tensors).fingerprint() == first
    assert split_data((range(1, 11), tensors)).fingerprint() != first
    tensors.tensors[0][0, 0] += 1
    assert split_data(tensors).fingerprint() != first


def test_batches_of_any_shape_are_moved():
    device = torch.device("cpu")
    batch = {"x": [torch.zeros(1), (torch.ones(1), "text")], "n": 3}
    assert move(batch, device) == batch


def test_examples_of_a_plain_list():
    examples = Examples(range(3), [{"x": n} for n in range(3)])
    ((ids, batch),) = examples.batches(range(3), 3, None)
    assert batch["x"].tolist() == ids == [0, 1, 2]


# -- declaring ----------------------------------------------------------------------------------


class Form:
    def setup(self, context: object) -> None: ...
    def data(self, context: object) -> None: ...
    def step(self, context: object, batch: object) -> None: ...


def test_an_evaluation_is_marked_with_and_without_brackets():
    class TopFiveAccuracy(Form): ...

    class Other(Form): ...

    assert labbook.evaluation(TopFiveAccuracy) is TopFiveAccuracy
    found = declaration(TopFiveAccuracy)
    assert found is not None
    assert (found.name, found.mini, found.batch_size) == ("top_five_accuracy", None, 256)
    labbook.evaluation(name="v", mini=10, full_every=2, batch_size=8)(Other)
    found = declaration(Other)
    assert found is not None
    assert (found.name, found.mini, found.full_every, found.batch_size) == ("v", 10, 2, 8)

    class Child(Other): ...

    assert declaration(Child) is None  # a subclass is not evaluated unless it is marked too


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"mini": "all"}, "mini must be a whole number from 1"),
        ({"full_every": -1}, "full_every must be"),
        ({"weights": "best"}, "weights must be 'model' or 'ema'"),
        ({"name": "a/b"}, "cannot be a file name"),
    ],
)
def test_a_wrong_declaration_says_so_at_once(options: dict[str, object], told: str):
    with pytest.raises(MisuseError, match=told):
        labbook.evaluation(**options)(type("V", (Form,), {}))  # type: ignore[call-overload]


def test_a_function_has_no_mini_set():
    with pytest.raises(MisuseError, match="mini= needs a class"):
        labbook.evaluation(mini=5)(lambda model, device: {})


def test_arguments_are_attributes_and_a_mapping():
    args = Arguments({"lr": 0.1, "model": {"width": 8}, "keys": 3})
    assert args.lr == args["lr"] == 0.1
    assert args.model.width == args["model"]["width"] == 8
    assert args.get("missing", 5) == 5
    assert dict(args) == {"lr": 0.1, "model": args.model, "keys": 3}
    with pytest.raises(AttributeError, match=r"no argument 'depth'; it has keys, lr, model"):
        _ = args.depth
