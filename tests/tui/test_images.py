"""Pictures that the terminal draws itself: which, their bytes, and that none is left behind."""

from __future__ import annotations

import base64
import io
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from labbook.errors import MisuseError
from labbook_tui.images import kitty
from labbook_tui.images.picture import Picture, Place, fitted, whole
from labbook_tui.images.protocol import images_for
from labbook_tui.images.sixel import palette_of, sixel_of
from labbook_tui.images.stage import MOST_BYTES, MOST_KEPT, Stage
from tests.tui.chosen_book import make_book
from tests.tui.terminal import Terminal, book_option

pytestmark = pytest.mark.timeout(300)

KITTY = re.compile(rb"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\")
SIXEL = re.compile(rb"\x1bP0;1q.*?\x1b\\", re.S)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_book(tmp_path_factory.mktemp("pictures"))


def noise(rows: int, columns: int, *channels: int) -> NDArray[np.float64]:
    return np.random.default_rng(rows).random((rows, columns, *channels))


# ---------------------------------------------------------------------- which


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "blocks"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "foot-direct"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230804"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "200400"}, "blocks"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "new"}, "blocks"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, "blocks"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "screen.xterm-256color", "TERM_PROGRAM": "WezTerm"}, "blocks"),
        ({"TERM": "xterm-kitty", "STY": "1.pts"}, "blocks"),
        ({"TERM": "xterm-kitty", "ZELLIJ": "0"}, "blocks"),
        ({}, "blocks"),
    ],
)
def test_what_the_terminal_says_of_itself(environ: dict[str, str], expected: str) -> None:
    assert images_for("auto", environ) == expected
    assert images_for("auto", environ, has_cells=False) == "blocks"
    assert images_for("off", environ) == "off"


def test_what_cannot_be_is_refused_with_a_way_out() -> None:
    assert images_for("sixel", {"TERM": "xterm"}) == "sixel"
    with pytest.raises(MisuseError, match=r"tmux keeps pictures .* use --images blocks, or open"):
        images_for("kitty", {"TERM": "xterm-kitty", "TMUX": "x"})
    with pytest.raises(MisuseError, match="leave out --plain-driver"):
        images_for("sixel", {"TERM": "foot"}, has_cells=False)


# ---------------------------------------------------------------------- bytes


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(), (3,)]))
def test_a_png_is_what_it_was_made_of(rows: int, columns: int, channels: tuple[int, ...]) -> None:
    pixels = whole(noise(rows, columns, *channels))
    read = Image.open(io.BytesIO(kitty.png_of(pixels)))
    assert np.array_equal(np.asarray(read.convert("RGB")), pixels)


@pytest.mark.parametrize("size", [1, 3072, 3073, 50_000])
def test_kitty_gets_chunks_of_4096_and_is_told_which_is_the_last(size: int) -> None:
    content = np.random.default_rng(0).bytes(size)
    found = KITTY.findall(kitty.sent(7, content).encode())
    assert base64.b64decode(b"".join(payload for _, payload in found)) == content
    assert all(len(payload) <= kitty.CHUNK for _, payload in found)
    assert all(len(payload) % 4 == 0 for _, payload in found)
    assert found[0][0].startswith(b"a=t,f=100,i=7,q=2,m=")
    assert [keys.rpartition(b"m=")[2] for keys, _ in found] == [b"1"] * (len(found) - 1) + [b"0"]
    assert all(b"q=2" in keys for keys, _ in found)  # an answer would be read as keys


def decoded(text: str) -> NDArray[np.int64]:
    """The pixels of a sixel picture, as a terminal draws them; -1 where it leaves them."""
    head = re.match(r'\x1bP0;1q"1;1;(\d+);(\d+)', text)
    assert head is not None
    assert text.endswith("-\x1b\\")
    columns, rows = int(head[1]), int(head[2])
    out = np.full((rows + 6, columns, 3), -1)
    palette: dict[str, list[int]] = {}
    x = y = 0
    colour = ""
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+.|.", text[head.end() : -2], re.S):
        if token[0] == "#":
            colour, *parts = token[1:].split(";")
            if parts:
                palette[colour] = [round(int(part) * 255 / 100) for part in parts[1:]]
        elif token in "$-":
            x, y = 0, y + 6 * (token == "-")
        else:
            count, bits = (
                (int(token[1:-1]), ord(token[-1]) - 63) if token[0] == "!" else (1, ord(token) - 63)
            )
            for bit in range(6):
                if bits >> bit & 1:
                    out[y + bit, x : x + count] = palette[colour]
            x += count
            assert x <= columns
    assert (out[rows:] == -1).all()
    return out[:rows]


@pytest.mark.parametrize("shape", [(1, 1), (6, 9), (13, 30, 3), (28, 28), (48, 64, 3)])
def test_sixel_draws_every_pixel_in_its_colour(shape: tuple[int, ...]) -> None:
    pixels = whole(noise(*shape))
    palette, indices = palette_of(pixels)
    assert len(palette) <= 64
    read = decoded(sixel_of(pixels, pixels.shape[:2]))
    assert np.abs(read - palette[indices]).max() <= 2  # per cent, not bytes
    larger = decoded(sixel_of(pixels, (2 * pixels.shape[0], 3 * pixels.shape[1])))
    assert np.array_equal(larger[::2, ::3], read)


def test_few_colours_are_kept_and_many_are_near() -> None:
    few = np.zeros((8, 8, 3), np.uint8)
    few[2:4] = (255, 0, 10)
    few[5, 5] = (1, 2, 3)
    palette, indices = palette_of(few)
    assert np.array_equal(palette[indices], few)
    ramp = whole(np.linspace(0, 1, 4096).reshape(64, 64))
    palette, indices = palette_of(ramp)
    assert len(palette) == 64
    assert np.abs(palette[indices].astype(int) - ramp).max() <= 4
    assert palette_of(ramp, 8)[0].shape == (8, 3)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 90), st.integers(1, 50))
def test_a_picture_fits_its_cells_in_its_shape(h: int, w: int, columns: int, rows: int) -> None:
    across, down = fitted(np.zeros((h, w)), columns, rows)
    assert 1 <= across <= columns
    assert 1 <= down <= rows
    assert across == columns or down == rows or (across, down) == (columns, rows)


# ---------------------------------------------------------------------- the stage


class Paper:
    """A canvas that keeps what is drawn."""

    cell = (8, 16)

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[Place] = []

    def draw(self, data: str) -> None:
        self.data += data.encode()

    def lose(self, place: Place) -> None:
        self.lost.append(place)

    def taken(self) -> bytes:
        data, self.data = self.data, b""
        return data


PLACE = Place(3, 2, 20, 10)


def at_once(job: Callable[[], None]) -> None:
    job()


def test_what_is_made_too_late_is_not_shown() -> None:
    paper, jobs = Paper(), []
    stage = Stage("kitty", paper, jobs.append)
    one, two = Picture(noise(8, 8), PLACE), Picture(noise(9, 8), PLACE)
    stage.show(one)
    stage.show(one)
    assert len(jobs) == 1
    stage.show(two)
    for job in jobs:
        job()
    assert paper.taken() == b""
    stage.show(two)
    assert sum(keys.startswith(b"a=p") for keys in keys_of(paper.taken())) == 1
    stage.show(None)
    stage.show(two)
    assert len(jobs) == 2


def keys_of(data: bytes) -> list[bytes]:
    return [keys for keys, _ in KITTY.findall(data)]


def test_kitty_sends_once_places_again_and_forgets_at_the_end() -> None:
    paper = Paper()
    stage = Stage("kitty", paper, at_once)
    one, two = noise(8, 8), noise(9, 8)
    stage.show(Picture(one, PLACE))
    data = paper.taken()
    assert data.startswith(b"\x1b7\x1b[3;4H")
    assert data.endswith(b"\x1b8")
    sent = next(keys for keys in keys_of(data) if keys.startswith(b"a=t"))
    number = re.search(rb"i=(\d+)", sent)[1]
    assert keys_of(data)[-1] == b"a=p,i=%b,p=1,c=20,r=10,C=1,q=2" % number
    stage.show(Picture(one, PLACE))
    stage.show(Picture(one.copy(), PLACE))  # read anew
    assert paper.taken() == b""
    stage.show(Picture(two, PLACE))
    assert keys_of(paper.taken())[0] == b"a=d,d=i,i=%b,q=2" % number
    stage.show(Picture(one, PLACE))
    assert [keys[:3] for keys in keys_of(paper.taken())] == [b"a=d", b"a=p"]
    stage.show(None)
    assert keys_of(paper.taken()) == [b"a=d,d=i,i=%b,q=2" % number]
    stage.show(None)
    assert paper.taken() == b""
    left = keys_of(stage.leave().encode())
    assert len(left) == 2
    assert all(keys.startswith(b"a=d,d=I") for keys in left)
    assert stage.leave() == ""
    stage.show(Picture(one, PLACE))  # after a stop it is sent again
    assert any(keys.startswith(b"a=t") for keys in keys_of(paper.taken()))


def test_the_terminal_keeps_a_bounded_number() -> None:
    paper = Paper()
    stage = Stage("kitty", paper, at_once)
    for at in range(MOST_KEPT + 3):
        stage.show(Picture(noise(4 + at, 4), PLACE))
    assert sum(keys.startswith(b"a=d,d=I") for keys in keys_of(paper.taken())) == 3
    assert len(keys_of(stage.leave().encode())) == MOST_KEPT


@pytest.mark.parametrize("shape", [(8, 8), (224, 224, 3), (1024, 700, 3), (1, 1024)])
@pytest.mark.parametrize("protocol", ["kitty", "sixel"])
def test_no_picture_costs_more_than_the_budget(shape: tuple[int, ...], protocol: str) -> None:
    paper = Paper()
    Stage(protocol, paper, at_once).show(Picture(noise(*shape), Place(0, 0, 40, 20)))  # type: ignore[arg-type]
    assert 0 < len(paper.data) < MOST_BYTES * 1.02


def test_sixel_is_taken_away_by_the_cells_below() -> None:
    paper = Paper()
    stage = Stage("sixel", paper, at_once)
    one = Picture(noise(8, 8), PLACE)
    stage.show(one)
    stage.show(one)
    assert len(SIXEL.findall(paper.taken())) == 1
    other = Picture(noise(9, 8), PLACE)
    stage.show(other)
    assert paper.lost == [PLACE]
    assert paper.taken() == b""  # the cells come first
    stage.show(other)
    assert len(SIXEL.findall(paper.taken())) == 1
    stage.redrawn()
    stage.show(other)
    assert len(SIXEL.findall(paper.taken())) == 1
    assert stage.leave() == ""


# ---------------------------------------------------------------------- the program


def test_kitty_in_the_program(book: Path) -> None:
    with Terminal((80, 24), "classes", "--images", "kitty", *book_option(book)) as terminal:
        terminal.until("8 Events")
        terminal.press("3")
        terminal.until("6 examples × 8 steps")
        assert KITTY.search(terminal.data) is None
        terminal.press("\r")
        terminal.until(lambda text: "1 of 6" in text and b"a=p" in terminal.data)
        terminal.press("l")
        terminal.press("j")
        terminal.until(lambda text: "2 of 6" in text and terminal.data.count(b"a=p,") == 2)
        terminal.press("k")
        terminal.until(lambda text: "1 of 6" in text and terminal.data.count(b"a=p,") == 3)
        assert terminal.data.count(b"a=t,") == 2  # the first one was there still
        terminal.press("\x1b")
        terminal.until(lambda _: terminal.data.count(b"a=d,d=i") == 3)
        terminal.press("i")
        terminal.until(lambda text: "8×8 pixels" in text and terminal.data.count(b"a=p,") == 4)
        assert terminal.data.count(b"a=t,") == 2
        terminal.press("?")
        terminal.until(lambda text: "everywhere" in text and terminal.data.count(b"a=d,d=i") == 4)
        terminal.press("\x1b")
        terminal.until(lambda _: terminal.data.count(b"a=p,") == 5)
        terminal.press("q")
        assert terminal.finish() == 0
        assert terminal.data.count(b"a=d,d=I") == 2
        assert terminal.data.rindex(b"a=d,d=I") < terminal.data.rindex(b"\x1b[?1049l")


def test_sixel_in_the_program(book: Path) -> None:
    with Terminal((80, 24), "classes", "--images", "sixel", *book_option(book)) as terminal:
        terminal.until("8 Events")
        terminal.press("3")
        terminal.until("6 examples × 8 steps")
        terminal.press("i")
        terminal.until(lambda text: "8×8 pixels" in text and SIXEL.search(terminal.data))
        cover(terminal)
        terminal.press("i")
        terminal.until(lambda text: "6 examples × 8 steps" in text and "#" not in text)
        idle = len(terminal.data)
        terminal.press("i")
        terminal.until(lambda text: "8×8" in text and len(SIXEL.findall(terminal.data)) == 2)
        assert len(terminal.data) - idle < 10_000
        terminal.press("q")
        assert terminal.finish() == 0


def where_sixel(data: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """The place of the last picture, and its size in cells of 8 × 16 pixels."""
    found = re.findall(rb'\x1b7\x1b\[(\d+);(\d+)H\x1bP0;1q"1;1;(\d+);(\d+)', data)[-1]
    row, column, width, height = map(int, found)
    return (column - 1, row - 1), (width // 8, height // 16)


def cover(terminal: Terminal) -> None:
    """Pixels over the cells of the last sixel picture."""
    (x, y), (columns, rows) = where_sixel(terminal.data)
    for row in range(y, y + rows):
        for column in range(x, x + columns):
            char = terminal.screen.buffer[row][column]
            terminal.screen.buffer[row][column] = char._replace(data="#")


def test_sixel_leaves_nothing_below_the_palette_the_next_example_or_another_page(
    book: Path,
) -> None:
    with Terminal((100, 30), "classes", "--images", "sixel", *book_option(book)) as terminal:
        terminal.until("8 Events")
        terminal.press("3")
        terminal.until("6 examples × 8 steps")
        terminal.press("\r")
        terminal.until(lambda text: "1 of 6" in text and SIXEL.search(terminal.data) is not None)
        cover(terminal)
        terminal.press("\x10")
        terminal.until(lambda text: "page: curves" in text and "#" not in text)
        terminal.press("\x1b")
        terminal.until(
            lambda text: "page: curves" not in text and len(SIXEL.findall(terminal.data)) == 2
        )
        cover(terminal)
        terminal.press("j")
        terminal.until(lambda text: "2 of 6" in text and len(SIXEL.findall(terminal.data)) == 3)
        assert "#" not in terminal.text
        cover(terminal)
        terminal.press("2")
        terminal.until(lambda text: "#" not in text)


@pytest.mark.parametrize(("protocol", "shown"), [("kitty", b"a=p,"), ("sixel", b"\x1bP0;1q")])
def test_it_is_there_again_after_a_stop_and_in_another_size(
    book: Path, protocol: str, shown: bytes
) -> None:
    with Terminal((100, 30), "classes", "--images", protocol, *book_option(book)) as terminal:
        terminal.until("8 Events")
        terminal.press("3")
        terminal.until("6 examples × 8 steps")
        terminal.press("i")
        terminal.until(lambda text: "8×8 pixels" in text and shown in terminal.data)
        terminal.press("\x1a")
        terminal.until_stopped()
        assert terminal.data.count(b"a=d,d=I") == (protocol == "kitty")
        terminal.screen.reset()
        terminal.signal(signal.SIGCONT)
        terminal.until(lambda text: "8×8" in text and terminal.data.count(shown) == 2)
        terminal.resize(80, 24, (10, 20))
        size = b"c=40,r=20," if protocol == "kitty" else b'"1;1;400;400'
        terminal.until(
            lambda text: "8×8" in text and size in terminal.data[terminal.data.rindex(shown) :]
        )
        assert terminal.data.count(shown) <= 4  # once more than the size that was there before


@pytest.mark.parametrize("wish", ["blocks", "off", "auto"])
def test_no_picture_sequence_is_sent_within_tmux(book: Path, wish: str) -> None:
    inside = {"TERM": "tmux-256color", "TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}
    options = ("--images", wish, *book_option(book))
    with Terminal((80, 24), "classes", *options, **inside) as terminal:
        terminal.until("8 Events")
        terminal.press("3")
        terminal.until("6 examples × 8 steps")
        terminal.press("i")
        terminal.until("not drawn: --images off" if wish == "off" else "8×8 pixels")
        terminal.press("q")
        assert terminal.finish() == 0
        assert KITTY.search(terminal.data) is None
        assert SIXEL.search(terminal.data) is None


def test_tmux_refuses_what_cannot_work(book: Path) -> None:
    options = ("--images", "kitty", *book_option(book))
    with Terminal((80, 24), "classes", *options, TERM="screen-256color", TMUX="x") as terminal:
        assert terminal.finish() == 2
        assert b"tmux keeps pictures from the terminal" in terminal.data
        assert b"\x1b[?1049h" not in terminal.data
