"""Choosing by class and far apart: which examples, and what is read for it."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset
from torch.utils.data import TensorDataset as Tensors

from labbook.client import picking, spread, targets
from labbook.client.chosen import choose
from labbook.client.spread import farthest_first
from labbook.client.strata import stratified
from labbook.errors import MisuseError
from labbook.journal.reader import Event

# ---------------------------------------------------------------- by class


def test_the_choice_by_class_is_known_for_ever():
    # these numbers are in books already: a change makes runs incomparable
    assert stratified([0, 1, 1, 2] * 10, 6, 0) == [0, 12, 19, 22, 29, 37]
    assert stratified([i / 7 for i in range(50)], 5, 3) == [2, 11, 29, 30, 44]


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=80),
    st.integers(1, 80),
    st.integers(-5, 5),
)
def test_each_class_has_its_share(labels, n, seed):
    chosen = stratified(labels, n, seed)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(n, len(labels))
    whole, taken = Counter(labels), Counter(labels[index] for index in chosen)
    if n >= len(labels):
        return
    if n < len(whole):
        assert set(taken.values()) == {1}
        return
    assert taken.keys() == whole.keys()
    # one off the exact share, but for classes that had to have at least one
    spared = sum(1 for size in whole.values() if n * size < len(labels))
    for label, size in whole.items():
        share = n * size / len(labels)
        assert max(1, share) - 1 - spared <= taken[label] <= max(1, share) + 1


def test_rare_classes_are_there_and_other_seeds_choose_others():
    labels = ["common"] * 990 + ["rare"] * 10
    one, two = stratified(labels, 20, 0), stratified(labels, 20, 1)
    assert sum(index >= 990 for index in one) == 1
    assert one != two


def test_targets_of_a_regression_are_cut_into_bins_of_equal_counts():
    values = [*np.random.default_rng(0).exponential(size=1000), float("nan")]
    chosen = stratified(values, 50, 0)
    known = sorted(values[:-1])
    edges = [known[k * 100] for k in range(10)]
    bins = Counter(np.searchsorted(edges, values[index], "right") for index in chosen)
    assert set(bins) >= set(range(1, 11))
    assert max(bins.values()) - min(bins.values()) <= 2


def test_floats_of_few_values_are_classes():
    labels = [0.0, 0.5, 1.0] * 100
    assert Counter(labels[index] for index in stratified(labels, 9, 0)) == {0: 3, 0.5: 3, 1: 3}


LABELS = [0] * 80 + [1] * 15 + [2] * 5


class Counting(Dataset):
    """Has its targets at hand, and counts the examples that are read."""

    def __init__(self):
        self.targets = LABELS
        self.n_read = 0

    def __len__(self):
        return 100

    def __getitem__(self, index):
        self.n_read += 1
        random.random()
        torch.rand(1)
        return torch.full((3,), float(index)), LABELS[index]


class Unlabelled(Counting):
    def __init__(self):
        super().__init__()
        del self.targets


X = torch.arange(100.0)[:, None].repeat(1, 3)


def hugging_face():
    from datasets import Dataset as HuggingFace

    return HuggingFace.from_dict({"x": X.tolist(), "label": LABELS})


@pytest.mark.parametrize(
    "make",
    [
        Counting,
        Unlabelled,
        lambda: (X, torch.tensor(LABELS)),
        lambda: {"x": X.numpy(), "label": np.array(LABELS)},
        lambda: Tensors(X, torch.tensor(LABELS)[:, None]),
        lambda: [(X[i], LABELS[i]) for i in range(100)],
        lambda: [{"x": X[i], "label": LABELS[i]} for i in range(100)],
        lambda: DataLoader(Counting(), batch_size=7, shuffle=True),
        lambda: ConcatDataset([Subset(Counting(), range(50)), Subset(Counting(), range(50, 100))]),
        hugging_face,
        lambda: hugging_face().with_format("torch"),
    ],
    ids=[
        "targets", "items", "tensors", "mapping", "TensorDataset", "list", "rows", "DataLoader",
        "ConcatDataset", "datasets", "datasets with torch",
    ],
)  # fmt: skip
def test_the_same_classes_in_any_form_give_the_same_examples(journal, make):
    random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    chosen = choose(journal.writer, make(), 10, by="stratified")
    assert chosen.indices == tuple(stratified(LABELS, 10, 0))
    assert Counter(LABELS[index] for index in chosen.indices) == {0: 8, 1: 1, 2: 1}
    assert journal.header()["by"] == "stratified"
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_inputs_are_not_read_where_targets_are_at_hand(journal):
    data = Counting()
    choose(journal.writer, data, 10, by="stratified")
    assert data.n_read == 10
    whole = Subset(data, range(0, 100, 2))
    choose(journal.writer, whole, 5, by="stratified", name="subset")
    assert data.n_read == 15


def test_a_target_function_stratifies_by_what_it_returns(journal):
    chosen = choose(
        journal.writer, X, 10, by="stratified", target=lambda x: "low" if x[0] < 10 else "high"
    )
    assert sum(index < 10 for index in chosen.indices) == 1


def test_a_transform_of_hugging_face_is_asked_for_its_targets(journal):
    data = hugging_face()
    data.set_transform(lambda rows: {"x": rows["x"], "label": [i % 2 for i in rows["label"]]})
    chosen = choose(journal.writer, data, 10, by="stratified")
    assert chosen.indices == tuple(stratified([i % 2 for i in LABELS], 10, 0))


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(2), 0)] * 9)


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        (X, {}, "needs a target for each example, and they have none"),
        ((X, X), {}, r"wants one number or one text an example as its target, got an array \(3,\)"),
        ([(0, {}), (1, {})], {"n": 1}, "as its target, got a dict"),
        (Stream(), {}, 'which can only be iterated, the first n are taken: by="first"'),
        (Stream(), {"by": "spread"}, "needs data with a length"),
        ([({}, 0)] * 9, {"by": "spread", "n": 2}, "cannot tell how far one NoneType is"),
        ([("a", 0), (1.0, 0)], {"by": "spread", "n": 1}, "needs inputs of one kind"),
        (torch.rand(3000, 2), {"by": "spread", "n": 2500}, "takes 2,000 examples at most, not 2,5"),
    ],
)
def test_what_does_not_fit_is_told_at_once(journal, data, options, text):
    with pytest.raises(MisuseError, match=text):
        choose(journal.writer, data, **{"by": "stratified", **options})


# ---------------------------------------------------------------- far apart


def test_the_farthest_come_first():
    points = np.array([[0], [1], [2], [100], [101], [50]])
    assert farthest_first(points, 4) == [5, 4, 0, 2]
    assert farthest_first(np.zeros((3, 1), int), 3) == [0, 1, 2]


def test_every_cluster_is_among_the_spread(journal):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(12, 5)) * 50
    kinds = np.repeat(np.arange(12), [700] + [10] * 11)
    x = (centres[kinds] + generator.normal(size=(810, 5))).astype(np.float32)
    far = choose(journal.writer, x, 12, by="spread")
    assert set(kinds[list(far.indices)]) == set(range(12))
    assert far.indices == choose(journal.writer, torch.tensor(x), 12, by="spread", name="b").indices
    assert journal.header()["by"] == "spread"
    chance = choose(journal.writer, x, 12, name="random")
    assert len(set(kinds[list(chance.indices)])) < 12


def pictures():
    return [Image.new("L", (20 + i % 3, 20), 255 if i in (3, 77) else i % 5) for i in range(100)]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (pictures(), {3}),
        ([("same words", 0)] * 50 + [("something else", 1)] + [("same words", 0)] * 50, {50}),
        ([{"input_ids": [1, 2, 3] * (1 + i // 90)} for i in range(100)], {90}),
        ([{"input_ids": [7, 8] if i == 5 else [1] * (1 + i % 2)} for i in range(100)], {5}),
        ([torch.full((6,), float("nan") if i == 8 else i % 2.0) for i in range(100)], {1}),
    ],
    ids=["pictures", "texts", "tokens", "other tokens", "not finite"],
)
def test_what_differs_is_found_in_inputs_of_any_kind(journal, data, wanted):
    chosen = choose(journal.writer, data, 2, by="spread")
    assert wanted <= set(chosen.indices)


def test_no_more_than_a_pool_is_read(journal, monkeypatch):
    monkeypatch.setattr(picking, "POOL", 20)
    data = Counting()
    chosen = choose(journal.writer, data, 5, by="spread")
    assert data.n_read == 20 + 5
    assert len(set(chosen.indices)) == 5
    assert spread.POOL == 2000


# ---------------------------------------------------------------- slow data


@pytest.mark.parametrize("by", ["stratified", "spread"])
def test_data_too_slow_to_read_are_drawn_from_and_that_is_said(journal, monkeypatch, by):
    monkeypatch.setattr(targets, "READ_SECONDS", 0.0)
    chosen = choose(journal.writer, Unlabelled(), 10, by=by)
    assert chosen.indices == choose(journal.writer, Counting(), 10, name="random").indices
    assert journal.header()["by"] == "random"
    (event,) = journal.records(Event)
    assert event.fields["kind"] == "choose-slow"
    (line,) = journal.said
    assert line.startswith(f"chosen set 'chosen': by=\"{by}\" was given up and 10 examples are")
    assert "only 0 of 100 examples could be read in 0 s" in line


def test_a_long_look_is_said(journal, monkeypatch):
    monkeypatch.setattr(picking, "_NOTICED_S", -1.0)
    choose(journal.writer, Unlabelled(), 10, by="stratified")
    (line,) = journal.said
    assert 'by="stratified" had to read a Unlabelled for 0.0 s' in line
    assert "a list or array `targets` on the dataset would save that" in line
    assert journal.header()["by"] == "stratified"


# ---------------------------------------------------------------- Hugging Face


def test_hugging_face_rows_with_pictures(journal):
    from datasets import ClassLabel, Features
    from datasets import Dataset as HuggingFace
    from datasets import Image as Picture

    data = HuggingFace.from_dict(
        {"image": pictures()[:20], "label": [i % 2 for i in range(20)]},
        features=Features({"image": Picture(), "label": ClassLabel(names=["even", "odd"])}),
    )
    chosen = choose(journal.writer, data, 6, by="stratified")
    header = journal.header()
    ((_, columns),) = journal.columns("examples")
    assert header["kind"] == "image"
    assert header["length"] == 20
    assert columns["target"].tolist() == [i % 2 for i in chosen.indices]


def test_the_first_of_a_hugging_face_stream(journal):
    stream = hugging_face().to_iterable_dataset()
    chosen = choose(journal.writer, stream, 4)
    assert chosen.indices == (0, 1, 2, 3)
    ((_, columns),) = journal.columns("examples")
    assert columns["target"].tolist() == LABELS[:4]
    assert next(iter(stream))["label"] == 0, "the stream is not used up"


def test_several_sets_and_a_whole_validation_set(journal):
    train = choose(journal.writer, (X, torch.tensor(LABELS)), 16, name="train")
    val = choose(journal.writer, (X[:50], torch.tensor(LABELS[:50])), n=50, name="val")
    assert len(train) == 16
    assert val.indices == tuple(range(50))
    assert train.digest != val.digest
    model = torch.nn.Linear(3, 3)
    for each in (train, val):
        each.observe(model, torch.nn.functional.cross_entropy, step=1)
    for name, n in (("train", 16), ("val", 50)):
        ((_, columns),) = journal.columns("chosen", name)
        assert columns["output"].shape == (n, 3)


def test_two_sets_of_a_run_cannot_have_one_name(start):
    run = start()
    first = run.choose(X, n=4)
    again = run.choose(X.clone(), n=4)  # a cell of a notebook, run once more
    assert again.digest == first.digest
    with pytest.raises(MisuseError, match=r"has a chosen set 'chosen' of other examples already"):
        run.choose(X, n=5)
    run.choose(X, n=5, name="more")
