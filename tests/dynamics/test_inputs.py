"""What there is to look at of an example."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest

from labbook import dynamics
from tests.dynamics.making import choose


def inputs_of(make, dataset, **options):
    run = make()
    choose(run.attempt(), dataset, **options)
    return dynamics.inputs(dynamics.read(run.read()))


def test_pictures_are_cut_to_their_own_size(make):
    pictures = [np.full((4, 6), 255, np.uint8), np.full((5, 4), 7, np.uint8)]
    found = inputs_of(make, pictures)
    assert found.kind == "image"
    assert [image.shape for image in found.images] == [(4, 6), (5, 4)]
    assert [int(image[0, 0]) for image in found.images] == [255, 7]


def test_colours_are_the_last_axis(make):
    found = inputs_of(make, np.zeros((2, 3, 8, 8), np.uint8))
    assert [image.shape for image in found.images] == [(8, 8, 3)] * 2


def test_texts_and_their_targets(make):
    run = make()
    choose(run.attempt(), [{"text": "a\x1b[31m", "label": "ham"}, {"text": "b", "label": "spam"}])
    seen = dynamics.read(run.read())
    assert dynamics.inputs(seen).texts == ["a\x1b[31m", "b"]
    assert dynamics.examples(seen).column("target").to_pylist() == ["ham", "spam"]


def test_rows_of_unequal_length_lose_what_was_filled_in(make):
    found = inputs_of(make, [[1.0, 2.0, 3.0], [4.0]])
    assert found.kind == "vector"
    assert [vector.tolist() for vector in found.vectors] == [[1, 2, 3], [4]]


def test_of_anything_else_it_is_said_why_there_is_nothing(make):
    found = inputs_of(make, [object()])
    assert found.kind == "other"
    assert "pass show= to store a view of them" in found.reason
    assert found.images == found.texts == found.vectors == [None]


@pytest.mark.parametrize(
    "about",
    [
        {"sizes": [[-1, 99], "no"]},
        {"sizes": 3, "shapes": {"input": [4, 4, 1]}},
        {"shapes": {"input": [8, 8, 8]}},
        {"shapes": 3},
        {"lengths": [9, None], "kind": "vector"},
        [],
    ],
    ids=repr,
)
def test_a_set_that_lies_about_its_pictures(make, about):
    run = make()
    choose(run.attempt(), np.zeros((2, 4, 4), np.uint8))
    seen = dynamics.read(run.read())
    facts = {**seen.about, **about} if about else about
    table = seen.inputs.replace_schema_metadata({b"labbook": json.dumps(facts).encode()})
    found = dynamics.inputs(dynamics.Observed(seen.run, seen.name, seen.rows, table))
    assert len(found.images) == 2


def png(pixels: np.ndarray) -> bytes:
    """A grey PNG file without filters."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_pictures_in_files_of_their_own(kind):
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    table = pa.table(
        {"example": pa.array([0, 1, 2], pa.int32()), "input": [png(picture), b"no", None]}
    )
    table = table.replace_schema_metadata({b"labbook": json.dumps({"kind": kind}).encode()})
    rows = pa.table({name: pa.array([], kind) for name, kind in OBSERVED.items()})
    found = dynamics.inputs(dynamics.Observed("run", "chosen", rows, table))
    assert found.kind == kind
    assert found.images[0].tolist() == picture.tolist()
    assert found.images[1:] == [None, None]


OBSERVED = {"step": pa.int64(), "time": pa.timestamp("ms", "UTC"), "example": pa.int32()}
