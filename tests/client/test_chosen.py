"""Choosing: which examples, out of what, and how they are stored."""

import io
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from labbook.client.chosen import choose
from labbook.client.selection import draw
from labbook.errors import MisuseError


class Images(Dataset):
    """64 flat grey pictures, each of its index, with a random flip as augmentation."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        noise = random.random() + float(torch.rand(())) + float(np.random.rand())
        return torch.full((3, 8, 8), index / 64) + noise, index % 10


def table(n=100):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 10


def pixels(png):
    """The picture as another program reads it."""
    return np.asarray(Image.open(io.BytesIO(png)))


# ---------------------------------------------------------------- which


def test_the_choice_is_known_for_ever():
    # these numbers are in books already: a change makes runs incomparable
    assert draw(1797, 8, 0) == [37, 221, 466, 523, 709, 1163, 1294, 1412]
    assert draw(10, 20, 3) == list(range(10))


@pytest.mark.parametrize(("length", "n"), [(1, 1), (5, 4), (1000, 64), (10**9, 100)])
def test_a_draw_has_n_different_examples_of_the_data(length, n):
    for seed in range(5):
        drawn = draw(length, n, seed)
        assert len(set(drawn)) == n
        assert drawn == sorted(drawn)
        assert 0 <= drawn[0] <= drawn[-1] < length


def test_every_example_is_drawn_as_often_as_every_other():
    counts = np.zeros(20)
    for seed in range(4000):
        counts[draw(20, 5, seed)] += 1
    # each count is binomial(4000, 1/4); the draws are fixed, so this holds always or never
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_the_choice_is_not_moved_by_global_seeds_and_moves_none(journal):
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    first = choose(journal.writer, Images(), 8)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(8)
    torch.manual_seed(8)
    second = choose(journal.writer, Images(), 8)
    assert first.indices == second.indices
    # the augmentation is random, yet both runs saw the same view
    assert first.digest == second.digest


def test_another_seed_chooses_others(journal):
    one = choose(journal.writer, table(), 8)
    two = choose(journal.writer, table(), 8, seed=1)
    assert one.indices != two.indices
    assert one.digest != two.digest


def test_one_changed_pixel_is_seen_in_the_digests(journal):
    x, y = table()
    before = choose(journal.writer, (x, y), 8, name="before")
    x = x.clone()
    x[before.indices[3], 0, 0, 0] += 1
    after = choose(journal.writer, (x, y), 8, name="after")
    assert before.digest != after.digest
    (_, one), (_, two) = (journal.columns("examples", name)[0] for name in ("before", "after"))
    assert np.flatnonzero(one["digest"] != two["digest"]).tolist() == [3]


# ---------------------------------------------------------------- out of what


def pairs():
    x, y = table()
    return [(x[i], int(y[i])) for i in range(len(x))]


@pytest.mark.parametrize(
    "dataset",
    [
        TensorDataset(*table()),
        table(),
        pairs(),
        DataLoader(TensorDataset(*table()), batch_size=10, shuffle=True),
        tuple(part.numpy() for part in table()),
    ],
    ids=["TensorDataset", "tensors", "list", "DataLoader", "arrays"],
)
def test_the_same_data_in_any_form_gives_the_same_examples(journal, dataset):
    chosen = choose(journal.writer, dataset, 16)
    assert chosen.indices == tuple(draw(100, 16, 0))
    assert chosen.length == 100
    ((step, columns),) = journal.columns("examples")
    assert step is None
    assert columns["index"].tolist() == list(chosen.indices)
    assert columns["target"].tolist() == [i % 10 for i in chosen.indices]
    wanted = (table()[0][list(chosen.indices)] * 255).round().to(torch.uint8)
    shown = np.stack([pixels(png) for png in columns["input"]])
    assert shown.tolist() == wanted[:, 0].tolist()
    assert journal.header()["kind"] == "image"


def test_one_tensor_is_inputs_without_targets(journal):
    choose(journal.writer, torch.rand(10, 5), 4)
    ((_, columns),) = journal.columns("examples")
    assert columns["input"].shape == (4, 5)
    assert "target" not in columns


def test_rows_that_are_mappings(journal):
    rows = [{"text": f"line {i}", "label": i % 2, "idx": i} for i in range(30)]
    chosen = choose(journal.writer, rows, 5)
    ((_, columns),) = journal.columns("examples")
    assert journal.header()["texts"] == [f"line {i}" for i in chosen.indices]
    assert columns["target"].tolist() == [i % 2 for i in chosen.indices]


def test_a_mapping_of_columns_is_read_by_example(journal):
    x, y = table()
    choose(journal.writer, {"image": x, "label": y.tolist()}, 5)
    ((_, columns),) = journal.columns("examples")
    assert [pixels(png).shape for png in columns["input"]] == [(8, 8)] * 5
    assert columns["target"].dtype == np.int64


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.full((4,), float(i)), i) for i in range(1000)])


def test_a_stream_gives_its_first_examples(journal):
    chosen = choose(journal.writer, Stream(), 3)
    assert chosen.indices == (0, 1, 2)
    assert chosen.length is None
    assert journal.header()["by"] == "first"


def test_an_iterator_is_not_used_up(journal):
    stream = iter(pairs())
    with pytest.raises(MisuseError, match="can be read only once; pass the dataset itself"):
        choose(journal.writer, stream, 3)
    assert next(stream)[1] == 0


@pytest.mark.parametrize("by", [[5, 3, 99], np.array([5, 3, 99]), torch.tensor([5, 3, 99])])
def test_given_indices_keep_their_order(journal, by):
    assert choose(journal.writer, table(), by=by).indices == (5, 3, 99)
    assert journal.header()["by"] == "indices"


def test_more_than_there_are_is_all(journal):
    assert choose(journal.writer, table(5), 64).indices == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"by": [1, 100]}, r"names example 100, but the data has 100 examples"),
        ({"by": [1, 1]}, r"names example 1 more than once"),
        (
            {"by": "best"},
            r'must be "random", "stratified", "spread", "first" or indices, got \'best\'',
        ),
        ({"by": []}, "no indices"),
        ({"n": 0}, r"choose\(n=\) must be at least 1, got 0"),
        ({"n": 2.5}, r"choose\(n=\) must be a whole number, got 2.5"),
        ({"every": 0}, r"choose\(every=\) must be at least 1"),
        ({"name": "a/b"}, "cannot be a file name"),
        ({"target": "label"}, "names a key, but the examples are no mappings"),
        ({"target": 2}, "names a position, but the examples have 2 parts"),
    ],
)
def test_misuse_is_told_at_once(journal, options, text):
    with pytest.raises(MisuseError, match=text):
        choose(journal.writer, table(), **options)


def test_data_that_cannot_be_read_is_named(journal):
    with pytest.raises(MisuseError, match="cannot read a int: it has neither a length"):
        choose(journal.writer, 3)
    with pytest.raises(MisuseError, match=r"columns of different lengths: \[3, 4\]"):
        choose(journal.writer, (torch.rand(3, 2), torch.rand(4)))
    with pytest.raises(MisuseError, match="found no examples"):
        choose(journal.writer, [])


def test_an_error_of_the_dataset_says_which_example(journal):
    class Broken(Images):
        def __getitem__(self, index):
            raise KeyError("no such file")

    with pytest.raises(KeyError) as caught:
        choose(journal.writer, Broken(), 1)
    (note,) = caught.value.__notes__
    assert "while choose() read example" in note
    assert note.endswith("Broken")


# ---------------------------------------------------------------- as what


def test_large_pictures_become_small_ones(journal):
    big = np.zeros((2, 200, 100, 3), np.uint8)
    big[:, :, 50:] = 200
    choose(journal.writer, list(big), 2)
    ((_, columns),) = journal.columns("examples")
    first = pixels(columns["input"][0])
    assert first.shape == (64, 32, 3)
    assert set(first[10, :, 0].tolist()) == {0, 200}


def test_pictures_may_differ_in_size_and_channels(journal):
    images = [
        (Image.new("L", (8, 6), 10), 0),
        (Image.new("RGB", (6, 8), (1, 2, 3)), 1),
        (Image.new("RGBA", (5, 5), (1, 2, 3, 4)), 1),
    ]
    choose(journal.writer, images, 3)
    ((_, columns),) = journal.columns("examples")
    grey, colour, clear = map(pixels, columns["input"])
    assert grey.tolist() == [[10] * 8] * 6
    assert colour.shape == (8, 6, 3)
    assert colour[0, 0].tolist() == [1, 2, 3]
    assert clear[4, 4].tolist() == [1, 2, 3, 4]
    assert journal.header()["digest"].startswith("sha256:")


def test_many_pictures_get_smaller_ones(journal, monkeypatch):
    monkeypatch.setattr("labbook.client.examples.INPUT_BYTES", 10 * 24 * 24)
    choose(journal.writer, list(np.zeros((10, 100, 100), np.uint8)), 10)
    ((_, columns),) = journal.columns("examples")
    assert {pixels(png).shape for png in columns["input"]} == {(24, 24)}


def test_too_many_pictures_say_so(journal, monkeypatch):
    monkeypatch.setattr("labbook.client.examples.INPUT_BYTES", 100)
    choose(journal.writer, list(np.zeros((10, 100, 100), np.uint8)), 10)
    assert journal.header()["reason"] == "10 pictures are too many to store"


def test_a_normalisation_is_undone(journal):
    raw = torch.rand(4, 3, 8, 8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    shift = [torch.tensor(part).reshape(3, 1, 1) for part in (mean, std)]
    choose(journal.writer, (raw - shift[0]) / shift[1], 4, mean=mean, std=std)
    ((_, columns),) = journal.columns("examples")
    assert journal.header()["levels"] == [0.0, 1.0]
    wanted = (raw.permute(0, 2, 3, 1) * 255).numpy()
    shown = np.stack([pixels(png) for png in columns["input"]])
    assert np.abs(shown - wanted).max() <= 0.51


def test_a_normalisation_that_does_not_fit_is_refused(journal):
    with pytest.raises(
        MisuseError, match=r"mean=, std=\) do not fit pictures of shape \(8, 8, 1\)"
    ):
        choose(journal.writer, torch.rand(2, 1, 8, 8), 2, mean=(0.1, 0.2), std=(1, 2))


def test_levels_other_than_0_to_1_are_written_down(journal):
    images = torch.linspace(-2, 6, 4 * 64).reshape(4, 1, 8, 8)
    choose(journal.writer, images, 4)
    assert journal.header()["levels"] == [-2.0, 6.0]
    ((_, columns),) = journal.columns("examples")
    shown = np.stack([pixels(png) for png in columns["input"]])
    assert (shown.min(), shown.max()) == (0, 255)


def tone(seconds, rate, loudness):
    t = np.arange(int(seconds * rate)) / rate
    return (loudness * np.sin(2 * np.pi * 5 * t)).astype(np.float32)


def test_audio_with_its_rate_becomes_a_waveform_and_a_length(journal):
    # as Hugging Face datasets give audio
    rows = [
        {"audio": {"array": tone(s, 8000, s / 2), "sampling_rate": 8000, "path": "x"}, "label": i}
        for i, s in enumerate((1.0, 2.0))
    ]
    choose(journal.writer, rows, 2)
    ((_, columns),) = journal.columns("examples")
    header = journal.header()
    assert (header["kind"], header["sampling_rate"]) == ("audio", 8000)
    assert columns["seconds"].tolist() == [1.0, 2.0]
    assert columns["samples"].tolist() == [8000, 16000]
    assert columns["target"].tolist() == [0, 1]
    quiet, loud = map(pixels, columns["input"])
    assert quiet.shape == loud.shape == (32, 128)
    # one scale for the set: half as loud is half as high
    height = [np.flatnonzero(wave.any(1)) for wave in (quiet, loud)]
    assert (np.ptp(height[1]), np.ptp(height[0])) == (31, 16)


def test_bare_waveforms_are_audio_only_when_the_rate_is_given(journal):
    stereo = [np.stack([tone(0.5, 100, 1)] * 2) for _ in range(3)]
    choose(journal.writer, stereo, 3, name="told", sampling_rate=100)
    choose(journal.writer, [wave[0] for wave in stereo], 3, name="not told")
    assert journal.header("examples", "told")["kind"] == "audio"
    assert journal.header("examples", "not told")["kind"] == "vector"
    choose(journal.writer, ["no", "sound"], 2, name="text", sampling_rate=100)
    assert "inputs are no waveforms" in journal.header("examples", "text")["reason"]


def test_show_may_make_audio(journal):
    choose(journal.writer, torch.rand(3, 50), 2, show=lambda x: {"array": x, "sampling_rate": 25})
    ((_, columns),) = journal.columns("examples")
    assert columns["seconds"].tolist() == [2.0, 2.0]


def test_a_decoder_is_asked_for_its_samples(journal):
    class Decoder:  # stands for torchcodec's AudioDecoder, which needs FFmpeg
        def get_all_samples(self):
            return SimpleNamespace(data=torch.ones(2, 30), sample_rate=10)

    choose(journal.writer, [Decoder(), Decoder()], 2)
    ((_, columns),) = journal.columns("examples")
    assert columns["seconds"].tolist() == [3.0, 3.0]


def test_all_texts_together_are_bounded(journal, monkeypatch):
    monkeypatch.setattr("labbook.client.examples.INPUT_BYTES", 4 * 2 * 5)
    choose(journal.writer, ["a" * 100, "bc"], 2)
    header = journal.header()
    assert (header["texts"], header["cut"]) == (["aaaaa", "bc"], 1)


def test_tokens_of_unequal_length_are_filled_up(journal):
    rows = [{"input_ids": [1, 2, 3], "labels": 0}, {"input_ids": [4], "labels": 1}]
    choose(journal.writer, rows, 2)
    ((_, columns),) = journal.columns("examples")
    assert columns["input"].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert journal.header()["lengths"] == [3, 1]


def test_what_cannot_be_stored_says_why(journal):
    class Graph:
        pass

    choose(journal.writer, [(Graph(), 1)] * 3, 3)
    header = journal.header()
    assert header["kind"] == "other"
    assert "pass show=" in header["reason"]
    assert header["digest"] is None
    ((_, columns),) = journal.columns("examples")
    assert set(columns) == {"index", "target"}


def test_show_decides_what_is_stored(journal):
    choose(journal.writer, table(), 3, show=lambda item: f"digit {item[1]}")
    assert all(text.startswith("digit ") for text in journal.header()["texts"])


def test_large_vectors_are_left_out_with_a_reason(journal):
    choose(journal.writer, torch.rand(3, 5000), 3)
    assert journal.header()["reason"].startswith("inputs of shape (5000,) are too large")


# ---------------------------------------------------------------- record


def test_record_takes_what_the_user_computed(journal):
    chosen = choose(journal.writer, table(), 3)
    chosen.record(5, output=torch.ones(3, 2, dtype=torch.bfloat16), loss=[1, 2.5, float("nan")])
    chosen.record(6, margin=np.array([1, 2, 3], np.uint8), seen=[True, False, True])
    (first, one), (second, two) = journal.columns("chosen")
    assert (first, second) == (5, 6)
    assert one["output"].dtype == np.float32
    assert one["output"].shape == (3, 2)
    assert one["loss"].tolist()[:2] == [1.0, 2.5]
    assert np.isnan(one["loss"][2])
    assert two["margin"].dtype == np.int64
    assert two["seen"].dtype == bool


def test_record_takes_lists_of_unequal_length(journal):
    chosen = choose(journal.writer, table(), 3)
    boxes = [torch.rand(2, 4), torch.empty(0, 4), torch.rand(1, 4)]
    chosen.record(1, boxes=boxes, classes=[[1, 7], [], [2]])
    ((_, columns),) = journal.columns("chosen")
    assert [len(rows) for rows in columns["boxes"]] == [2, 0, 1]
    assert columns["boxes"][2].tolist() == boxes[2].tolist()
    assert [rows.tolist() for rows in columns["classes"]] == [[1, 7], [], [2]]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "record.. needs at least one column"),
        ({"loss": [1.0, 2.0]}, r"'loss' has shape \(2,\); its first axis must count the 3"),
        ({"loss": 0.5}, "'loss' must be a sequence with one entry an example, got float"),
        ({"text": ["a", "b", "c"]}, "'text' must hold numbers"),
        (
            {"output": [[[1]], [[2, 3]], [[4]]]},
            r"'output' must have one shape for all examples, but for the first axis; got \(1, 1\)",
        ),
        ({"big": [1, 2, 2**70]}, "too large for int64"),
    ],
)
def test_record_refuses_what_does_not_fit(journal, columns, text):
    chosen = choose(journal.writer, table(), 3)
    with pytest.raises(MisuseError, match=text):
        chosen.record(0, **columns)
    assert journal.columns("chosen") == []
