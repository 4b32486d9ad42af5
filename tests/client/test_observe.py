"""What an observation records, and what it refuses."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from labbook.client.chosen import choose
from labbook.errors import MisuseError
from labbook.journal.reader import Event


def data(n=40):
    generator = torch.Generator().manual_seed(3)
    return TensorDataset(
        torch.rand(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator)
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 3))


def expected(model, chosen, dataset):
    x, y = (part[list(chosen.indices)] for part in dataset.tensors)
    model.eval()
    with torch.no_grad():
        output = model(x)
    model.train()
    return output, F.cross_entropy(output, y, reduction="none"), y


def opaque(output, target):
    return F.cross_entropy(output, target)


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        nn.CrossEntropyLoss(),
        opaque,
        lambda output, target: F.cross_entropy(output, target, reduction="none"),
    ],
    ids=["function", "module", "opaque mean", "vector"],
)
def test_losses_are_one_an_example(journal, model, loss):
    chosen = choose(journal.writer, data(), 10, batch_size=4)
    assert chosen.observe(model, loss, step=7)
    output, losses, y = expected(model, chosen, data())
    ((step, columns),) = journal.columns("chosen")
    assert step == 7
    np.testing.assert_allclose(columns["output"], output, rtol=1e-5)
    np.testing.assert_allclose(columns["loss"], losses, rtol=1e-5)
    assert columns["loss"].dtype == columns["output"].dtype == np.float32
    assert columns["prediction"].tolist() == output.argmax(1).tolist()
    assert columns["correct"].tolist() == (output.argmax(1) == y).tolist()


def test_without_a_loss_only_outputs(journal, model):
    choose(journal.writer, data(), 4).observe(model, step=0)
    ((_, columns),) = journal.columns("chosen")
    assert "loss" not in columns
    assert columns["output"].shape == (4, 3)


def test_a_sequence_loss_is_the_mean_over_its_positions(journal):
    tokens = TensorDataset(torch.rand(8, 5, 4), torch.randint(0, 7, (8, 5)))
    model = nn.Linear(4, 7)

    def loss(output, target):
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    choose(journal.writer, tokens, 8).observe(model, loss, step=0)
    ((_, columns),) = journal.columns("chosen")
    output = model(tokens.tensors[0]).detach()
    wanted = F.cross_entropy(output.transpose(1, 2), tokens.tensors[1], reduction="none").mean(1)
    np.testing.assert_allclose(columns["loss"], wanted, rtol=1e-5)
    assert columns["output"].shape == (8, 5, 7)


def test_non_finite_losses_are_recorded_as_they_are(journal):
    x = torch.tensor([[1.0], [float("nan")], [float("inf")]])
    choose(journal.writer, (x, torch.zeros(3, 1)), 3).observe(nn.Identity(), F.mse_loss, step=0)
    ((_, columns),) = journal.columns("chosen")
    assert columns["loss"][0] == 1.0
    assert np.isnan(columns["loss"][1])
    assert np.isinf(columns["loss"][2])


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (lambda o, t: F.cross_entropy(o, t, reduction="sum"), "it is not a mean over examples"),
        (nn.CrossEntropyLoss(torch.tensor([1.0, 9.0, 1.0])), "it is not a mean over examples"),
        (lambda o, t: o.std(), "it is not a mean over examples"),
        (lambda o, t: o, r"returned shape \(10, 3\) for a batch of 10 examples"),
        (lambda o, t: 0.5, "must return a tensor, got float"),
    ],
    ids=["sum", "class weights", "between examples", "shape", "number"],
)
def test_a_loss_that_is_not_one_an_example_is_refused_with_the_fix(journal, model, loss, text):
    chosen = choose(journal.writer, data(), 10)
    with pytest.raises(MisuseError, match=text) as caught:
        chosen.observe(model, loss, step=0)
    assert "reduction='none'" in str(caught.value)
    assert journal.columns("chosen") == []


def test_rows_that_are_mappings_become_keywords(journal):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(10, 3)

        def forward(self, input_ids, mask):
            logits = (self.table(input_ids) * mask[..., None]).mean(1)
            return OrderedDict(logits=logits, hidden=[input_ids])

    rows = [
        {"input_ids": [i % 10, 3], "mask": torch.tensor([1.0, 0.5]), "labels": i % 3}
        for i in range(20)
    ]
    choose(journal.writer, rows, 5).observe(
        Model(), lambda out, y: F.cross_entropy(out["logits"], y), step=0
    )
    ((_, columns),) = journal.columns("chosen")
    assert columns["output"].shape == (5, 3)
    assert columns["loss"].shape == (5,)
    assert "correct" in columns


def test_collate_and_forward_stand_in_for_ours(journal):
    texts = [("a" * (1 + i % 5), i % 2) for i in range(20)]

    def collate(items):
        longest = max(len(text) for text, _ in items)
        x = torch.zeros(len(items), longest)
        for row, (text, _) in zip(x, items, strict=True):
            row[: len(text)] = 1
        return {"x": x, "answer": torch.tensor([y for _, y in items])}

    def forward(model, batch):
        return model(batch["x"].sum(1, keepdim=True))

    chosen = choose(
        journal.writer, texts, 6, collate=collate, forward=forward, target=lambda item: item[1]
    )
    chosen.observe(nn.Linear(1, 2), F.cross_entropy, step=0)
    ((_, columns),) = journal.columns("chosen")
    assert columns["output"].shape == (6, 2)


def test_a_random_collate_shows_the_same_view_each_time(journal):
    def masking(items):
        x = torch.stack([x for x, _ in items])
        return x * (torch.rand(x.shape) > 0.5), torch.stack([y for _, y in items])

    chosen = choose(journal.writer, data(), 8, collate=masking)
    for step in (0, 1):
        torch.manual_seed(step)
        chosen.observe(nn.Identity(), None, step=step)
    (_, one), (_, two) = journal.columns("chosen")
    assert one["output"].tolist() == two["output"].tolist()


def test_reconstruction_by_a_target_function(journal):
    chosen = choose(journal.writer, torch.rand(9, 4), 3, target=lambda x: x)
    chosen.observe(nn.Linear(4, 4), F.mse_loss, step=0)
    ((_, columns),) = journal.columns("chosen")
    assert columns["loss"].shape == (3,)
    assert "correct" not in columns


def test_without_targets_the_loss_gets_the_output_and_an_error_says_so(journal):
    chosen = choose(journal.writer, torch.rand(9, 4), 3)
    chosen.observe(nn.Linear(4, 1), lambda output: output[:, 0] ** 2, step=0)
    with pytest.raises(TypeError) as caught:
        chosen.observe(nn.Linear(4, 4), F.mse_loss, step=1)
    assert "have no target" in caught.value.__notes__[0]


def test_wrong_shapes_raise_with_a_note(journal):
    chosen = choose(journal.writer, data(), 5)
    with pytest.raises(RuntimeError) as caught:
        chosen.observe(nn.Linear(3, 2), F.cross_entropy, step=0)
    assert "model(Tensor (5, 6))" in caught.value.__notes__[0]
    with pytest.raises(MisuseError, match=r"output has shape \(3,\) for 5 examples"):
        chosen.observe(Mean(), F.cross_entropy, step=0)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(0)[:3]


def test_examples_that_do_not_stack_ask_for_collate(journal):
    chosen = choose(journal.writer, [torch.rand(n + 1) for n in range(5)], 5)
    with pytest.raises(MisuseError, match=r"give choose\(\) the collate= function"):
        chosen.observe(nn.Identity(), None, step=0)


def test_what_is_no_torch_module_is_refused(journal):
    with pytest.raises(MisuseError, match=r"wants a torch.nn.Module, got function.*record\(step"):
        choose(journal.writer, data(), 5).observe(opaque, None, step=0)


def test_lazy_parameters_are_left_to_the_training(journal):
    model = nn.LazyLinear(3)
    with pytest.raises(MisuseError, match="observe after the first training step"):
        choose(journal.writer, data(), 5).observe(model, None, step=0)
    assert torch.nn.parameter.is_lazy(model.weight)


def test_large_outputs_are_left_out_and_said_once(journal, monkeypatch):
    monkeypatch.setattr("labbook.client.outputs.OBSERVATION_BYTES", 95_999)

    class Wide(nn.Module):
        def forward(self, x):
            return x.repeat(1, 1000)

    chosen = choose(journal.writer, data(), 4)
    for step in range(3):
        assert chosen.observe(Wide(), lambda o, t: o.mean(1), step=step)
    assert [set(columns) for _, columns in journal.columns("chosen")] == [
        {"loss", "prediction", "correct"}
    ] * 3
    (event,) = journal.records(Event)
    assert event.fields["kind"] == "output-left-out"
    text = event.fields["text"]
    assert text.startswith("chosen set 'chosen': the model's output has 6,000 values an example, m")
    assert journal.said == [text]
    assert 'choose(keep="top5"), "argmax", "stats" or a function records less' in text


def test_nothing_recorded_is_not_called_recorded(journal):
    class Mute(nn.Module):
        def forward(self, x):
            return "no tensor"

    assert choose(journal.writer, data(), 4).observe(Mute(), None, step=0) is False
    (line,) = journal.said
    assert line == "chosen set 'chosen': the model's output holds no tensor"


def test_not_due_is_not_observed(journal, model):
    chosen = choose(journal.writer, data(), 4, every=10)
    due = [step for step in [1, 2, 9, 10, 11, 25, 26, 30] if chosen.observe(model, None, step=step)]
    assert due == [1, 10, 25, 30]
    # a resumed run begins again at an earlier step
    assert chosen.observe(model, None, step=20)
    assert not chosen.observe(model, None, step=21)


def test_without_a_step_the_current_one_or_a_count(journal, model):
    at = choose(journal.writer, data(), 4, name="at", step_now=lambda: 12)
    at.observe(model)
    count = choose(journal.writer, data(), 4, name="count", every=2)
    assert [count.observe(model) for _ in range(4)] == [True, False, True, False]
    assert [step for step, _ in journal.columns("chosen", "at")] == [12]
    assert [step for step, _ in journal.columns("chosen", "count")] == [0, 2]


def test_the_callers_autocast_region_is_that_of_the_observation(journal, model):
    chosen = choose(journal.writer, data(), 4)
    chosen.observe(model, F.cross_entropy, step=0)
    with torch.autocast("cpu", torch.bfloat16):
        chosen.observe(model, F.cross_entropy, step=1)
    (_, full), (_, half) = journal.columns("chosen")
    rounded = torch.tensor(half["output"]).bfloat16().float()
    assert rounded.tolist() == half["output"].tolist()
    assert rounded.tolist() != full["output"].tolist()


class Exhausted(nn.Module):
    """Stands for a model that does not fit: torch itself refuses the allocation."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        self.norm.running_mean += 1
        torch.rand(1)
        return x, torch.empty(2**58)


def test_out_of_memory_skips_the_observation_with_a_reason(journal):
    model = Exhausted()
    before = torch.get_rng_state()
    chosen = choose(journal.writer, data(), 4)
    assert chosen.observe(model, None, step=1) is False
    assert chosen.observe(model, None, step=2) is False
    assert chosen.skipped == 2
    assert journal.columns("chosen") == []
    events = journal.records(Event)
    assert [(event.fields["kind"], event.step) for event in events] == [
        ("observe-skipped", 1),
        ("observe-skipped", 2),
    ]
    assert events[0].fields["reason"]
    assert journal.writer.faults["observe-skipped"] == 2
    assert len(journal.said) == 1
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    assert model.norm.running_mean.sum() == 0
