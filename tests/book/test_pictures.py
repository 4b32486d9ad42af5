"""Pictures of a book, decoded: they are read from files that nobody vouches for."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labbook.book.pictures import picture_of
from labbook.client.png import as_png


@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4]), st.integers(0, 2**32 - 1)
)
def test_what_is_written_is_read_here_and_elsewhere(height, width, channels, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    png = as_png(picture)
    read = picture_of(png)
    assert read is not None
    assert read.tolist() == picture.tolist()
    shown = np.asarray(Image.open(io.BytesIO(png))).reshape(picture.shape)
    assert shown.tolist() == picture.tolist()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def file(head, rows):
    chunks = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_row_may_be_plain_or_the_difference_to_the_one_above():
    head = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    read = picture_of(file(head, bytes([0, 1, 2, 2, 10, 250])))
    assert read is not None
    assert read[..., 0].tolist() == [[1, 2], [11, 252]]


PLAIN = as_png(np.zeros((4, 4, 1), np.uint8))


@pytest.mark.parametrize(
    "png",
    [
        None,
        b"",
        b"no picture",
        PLAIN[:40],
        PLAIN.replace(b"IDAT", b"IDAX"),
        file(struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 0, 0, 0, 0), b"\0" * 100),
        file(struct.pack(">IIBBBBB", 0, 4, 8, 0, 0, 0, 0), b""),
        file(struct.pack(">IIBBBBB", 2, 2, 16, 0, 0, 0, 0), b"\0" * 10),
        file(struct.pack(">IIBBBBB", 2, 2, 8, 3, 0, 0, 0), b"\0" * 6),
        file(struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1), b"\0" * 6),
        file(struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0), b"\4" * 6),
        file(struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0), b"\0" * 5),
        file(b"", b""),
    ],
)
def test_what_is_not_one_of_ours_is_no_picture(png):
    assert picture_of(png) is None


def test_a_small_file_does_not_become_a_large_picture():
    head = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    bomb = file(head, b"\0" * (64 << 20))
    assert len(bomb) < 1 << 17
    read = picture_of(bomb)  # what the header promises, and no byte more
    assert read is not None
    assert read.shape == (2, 2, 1)
