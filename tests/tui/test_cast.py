"""The recorded tour of the README: a whole asciicast that ends on the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pyte

from tests.tui.terminal import UNREAD

CAST = Path(__file__).parent.parent.parent / "tui" / "pictures" / "tour.cast"


def test_tour_is_small_and_shows_the_pages_one_after_the_other() -> None:
    assert CAST.stat().st_size < 100_000
    head, *events = [json.loads(line) for line in CAST.read_text().splitlines()]
    assert head["version"] == 2
    times = [event[0] for event in events]
    assert times == sorted(times)
    assert 20 < times[-1] < 60
    screen = pyte.Screen(head["width"], head["height"])
    stream = pyte.ByteStream(screen)
    seen = []
    for _, kind, text in events:
        assert kind == "o"
        stream.feed(UNREAD.sub(b"", text.encode()))
        seen.append("\n".join(screen.display))
    last = [next(i for i, text in reversed([*enumerate(seen)]) if words in text) for words in WORDS]
    assert last == sorted(last)
    assert "/tmp" not in "".join(seen)


WORDS = ("40 examples × 21 steps", "Δ previous", "Overlay   Changes   Results", "B better")
