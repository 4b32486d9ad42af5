"""Comparing two runs: bit for bit, within a tolerance, and where they part."""

import math

import pytest

import labbook
from labbook.restore.verify import compare, is_timing


@pytest.fixture
def record(tmp_path):
    """Record a run of rows {step: {name: value}}; returns a function that does so."""

    def run(rows):
        made = labbook.start(args={}, book=tmp_path / "book", gauges=None, output=False)
        for step, values in rows:
            made.log(values, step=step)
        made.finish()
        return labbook.open(tmp_path / "book").run(made.id)

    return run


def rows(*values, name="loss"):
    return [(step, {name: value}) for step, value in enumerate(values)]


def test_equal_bit_for_bit_with_nan_infinity_and_null(record):
    values = rows(1.0, math.nan, math.inf, None, -0.0)
    found = compare(record(values), record(values))
    assert (found.verdict, found.first, found.n_rows) == ("bitwise", None, 5)


@pytest.mark.parametrize(
    ("left", "right"), [(0.0, -0.0), (1.0, 1.0 + 2**-52), (1.0, None), (math.nan, 1.0),
                        (math.inf, -math.inf), (1.0, math.inf)]
)  # fmt: skip
def test_the_smallest_difference_is_one(record, left, right):
    found = compare(record(rows(1.0, left, 5.0)), record(rows(1.0, right, 6.0)))
    assert found.verdict == "different" or (left, right) == (0.0, -0.0)
    assert found.parts[0].pairing.n_unequal == 2
    assert found.first.step == (2 if left == 0.0 else 1)


def test_the_first_divergence_and_its_sizes(record):
    a = [(step, {"loss": step + 1.0, "acc": 0.5}) for step in range(10)]
    b = [(s, {"loss": v["loss"] + (0.25 if s >= 3 else 0), "acc": 0.5}) for s, v in a]
    found = compare(record(a), record(b))
    first = found.first
    assert (first.name, first.step, first.a, first.b) == ("loss", 3, 4.0, 4.25)
    assert (first.absolute, first.relative) == (0.25, 0.0625)
    assert [part.pairing.verdict for part in found.parts] == ["bitwise", "different"]
    assert found.parts[1].pairing.n_unequal == 7


def test_the_earliest_step_of_all_series_is_the_first(record):
    a = [(s, {"a": 1.0, "b": 1.0}) for s in range(5)]
    b = [(s, {"a": 1.0 + (s >= 4), "b": 1.0 + (s >= 2)}) for s in range(5)]
    assert compare(record(a), record(b)).first.name == "b"


def test_tolerances(record):
    a, b = record(rows(1.0, 100.0)), record(rows(1.0001, 100.001))
    assert compare(a, b).verdict == "different"
    assert compare(a, b, rtol=1e-3).verdict == "within"
    assert compare(a, b, atol=1e-2).verdict == "within"
    assert compare(a, b, atol=5e-4).first.step == 1


def test_steps_that_only_one_has(record):
    short, long = record(rows(1.0, 2.0)), record(rows(1.0, 2.0, 3.0))
    for a, b, why in ((short, long, "only in b"), (long, short, "only in a")):
        first = compare(a, b, atol=9).first
        assert (first.why, first.step) == (why, 2)
    other = record([(0, {"loss": 1.0}), (5, {"loss": 2.0})])
    first = compare(short, other).first
    assert (first.why, first.step) == ("only in a", 1)


def test_series_that_only_one_has(record):
    found = compare(record(rows(1.0)), record([(0, {"loss": 1.0, "extra": 2.0})]))
    assert (found.first.name, found.first.why) == ("extra", "only in b")


def test_timings_are_reported_and_not_counted(record):
    a = record([(0, {"loss": 1.0, "step_time": 0.1})])
    b = record([(0, {"loss": 1.0, "step_time": 0.2})])
    found = compare(a, b)
    assert found.verdict == "bitwise"
    (timing,) = [part for part in found.parts if not part.is_counted]
    assert (timing.name, timing.pairing.verdict) == ("step_time", "different")
    assert compare(a, b, timings=True).verdict == "different"
    assert compare(a, b, timings=True, ignore=("step_*",)).verdict == "bitwise"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("seconds", True), ("step_time", True), ("samples_per_second", True), ("tokens/s", True),
     ("timing/forward", True), ("epochSeconds", True), ("loss", False), ("s", False),
     ("time_embedding_norm", False), ("sometimes", False), ("val/timestep_loss", False)],
)  # fmt: skip
def test_what_measures_time(name, is_one):
    assert is_timing(name) is is_one


def test_nothing_to_compare(record):
    assert compare(record([]), record([])).verdict == "incomparable"
    only_time = rows(1.0, name="seconds")
    assert compare(record(only_time), record(only_time)).verdict == "incomparable"


def test_chosen_sets(tmp_path):
    torch = pytest.importorskip("torch")
    inputs = torch.arange(24.0).reshape(8, 3)
    data = torch.utils.data.TensorDataset(inputs, torch.arange(8) % 2)

    def train(change_at):
        run = labbook.start(args={}, book=tmp_path / "book", gauges=None, output=False)
        chosen = run.choose(data, n=4)
        model = torch.nn.Linear(3, 2)
        torch.nn.init.constant_(model.weight, 0.1)
        torch.nn.init.constant_(model.bias, 0.0)
        for step in range(4):
            if step == change_at:
                torch.nn.init.constant_(model.bias, 0.5)
            chosen.observe(model, torch.nn.functional.cross_entropy, step=step)
        run.finish()
        return labbook.open(tmp_path / "book").run(run.id)

    a = train(change_at=9)
    assert compare(a, train(change_at=9)).verdict == "bitwise"
    found = compare(a, train(change_at=2))
    assert found.verdict == "different"
    assert (found.first.step, found.first.absolute) == (2, pytest.approx(0.5, rel=1e-4))
    assert found.first.name == "chosen.output"


def test_lists_and_pictures_of_chosen_sets(tmp_path):
    np = pytest.importorskip("numpy")

    def recorded(change):
        run = labbook.start(args={}, book=tmp_path / "book", gauges=None, output=False)
        chosen = run.choose(np.full((3, 8, 8), 7, np.uint8), n=3)
        chosen.record(0, boxes=[[1.0, 2.0], [3.0, 4.0], [5.0]])
        chosen.record(1, boxes=[[1.0, 2.0], [3.0, change], [5.0, 6.0]])
        run.finish()
        return labbook.open(tmp_path / "book").run(run.id)

    a = recorded(4.0)
    assert compare(a, recorded(4.0)).verdict == "bitwise"
    found = compare(a, recorded(4.5))
    assert (found.verdict, found.first.name, found.first.step) == ("different", "chosen.boxes", 1)
