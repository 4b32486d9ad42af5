import copy
import json
import pickle
import random

import pytest

from labbook.client import throughput
from labbook.client.off import OffRun
from labbook.client.throughput import Loader, examples_in
from labbook.errors import MisuseError
from tests.client.conftest import journal_rows

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402


class Clock:
    """A labelled fake: what passes between two readings is what the test says."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(throughput, "_clock", lambda: self.now)

    def pass_(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def dataset(n=10):
    return TensorDataset(torch.arange(n * 3.0).reshape(n, 3), torch.arange(n))


def facts(run):
    (file,) = run.paths.meta.glob("loaders-*.json")
    return json.loads(file.read_text())["loaders"]


def gauges(run):
    return {
        name: value
        for row in journal_rows(run.paths, "gauges")
        for name, value in zip(row.names, row.values, strict=True)
    }


def same(a, b):
    return len(a) == len(b) and all(
        all(torch.equal(p, q) for p, q in zip(x, y, strict=True)) for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loop_gets_the_same_batches_and_draws_the_same_random_numbers(start, workers):
    run = start()

    def epochs(wrap):
        torch.manual_seed(3)
        random.seed(3)
        loader = wrap(DataLoader(dataset(), 4, shuffle=True, num_workers=workers))
        batches = [batch for _ in range(2) for batch in loader]
        return batches, torch.rand(1), random.random()

    plain, measured = epochs(lambda loader: loader), epochs(run.loader)
    assert same(plain[0], measured[0])
    assert torch.equal(plain[1], measured[1])
    assert plain[2] == measured[2]


def test_a_loader_draws_its_seed_when_the_loop_begins_not_at_the_first_batch(start):
    run = start()

    def drawn(wrap):
        torch.manual_seed(0)
        iterator = iter(wrap(DataLoader(dataset(), 4, shuffle=True)))
        return torch.rand(1), next(iterator)[0]

    (a, first_a), (b, first_b) = drawn(lambda loader: loader), drawn(run.loader)
    assert torch.equal(a, b)
    assert torch.equal(first_a, first_b)


def test_in_everything_else_it_is_the_loader(start):
    run = start()
    plain = DataLoader(dataset(), 4)
    loader = run.loader(plain)
    assert len(loader) == len(plain) == 3
    assert loader.dataset is plain.dataset
    assert (loader.batch_size, loader.num_workers) == (4, 0)
    loader.marker = "mine"
    assert plain.marker == "mine"
    del loader.marker
    assert not hasattr(plain, "marker")
    with pytest.raises(AttributeError, match="DataLoader"):
        loader.nothing_of_the_kind  # noqa: B018
    assert type(pickle.loads(pickle.dumps(loader))) is DataLoader
    assert type(copy.deepcopy(loader)) is DataLoader


def test_the_samplers_epoch_is_set_through_it(start):
    sampler = torch.utils.data.DistributedSampler(dataset(), num_replicas=2, rank=0)
    loader = start().loader(DataLoader(dataset(), 4, sampler=sampler))
    loader.sampler.set_epoch(7)
    assert sampler.epoch == 7


def test_anything_iterable_is_a_loader(start):
    run = start()
    assert list(run.loader([1, 2, 3])) == [1, 2, 3]
    assert list(run.loader(n for n in range(3))) == [0, 1, 2]
    assert run.loader([1, 2])[1] == 2
    assert bool(run.loader(n for n in range(3)))
    assert not run.loader([])
    with pytest.raises(TypeError, match="len"):
        len(run.loader(n for n in range(3)))


def test_what_cannot_be_iterated_is_refused(start):
    run = start()
    with pytest.raises(MisuseError, match="wants a DataLoader or something else to iterate over"):
        run.loader(3)
    with pytest.raises(TypeError, match="name must be text"):
        run.loader([], name=3)


def test_what_the_loader_raises_passes_through_and_the_loop_can_go_on(start):
    class Flaky:
        def __iter__(self):
            return self

        def __init__(self):
            self.calls = 0

        def __next__(self):
            self.calls += 1
            if self.calls == 2:
                raise OSError("a file is gone")
            if self.calls == 4:
                raise StopIteration
            return self.calls

    run = start()
    iterator = iter(run.loader(Flaky()))
    assert next(iterator) == 1
    with pytest.raises(OSError, match="a file is gone"):
        next(iterator)
    assert list(iterator) == [3]
    run.finish()
    assert facts(run)["train"]["steps"] == 2


def test_rates_and_waiting_are_measured_from_batch_to_batch(start, clock):
    class Slow:
        def __iter__(self):
            for _ in range(4):
                clock.pass_(0.25)  # the loader takes so long
                yield torch.zeros(8, 2), torch.zeros(8)

    run = start(gauges=0)
    for _ in run.loader(Slow()):
        clock.pass_(0.75)  # and the step so long
    run.finish()
    # 4 steps in 0.25 + 3 × (0.75 + 0.25) seconds, 4 × 0.25 of them waiting
    assert gauges(run) == pytest.approx(
        {
            "train.steps_per_second": 4 / 3.25,
            "train.examples_per_second": 32 / 3.25,
            "train.wait_percent": 100 / 3.25,
        }
    )
    kept = facts(run)["train"]
    assert (kept["steps"], kept["examples"]) == (4, 32)
    assert (kept["seconds"], kept["wait_seconds"]) == pytest.approx((3.25, 1.0))
    assert kept["first_batch_ns"] <= kept["first_step_ns"]


def test_no_gauge_is_written_while_no_batch_comes(start, clock):
    run = start(gauges=0)
    iterator = iter(run.loader([torch.zeros(2)] * 3))
    next(iterator)
    clock.pass_(1)
    next(iterator)
    run._loaders.tick()
    n = len(journal_rows(run.paths, "gauges"))
    clock.pass_(5)
    run._loaders.tick()
    assert len(journal_rows(run.paths, "gauges")) == n


def test_loops_are_kept_apart_by_name_and_added_up_over_epochs(start):
    run = start()
    inner = run.loader([torch.zeros(5)] * 2, name="val")
    for _ in range(3):
        for step, _ in enumerate(run.loader(DataLoader(dataset(), 4))):
            list(inner)
            if step == 1:
                break
    run.finish()
    found = facts(run)
    assert {name: (f["steps"], f["examples"]) for name, f in found.items()} == {
        "train": (6, 24),
        "val": (12, 60),
    }


def test_a_loader_wrapped_twice_counts_once(start):
    run = start()
    list(run.loader(run.loader([torch.zeros(2)])))
    run.finish()
    assert facts(run)["train"]["steps"] == 1


def test_examples_that_are_not_known_are_null(start):
    run = start()
    list(run.loader([["a", "b"], ["c"]], name="text"))
    list(run.loader(DataLoader(["a", "b", "c"], 2, collate_fn=" ".join), name="joined"))
    list(run.loader(DataLoader(dataset(), batch_size=None), name="one by one"))
    run.finish()
    found = facts(run)
    assert found["text"]["examples"] is None
    assert found["joined"]["examples"] == 4  # as many as the DataLoader says a batch has
    assert found["one by one"]["examples"] is None


@pytest.mark.parametrize(
    ("batch", "n"),
    [
        (torch.zeros(3, 2), 3),
        (torch.tensor(1.0), None),
        ({"name": "x", "ids": torch.zeros(2, 5)}, 2),
        (([torch.zeros(4)], torch.zeros(9)), 4),
        ("text", None),
        ([1, 2, 3], None),
        (None, None),
    ],
)
def test_a_batchs_examples_are_the_first_axis_of_its_first_tensor(batch, n):
    assert examples_in(batch) == n


def test_a_loop_that_is_broken_off_leaves_its_iterator_to_be_freed(start):
    freed = []

    def batches():
        try:
            yield from [1, 2, 3]
        finally:
            freed.append(True)

    for _ in start().loader(batches()):
        break
    assert freed == [True]


def test_without_a_loop_nothing_is_written(start):
    run = start()
    run.loader([1])
    run.finish()
    assert not list(run.paths.meta.glob("loaders-*"))


def test_a_folder_that_is_gone_is_counted_not_raised(start):
    import shutil

    run = start()
    shutil.rmtree(run.paths.meta)
    list(run.loader([torch.zeros(2)]))
    run.finish()
    assert run.faults["meta"] >= 1


def test_off_returns_the_loader_itself():
    loader = DataLoader(dataset(), 4)
    assert OffRun({}).loader(loader, name="val") is loader


def test_the_loader_says_whose_it_is(start):
    loader = start().loader([1])
    assert repr(loader) == "<labbook loader 'train' of [1]>"
    assert isinstance(loader, Loader)
