"""Inputs of a chosen set, from what the client stores to what the program draws."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from labbook.book.observations import examples_table
from labbook.client.chosen import choose
from labbook.dynamics import Observed
from labbook.journal.reader import Array, SegmentReader
from labbook.journal.writer import JournalWriter
from labbook.paths import BookPaths
from labbook_tui.models import Example
from labbook_tui.read.chosen_inputs import Examples


def stored(folder: Path, dataset: Any, **options: Any) -> pa.Table:
    paths = BookPaths(folder / "book").run("20260101-000000-abcdef")
    paths.journal.mkdir(parents=True)
    writer = JournalWriter(paths, "r0-aaaaaa")
    choose(writer, dataset, 3, **options)
    writer.close()
    (record,) = SegmentReader(paths.segment("r0-aaaaaa", 1)).records()
    assert isinstance(record, Array)
    return examples_table(record)


def examples_of(table: pa.Table) -> list[Example]:
    """What the program draws of the stored inputs."""
    rows = {"step": [1] * table.num_rows, "example": table.column("example")}
    seen = Observed("run", "chosen", pa.table(rows), table)
    return list(Examples(seen.example, seen.input_row, seen.inputs))


@pytest.mark.parametrize(("channels", "shape"), [(1, (8, 9)), (3, (8, 9, 3)), (4, (8, 9, 3))])
def test_pictures_are_what_was_put_in(
    tmp_path: Path, channels: int, shape: tuple[int, ...]
) -> None:
    given = np.random.default_rng(0).random((3, 8, 9, channels)).astype(np.float32)
    for example, wanted in zip(examples_of(stored(tmp_path, given)), given, strict=True):
        picture = example.image
        assert picture is not None
        assert picture.shape == shape
        plain = wanted[..., :3] if channels > 1 else wanted[..., 0]
        assert np.abs(picture - plain).max() <= 0.5 / 255 + 1e-6


def test_audio_is_a_picture_and_its_length(tmp_path: Path) -> None:
    table = stored(tmp_path, np.ones((3, 50), np.float32), sampling_rate=20)
    examples = examples_of(table)
    assert [example.text for example in examples] == ["2.5 s"] * 3
    assert all(e.image is not None and e.image.shape == (32, 128) for e in examples)


def test_texts_have_targets_of_text(tmp_path: Path) -> None:
    table = stored(tmp_path, [("a\x1b[31m", "yes"), ("b", "no"), ("c", "no")])
    examples = examples_of(table)
    assert [(e.text, e.target) for e in examples][1:] == [("b", "no"), ("c", "no")]
    assert "\x1b" not in examples[0].text


def test_a_damaged_picture_is_left_out_alone(tmp_path: Path) -> None:
    table = stored(tmp_path, np.zeros((3, 8, 8), np.uint8))
    files = table.column("input").to_pylist()
    spoilt = pa.array([files[0][:30], *files[1:]], pa.binary())
    at = table.schema.get_field_index("input")
    shown = examples_of(table.set_column(at, "input", spoilt))
    assert [example.image is None for example in shown] == [True, False, False]


def test_numbers_of_a_book_without_pictures_are_guessed() -> None:
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(48.0, dtype=np.float32)), 16)
    shown = examples_of(pa.table({"example": pa.array([0, 1, 2], pa.int32()), "input": values}))
    assert [example.image.shape for example in shown if example.image is not None] == [(4, 4)] * 3
