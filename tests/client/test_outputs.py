"""What of an output is kept: dense ones, summaries, lists of unequal length, rounded values."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labbook.client.chosen import choose
from labbook.errors import MisuseError
from labbook.journal.reader import Array, Event


def data(n=12, *shape, classes=5):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, 6, generator=generator)
    return x, torch.randint(0, classes, (n, *shape), generator=generator)


class Shaped(nn.Module):
    """A linear model whose output has a shape of choice."""

    def __init__(self, *shape):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, int(np.prod(shape)))
        self.shape = shape

    def forward(self, x):
        return self.linear(x).reshape(len(x), *self.shape)


def observed(journal, model, dataset, loss=None, **options):
    """The columns of one observation, its record, and the model's output."""
    chosen = choose(journal.writer, dataset, 12, batch_size=5, **options)
    assert chosen.observe(model, loss, step=3)
    ((_, columns),) = journal.columns("chosen")
    (record,) = (r for r in journal.records(Array) if r.header["table"] == "chosen")
    with torch.no_grad():
        return columns, record.header, model(data()[0])


@pytest.mark.parametrize("shape", [(4, 7), (3, 8, 8), ()])
def test_outputs_of_any_shape_are_kept_whole(journal, shape):
    columns, header, output = observed(journal, Shaped(*shape), data())
    assert columns["output"].shape == (12, *shape)
    np.testing.assert_allclose(columns["output"], output, atol=1e-6)
    assert set(columns) == {"output"}
    assert "keep" not in header


def test_the_highest_classes(journal):
    columns, header, output = observed(journal, Shaped(5), data(), F.cross_entropy, keep="top3")
    values, indices = output.topk(3, 1)
    np.testing.assert_allclose(columns["top_values"], values, rtol=1e-5)
    assert columns["top_indices"].tolist() == indices.tolist()
    assert columns["top_indices"].dtype == np.int32
    np.testing.assert_allclose(columns["logsumexp"], output.logsumexp(1), rtol=1e-5)
    assert columns["prediction"].tolist() == output.argmax(1).tolist()
    assert set(columns) == {
        "loss", "top_values", "top_indices", "logsumexp", "prediction", "correct"
    }  # fmt: skip
    assert header["keep"] == "top3"


def test_the_highest_of_fewer_classes_are_all(journal):
    columns, *_ = observed(journal, Shaped(5), data(), keep="top50")
    assert columns["top_values"].shape == (12, 5)


def test_the_highest_tokens_at_each_position(journal):
    columns, _, output = observed(journal, Shaped(4, 9), data(12, 4, classes=9), keep="top2")
    values, indices = output.topk(2, -1)
    np.testing.assert_allclose(columns["top_values"], values, rtol=1e-5)
    assert columns["top_indices"].tolist() == indices.tolist()
    assert columns["logsumexp"].shape == (12, 4)
    right = (output.argmax(-1) == data(12, 4, classes=9)[1]).float().mean(1)
    np.testing.assert_allclose(columns["accuracy"], right, rtol=1e-6)


def test_the_class_of_each_pixel(journal):
    # the classes are the second axis, as in F.cross_entropy
    x, y = data(12, 8, 8)
    y[0, 0, 0] = -100  # no class: it does not count
    columns, _, output = observed(journal, Shaped(5, 8, 8), (x, y), keep="argmax")
    assert columns["prediction"].tolist() == output.argmax(1).tolist()
    assert columns["prediction"].dtype == np.int32
    right = ((output.argmax(1) == y) & (y >= 0)).flatten(1).sum(1) / (y >= 0).flatten(1).sum(1)
    np.testing.assert_allclose(columns["accuracy"], right, rtol=1e-6)
    assert set(columns) == {"prediction", "accuracy"}


def test_the_class_of_each_example(journal):
    columns, *_ = observed(journal, Shaped(5), data(), keep="argmax")
    assert columns["prediction"].dtype == np.int64
    assert columns["correct"].dtype == bool
    assert set(columns) == {"prediction", "correct"}


def test_without_targets_the_class_axis_is_the_usual_one(journal):
    columns, _, output = observed(journal, Shaped(5, 8, 7), data()[0], keep="argmax")
    assert columns["prediction"].tolist() == output.argmax(1).tolist()


def test_statistics_are_of_finite_values(journal):
    class Spoilt(Shaped):
        def forward(self, x):
            output = super().forward(x).clone()
            output[0] = float("nan")
            output[1, 0] = float("inf")
            return output

    columns, header, output = observed(journal, Spoilt(4, 2), data(), keep="stats")
    assert header["keep"] == "stats"
    assert columns["output_nonfinite"].tolist()[1:5] == [2, 0, 0, 0]
    assert np.isnan(columns["output_mean"][0])
    assert np.isnan(columns["output_min"][0])
    flat = output.reshape(12, -1).numpy()
    np.testing.assert_allclose(columns["output_std"][3], flat[3].std(), rtol=1e-5)
    known = flat[1][np.isfinite(flat[1])]
    for name in ("mean", "std", "min", "max"):
        made = columns[f"output_{name}"][1]
        np.testing.assert_allclose(made, getattr(known, name)(), rtol=1e-5)


def test_a_function_decides(journal):
    def keep(output):
        return {"norm": output.norm(dim=1), "signs": output > 0}

    columns, header, output = observed(journal, Shaped(5), data(), keep=keep)
    assert header["keep"] == "function"
    np.testing.assert_allclose(columns["norm"], output.norm(dim=1), rtol=1e-5)
    assert columns["signs"].dtype == bool
    assert set(columns) == {"norm", "signs", "prediction", "correct"}


def test_a_function_that_does_not_count_the_examples_is_refused(journal):
    with pytest.raises(MisuseError, match=r"output has shape \(5,\) for 4 examples; its first"):
        observed(journal, Shaped(5), data(4), keep=lambda output: output.mean(0))


class Detector(nn.Module):
    """As many boxes for an example as its first value says; in the form of torchvision."""

    def forward(self, x):
        counts = (x[:, 0] > 0).long() * 2 + (x[:, 1] > 0).long()
        return [
            {"boxes": x[i, :4].expand(k, 4), "labels": torch.arange(k)}
            for i, k in enumerate(counts.tolist())
        ]


def test_boxes_are_lists_of_unequal_length(journal):
    columns, _, boxes = observed(journal, Detector(), data()[0])
    assert {len(each["boxes"]) for each in boxes} == {0, 1, 2, 3}
    assert [rows.tolist() for rows in columns["boxes"]] == [b["boxes"].tolist() for b in boxes]
    assert [rows.tolist() for rows in columns["labels"]] == [b["labels"].tolist() for b in boxes]


def test_the_loss_of_a_detector_is_cut_into_examples(journal):
    def loss(output, target):
        return torch.stack([each["boxes"].sum() for each in output]).mean() + target.float().mean()

    columns, _, boxes = observed(journal, Detector(), data(), loss)
    wanted = [float(b["boxes"].sum() + y) for b, y in zip(boxes, data()[1], strict=True)]
    np.testing.assert_allclose(columns["loss"], wanted, rtol=1e-4)


def test_a_last_batch_of_one_box_is_still_a_list(journal):
    class Boxes(nn.Module):
        def forward(self, x):
            return [torch.ones(1 + (len(x) > 2), 4) for _ in x]

    columns, *_ = observed(journal, Boxes(), data(11)[0])  # 5, 5 and 1 examples
    assert [rows.shape for rows in columns["output"]] == [(2, 4)] * 10 + [(1, 4)]


def test_names_that_labbook_uses_are_refused(journal):
    with pytest.raises(MisuseError, match="has a column 'loss', which labbook records itself"):
        observed(journal, Shaped(5), data(), keep=lambda output: {"loss": output[:, 0]})


def test_sequences_padded_by_batch_are_lists(journal):
    class Padded(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), len(x), 2)  # as long as the batch is large

    columns, *_ = observed(journal, Padded(), data()[0])
    assert [len(rows) for rows in columns["output"]] == [5] * 10 + [2] * 2


def test_bf16_is_rounded_to_nearest_and_read_as_float32(journal):
    columns, header, output = observed(
        journal, Shaped(5), data(), F.cross_entropy, precision="bf16"
    )
    assert header["precision"] == "bf16"
    assert columns["output"].dtype == np.float32
    assert columns["output"].tolist() == output.bfloat16().float().tolist()
    assert columns["loss"].tolist() != [float(torch.tensor(v).bfloat16()) for v in columns["loss"]]


def test_bf16_holds_for_what_the_user_records(journal):
    chosen = choose(journal.writer, data(), 3, precision="bf16")
    values = np.array([1.00390625, np.nan, -np.inf], np.float32)
    chosen.record(0, output=values, loss=[0.1, 0.2, 0.3], ids=[1, 2, 3])
    ((_, columns),) = journal.columns("chosen")
    assert columns["output"].tolist()[0] == 1.0
    assert np.isnan(columns["output"][1])
    assert np.isneginf(columns["output"][2])
    np.testing.assert_array_equal(columns["loss"], np.array([0.1, 0.2, 0.3], np.float32))
    assert columns["ids"].tolist() == [1, 2, 3]


def test_the_rest_is_kept_where_an_output_is_too_large(journal, monkeypatch):
    monkeypatch.setattr("labbook.client.outputs.OBSERVATION_BYTES", 4 * 12 * 9)

    def keep(output):
        return {"large": output.repeat(1, 2), "small": output[:, 0]}

    columns, *_ = observed(journal, Shaped(5), data(), F.cross_entropy, keep=keep)
    assert set(columns) == {"loss", "small", "prediction", "correct"}
    (event,) = journal.records(Event)
    assert "the model's large has 10 values an example" in event.fields["text"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"keep": "top0"}, 'must be "top5"'),
        ({"keep": "best"}, "got 'best'"),
        ({"keep": 5}, "got 5"),
        ({"precision": "fp16"}, 'must be "float32" or "bf16", got \'fp16\''),
    ],
)
def test_other_ways_are_refused(journal, options, text):
    with pytest.raises(MisuseError, match=text):
        choose(journal.writer, data(), **options)
