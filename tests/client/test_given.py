import copy
import json
import math

import pytest

from labbook.client import given
from labbook.client.given_histogram import BINS, Histogram
from labbook.client.off import OffRun
from labbook.errors import MisuseError

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402


def card_of(run, name="model"):
    return json.loads(run.paths.given(run.writer, name).read_text())


def described(run, inspection):
    """The card once everything that was seen is described."""
    inspection.close(20)
    return card_of(run)


def forwards(start, model, *batches, **how):
    run = start()
    inspection = run.inspect(model, **how)
    for batch in batches:
        model(batch)
    return described(run, inspection)


def only(card, mode="train"):
    [(_, found)] = card[mode]["inputs"].items()
    return found


# ---------------------------------------------------------------------- copies


def test_a_copy_and_a_saved_model_carry_nothing_of_it(start, tmp_path):
    """Averaged copies are made of models under inspection, and whole models are saved."""
    run, model = start(), nn.Sequential(nn.Linear(2, 3))
    inspection = run.inspect(model)
    average = copy.deepcopy(model)
    torch.save(model, tmp_path / "whole.pt")
    loaded = torch.load(tmp_path / "whole.pt", weights_only=False)
    for other in (average, loaded):
        other(torch.zeros(5, 2))
    model(torch.zeros(4, 2))
    assert only(described(run, inspection))["examples_given"] == 4


def test_following_a_net_keeps_the_first_batches_it_is_given(start):
    run, model = start(), nn.Linear(2, 3)
    run.follow(model)
    model(torch.zeros(4, 2))
    run._inspections["model"].close(20)
    assert only(card_of(run))["examples_given"] == 4


def test_a_second_inspection_takes_the_place_of_the_first(start):
    run, model = start(), nn.Linear(2, 3)
    run.follow(model)
    inspection = run.inspect(model, batches=1)
    model(torch.zeros(4, 2))
    assert only(described(run, inspection))["examples_given"] == 4
    assert list(run._inspections) == ["model"]


# ---------------------------------------------------------------------- what is recorded


def test_the_statistics_are_those_of_all_that_was_given(start):
    batches = [torch.randn(n, 3, 5, 7) * 2 + 1 for n in (8, 8, 4)]
    card = forwards(start, nn.Flatten(), *batches)
    found, whole = only(card), torch.cat(batches).double()
    assert found["dtypes"] == {"float32": 3}
    assert found["devices"] == {"cpu": 3}
    assert found["shapes"] == [[[8, 3, 5, 7], 2], [[4, 3, 5, 7], 1]]
    assert (found["examples_given"], found["examples_counted"], found["n"]) == (20, 20, 2100)
    expected = (whole.min(), whole.max(), whole.mean(), whole.std(correction=0))
    assert [found[k] for k in ("min", "max", "mean", "sd")] == pytest.approx(
        [float(value) for value in expected]
    )
    features = found["features"]
    assert features["axis"] == 1
    by_channel = whole.transpose(0, 1).flatten(1)
    assert features["mean"] == pytest.approx(by_channel.mean(1).tolist(), rel=1e-5)
    assert features["sd"] == pytest.approx(by_channel.std(1, correction=0).tolist(), rel=1e-5)
    assert features["min"] == pytest.approx(by_channel.min(1).values.tolist())
    assert features["max"] == pytest.approx(by_channel.max(1).values.tolist())
    assert sum(found["histogram"]["counts"]) == 2100


def test_what_is_not_finite_is_counted_and_left_out(start):
    x = torch.tensor([[1.0, 0.0], [math.nan, 2.0], [math.inf, -math.inf], [3.0, 0.0]])
    found = only(forwards(start, nn.Identity(), x))
    assert (found["n_nan"], found["n_inf"], found["n_zero"]) == (1, 2, 2)
    assert (found["min"], found["max"], found["mean"]) == (0.0, 3.0, pytest.approx(6 / 5))
    assert found["features"]["n_not_finite"] == [2, 1]
    assert found["features"]["mean"] == pytest.approx([2.0, 2 / 3], rel=1e-6)


def test_an_input_without_one_finite_value_has_null_not_zero(start):
    found = only(forwards(start, nn.Identity(), torch.full((4, 2), math.nan)))
    assert [found[k] for k in ("min", "max", "mean", "sd", "histogram")] == [None] * 5
    assert found["features"]["mean"] == [None, None]
    assert found["features"]["distinct"] == [0, 0]


def test_constant_and_binary_features_are_told_from_others_across_batches(start):
    def batch(a, b, c):
        return torch.tensor([[5.0, a, b], [5.0, a, c]])

    found = only(forwards(start, nn.Identity(), batch(0, 1, 1), batch(1, 1, 2), batch(0, 3, 3)))
    assert found["features"]["distinct"] == [1, 2, 3]
    assert found["features"]["sd"][0] == 0


def test_bytes_are_counted_value_by_value(start):
    x = torch.tensor([[0, 0, 255], [1, 255, 255]], dtype=torch.uint8)
    found = only(forwards(start, nn.Identity(), x))
    assert found["dtypes"] == {"uint8": 1}
    assert found["histogram"]["values"] == [[0, 2], [1, 1], [255, 3]]
    assert found["n_whole"] == found["n"] == 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.int64])
def test_every_ordinary_dtype_is_described(start, dtype):
    found = only(forwards(start, nn.Identity(), torch.ones(4, 3).to(dtype)))
    assert (found["mean"], found["sd"], found["n_nan"]) == (1.0, 0.0, 0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.zeros(2, 2, dtype=torch.complex64), "it is complex"),
        (torch.eye(3).to_sparse(), "its layout is torch.sparse_coo"),
        (torch.zeros(2, 2, device="meta"), "it is on the meta device"),
    ],
)
def test_what_cannot_be_described_has_a_reason(start, value, reason):
    found = only(forwards(start, nn.Identity(), value))
    assert found["reasons"] == {reason: 1}
    assert (found["n"], found["mean"]) == (0, None)


def test_inputs_have_the_names_of_the_call(start):
    class Net(nn.Module):
        def forward(self, x, batch, mask=None, *, scale=1.0, how="fast"):
            return x * scale

    run = start()
    net = Net()
    inspection = run.inspect(net)
    net(torch.zeros(3, 2), {"ids": torch.ones(3, 4), "deep": [torch.ones(3)]}, None, how="slow")
    card = described(run, inspection)
    assert list(card["train"]["inputs"]) == ["x", "batch.ids", "batch.deep.0"]
    assert card["train"]["others"] == {"mask": "None", "how": "str"}


def test_a_few_examples_are_kept_as_pictures_and_with_digests(start):
    import base64

    x = torch.rand(40, 1, 8, 8)
    few = only(forwards(start, nn.Identity(), x))["few"]
    assert (few["kind"], few["shape"], len(few["rows"])) == ("image", [16, 8, 8, 1], 16)
    pixels = np.frombuffer(base64.b64decode(few["pixels"]), np.uint8).reshape(few["shape"])
    expected = (x[few["rows"]].numpy().transpose(0, 2, 3, 1) * 255).round()
    assert abs(pixels.astype(int) - expected).max() <= 1


def test_the_same_data_has_the_same_digests_and_other_data_has_not(start):
    def digests(seed):
        x = torch.rand(4, 5, generator=torch.Generator().manual_seed(seed))
        card = forwards(start, nn.Identity(), x)
        run_digest, few = card["train"]["digest"], only(card)["few"]["digest"]
        from labbook.client import current

        current.current().finish()
        return run_digest, few

    assert digests(0) == digests(0)
    assert digests(0)[0] != digests(1)[0]


def test_other_examples_than_the_rest_are_found(start):
    x = torch.rand(200, 3, 4, 4)
    x[17] = 50.0
    x[3] = x[3, :1]  # grey among coloured
    each = only(forwards(start, nn.Identity(), x))["examples"]
    assert each["n"] == 200
    assert each["mean"]["outlying"][0][0] == 17
    assert each["n_grey"] == 2


# ---------------------------------------------------------------------- which batches count


def test_batches_are_counted_until_there_are_enough_of_both(start):
    batches = [torch.zeros(10, 2)] * 12
    card = forwards(start, nn.Identity(), *batches, batches=3, examples=50)
    assert (card["train"]["batches"], card["train"]["examples"]) == (5, 50)
    assert card["forwards"]["train"] == 12


def test_of_a_large_batch_the_first_examples_are_counted_and_it_is_said(start, monkeypatch):
    monkeypatch.setattr(given, "BATCH_BYTES", 10 * 4 * 3)
    found = only(forwards(start, nn.Identity(), torch.arange(64 * 3.0).reshape(64, 3)))
    assert (found["examples_given"], found["examples_counted"], found["max"]) == (64, 10, 29)


def test_several_inputs_share_what_may_be_copied(start, monkeypatch):
    class Pair(nn.Module):
        def forward(self, a, b):
            return a

    monkeypatch.setattr(given, "BATCH_BYTES", 2 * 5 * 4)
    run = start()
    net = Pair()
    inspection = run.inspect(net)
    net(torch.zeros(8, 1), torch.zeros(8, 1))
    inputs = described(run, inspection)["train"]["inputs"]
    assert [inputs[name]["examples_counted"] for name in "ab"] == [5, 5]


def test_training_and_evaluation_are_kept_apart(start):
    run = start()
    net = nn.Linear(2, 2)
    inspection = run.inspect(net)
    net.eval()
    with torch.no_grad():
        net(torch.full((5, 2), 7.0))
    net(torch.full((5, 2), 7.0))
    net.train()
    net(torch.zeros(3, 2))
    card = described(run, inspection)
    assert card["first_mode"] == "eval"
    assert card["forwards"] == {
        "train": 1,
        "train_without_grad": 0,
        "eval": 2,
        "eval_with_grad": 1,
    }
    assert only(card)["max"] == 0.0
    assert only(card, "eval")["min"] == 7.0


def test_observing_the_chosen_set_is_not_counted(start):
    run = start()
    net = nn.Linear(2, 2)
    inspection = run.inspect(net)
    run.choose([torch.zeros(2)] * 8, n=4).observe(net, step=0)
    net(torch.ones(3, 2))
    card = described(run, inspection)
    assert card["eval"] is None
    assert (card["forwards"]["train"], card["forwards"]["eval"]) == (1, 0)


def test_layers_in_eval_mode_and_autocast_are_noted_in_the_first_training_pass(start):
    run = start()
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    net[1].eval()
    inspection = run.inspect(net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net(torch.ones(3, 2))
    card = described(run, inspection)
    assert card["while_training"] == {"eval_modules": {"BatchNorm1d": 1}, "autocast": "bfloat16"}


def test_a_pass_in_training_mode_without_gradients_is_no_training_step(start):
    run = start()
    net = nn.Linear(2, 2)
    inspection = run.inspect(net)
    with torch.no_grad():
        net(torch.ones(3, 2))
    net(torch.zeros(3, 2))
    card = described(run, inspection)
    assert card["forwards"]["train_without_grad"] == 1
    assert (card["train"]["batches"], only(card)["max"]) == (1, 0.0)


def test_the_hooks_are_taken_off_when_there_is_enough(start):
    run = start()
    net = nn.Linear(2, 2)
    run.inspect(net, batches=2, examples=0)
    for _ in range(2):
        net(torch.zeros(3, 2))
    net.eval()
    for _ in range(3):
        net(torch.zeros(3, 2))
    assert not net._forward_pre_hooks
    assert not run._measured()._lookers


def test_without_an_evaluation_the_hook_is_taken_off_in_the_end(start, monkeypatch):
    monkeypatch.setattr(given, "MOST_FORWARDS", 5)
    run = start()
    net = nn.Linear(2, 2)
    run.inspect(net)
    for _ in range(6):
        net(torch.zeros(3, 2))
    assert not net._forward_pre_hooks


def test_batches_that_come_too_fast_are_passed_over_and_counted(start, monkeypatch):
    monkeypatch.setattr(given, "WAITING_BYTES", -1)
    run = start()
    net = nn.Identity()
    inspection = run.inspect(net)
    net(torch.zeros(3, 2))
    inspection.close(20)
    assert inspection.sections["train"].n_skipped == 1


# ---------------------------------------------------------------------- targets


def dataset():
    return TensorDataset(torch.randn(30, 2), torch.arange(30) % 3)


def test_targets_come_from_the_loader_for_the_batches_that_count(start):
    run = start()
    net = nn.Linear(2, 2)
    inspection = run.inspect(net, batches=2, examples=0)
    for x, _ in run.loader(DataLoader(dataset(), 10)):
        net(x)
    card = described(run, inspection)
    target = card["train"]["targets"]["target"]
    assert card["train"]["targets_from"] == "run.loader"
    assert target["histogram"]["values"] == [[0, 7], [1, 7], [2, 6]]
    assert target["neighbours"] == {"pairs": 18, "equal": 0}


def test_targets_come_from_the_loss_as_it_is_given_them(start):
    run = start()
    net, loss = nn.Linear(2, 3), nn.CrossEntropyLoss()
    inspection = run.inspect(net, loss, batches=2, examples=0)
    for x, y in DataLoader(dataset(), 10):
        loss(net(x), y)
    card = described(run, inspection)
    assert card["train"]["targets_from"] == "the loss"
    assert card["train"]["targets"]["target"]["examples_given"] == 20
    assert not loss._forward_pre_hooks


def test_the_last_batch_that_counts_has_its_target_too(start):
    run = start()
    net, loss = nn.Linear(2, 3), nn.CrossEntropyLoss()
    inspection = run.inspect(net, loss, batches=1, examples=0)
    net.eval()
    net(torch.zeros(2, 2))
    net.train()
    loss(net(torch.zeros(2, 2)), torch.tensor([1, 2]))
    card = described(run, inspection)
    assert card["train"]["targets"]["target"]["examples_given"] == 2


@pytest.mark.parametrize("batch", [[torch.zeros(2)] * 3, torch.zeros(2), {"a": torch.zeros(2)}])
def test_targets_are_not_guessed(start, batch):
    run = start()
    net = nn.Identity()
    inspection = run.inspect(net)
    for _ in run.loader([batch]):
        net(torch.zeros(2, 2))
    card = described(run, inspection)
    assert (card["train"]["targets"], card["train"]["targets_from"]) == ({}, None)


def test_the_second_of_a_pair_that_the_model_is_given_too_is_no_target(start):
    class Pair(nn.Module):
        def forward(self, a, b):
            return a + b

    run = start()
    net = Pair()
    inspection = run.inspect(net)
    for a, b in run.loader([(torch.zeros(2, 2), torch.ones(2, 2))]):
        net(a, b)
    card = described(run, inspection)
    assert list(card["train"]["inputs"]) == ["a", "b"]
    assert card["train"]["targets"] == {}


def test_labels_that_the_model_is_given_by_their_name_are_its_targets(start):
    class Wrapped(nn.Module):
        def forward(self, x, labels):
            return x

    run = start()
    net = Wrapped()
    inspection = run.inspect(net)
    for batch in run.loader([{"x": torch.zeros(2, 2), "labels": torch.tensor([0, 1])}]):
        net(**batch)
    card = described(run, inspection)
    assert list(card["train"]["inputs"]) == ["x", "labels"]
    assert card["train"]["targets"]["target"]["examples_given"] == 2


# ---------------------------------------------------------------------- nothing is disturbed


def training(run, inspected):
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(net.parameters())
    loss_function = nn.CrossEntropyLoss()
    loader = DataLoader(dataset(), 8, shuffle=True)
    if inspected:
        run.inspect(net)
        loader = run.loader(loader)
    losses = []
    for _ in range(4):
        for x, y in loader:
            loss = loss_function(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses), nn.utils.parameters_to_vector(net.parameters()).detach()


def test_training_is_bit_for_bit_the_same(start):
    run = start()
    for plain, inspected in zip(training(run, False), training(run, True), strict=True):
        assert torch.equal(plain, inspected)


def test_what_the_training_does_to_its_batch_afterwards_is_not_seen(start):
    run = start()
    net = nn.Identity()
    inspection = run.inspect(net)
    x = torch.ones(3, 2)
    net(x)
    x.fill_(9.0)
    assert only(described(run, inspection))["max"] == 1.0


class LateEvent:
    """Labelled fake: a CUDA event that is passed when it is asked for the third time."""

    def __init__(self):
        self.n = 0

    def query(self):
        self.n += 1
        return self.n >= 3


def test_copies_from_a_device_are_waited_for_by_later_passes_never_in_one(start, monkeypatch):
    events = []

    def late(name, value, budget):
        copy = taken(name, value, budget)
        copy.event = LateEvent()
        events.append(copy.event)
        return copy

    taken = given.taken
    monkeypatch.setattr(given, "taken", late)
    run = start()
    net = nn.Identity()
    inspection = run.inspect(net)
    net(torch.ones(2, 2))
    assert not inspection._describer.has_arrived
    assert events[0].n == 1  # asked once, and gone on
    net(torch.ones(2, 2))
    assert only(described(run, inspection))["examples_counted"] == 4


@pytest.mark.gpu
def test_a_batch_on_a_gpu_is_described_as_it_was_at_the_call(start):
    run = start()
    net = nn.Identity()
    inspection = run.inspect(net)
    x = torch.ones(1 << 16, 4, device="cuda")
    torch.cuda.set_sync_debug_mode("error")  # raises when something waits for the device
    try:
        net(x)
        x.fill_(9.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = only(described(run, inspection))
    assert found["devices"] == {"cuda:0": 1}
    assert (found["min"], found["max"]) == (1.0, 1.0)


def test_a_fault_inside_ends_the_inspection_not_the_training(start, monkeypatch):
    def broken(*_):
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(given, "taken", broken)
    run = start()
    net = nn.Identity()
    run.inspect(net)
    assert torch.equal(net(torch.ones(2, 2)), torch.ones(2, 2))
    assert run.faults == {"inspect": 1}
    assert not net._forward_pre_hooks


def test_a_batch_that_cannot_be_described_is_counted(start, monkeypatch):
    from labbook.client import given_card

    monkeypatch.setattr(given_card, "as_numbers", lambda values: 1 / 0)
    run = start()
    net = nn.Identity()
    inspection = run.inspect(net)
    net(torch.ones(2, 2))
    inspection.close(20)
    assert run.faults == {"inspect": 1}


def test_a_full_disk_is_counted(start):
    run = start()
    (run.paths.root / "given").write_text("in the way")
    net = nn.Identity()
    inspection = run.inspect(net)
    net(torch.ones(2, 2))
    inspection.close(20)
    assert run.faults["inspect"] >= 1


def test_a_lazy_model_is_initialised_as_ever(start):
    net = nn.Sequential(nn.LazyLinear(4))
    found = only(forwards(start, net, torch.ones(2, 3)))
    assert net[0].in_features == 3
    assert found["shapes"] == [[[2, 3], 1]]


def test_a_compiled_model_is_seen_and_compiled_whole(start):
    run = start()
    net = torch.compile(nn.Linear(2, 2), backend="eager", fullgraph=True)
    inspection = run.inspect(net)
    net(torch.ones(3, 2))
    assert only(described(run, inspection))["shapes"] == [[[3, 2], 1]]


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


def test_a_model_compiled_in_place_is_seen_and_given_back(start):
    run = start()
    net = Doubling()
    net.compile(backend="eager", fullgraph=True)
    compiled = net._compiled_call_impl
    inspection = run.inspect(net)
    net(torch.ones(3, 2))
    assert only(described(run, inspection))["shapes"] == [[[3, 2], 1]]
    assert net._compiled_call_impl is compiled


def test_a_model_compiled_afterwards_is_not_broken(start):
    run = start()
    net = nn.Linear(2, 2)
    inspection = run.inspect(net)
    torch.compile(net, backend="eager", fullgraph=True)(torch.ones(3, 2))
    inspection.close(20)
    assert not run.paths.given(run.writer, "model").exists()
    assert run.faults == {}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_tracing_does_not_take_the_copy_into_the_graph(start):
    run = start()
    net = nn.Linear(2, 2)
    run.inspect(net)
    traced = torch.jit.trace(net, torch.ones(3, 2))
    assert "aten::clone" not in str(traced.inlined_graph)


def test_finishing_the_run_writes_the_card(start):
    run = start()
    net = nn.Linear(2, 2)
    run.inspect(net)
    net(torch.ones(3, 2))
    run.finish()
    assert only(card_of(run))["mean"] == 1.0


def test_two_models_have_a_card_each(start):
    run = start()
    for name in ("generator", "critic"):
        net = nn.Identity()
        run.inspect(net, name=name)
        net(torch.ones(2, 2))
    run.finish()
    assert {card_of(run, name)["name"] for name in ("generator", "critic")} == {
        "generator",
        "critic",
    }


def test_wrong_use_is_refused(start):
    run = start()
    with pytest.raises(MisuseError, match=r"wants a torch\.nn\.Module, the one that you call"):
        run.inspect(lambda x: x)
    with pytest.raises(MisuseError, match=r"wants a loss module such as nn\.CrossEntropyLoss"):
        run.inspect(nn.Identity(), nn.functional.cross_entropy)
    with pytest.raises(MisuseError, match="batches of at least 1, got 0"):
        run.inspect(nn.Identity(), batches=0)
    with pytest.raises(MisuseError, match="cannot be a file name"):
        run.inspect(nn.Identity(), name="a/b")


def test_off_hooks_nothing():
    net = nn.Identity()
    OffRun({}).inspect(net).close()
    assert not net._forward_pre_hooks


# ---------------------------------------------------------------------- the histogram


def test_a_histogram_keeps_every_value_while_its_range_grows():
    rng = np.random.default_rng(0)
    histogram, n = Histogram(), 0
    for scale in (1.0, 1e-3, 50.0, 1e9, 3.0):
        values = rng.normal(size=500) * scale
        histogram.add(values)
        n += len(values)
        assert histogram.counts.sum() == n
    found = histogram.as_json()
    assert found["values"] is None
    assert found["low"] + BINS * found["width"] >= 1e9


def test_a_histogram_is_numpys_while_the_range_is_known():
    values = np.linspace(-1, 1, 1001)
    histogram = Histogram()
    histogram.add(values)
    expected, _ = np.histogram(values, BINS, (-1, 1))
    assert abs(histogram.counts - expected).max() <= 1


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [-1e300, 1e300], [5e-324, 1.0]])
def test_a_histogram_of_extremes_counts_all(values):
    histogram = Histogram()
    for value in values:
        histogram.add(np.array([value]))
    assert histogram.counts.sum() == len(values)
