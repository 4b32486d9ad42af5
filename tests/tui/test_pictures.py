"""The pictures in the README: small, whole, and drawn without a font for blocks and braille."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from cells import svg_of

TUI = Path(__file__).parent.parent.parent / "tui"
PICTURES = sorted((TUI / "pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def test_there_is_one_of_each_page_a_newcomer_should_see() -> None:
    names = [path.stem for path in PICTURES]
    assert names == ["compare", "curves", "evaluations", "examples", "runs"]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_picture_is_small_whole_and_needs_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert len(text) < 60_000
    assert "url(http" not in text
    words = [each.text or "" for each in ET.fromstring(text).iter(f"{SVG}text")]
    assert len(words) > 20
    assert re.findall("[\u2800-\u28ff▀█─│]", " ".join(words)) == []


def test_cells_become_text_areas_lines_and_dots() -> None:
    ground = Style.parse("#ffffff on #112233")
    strip = Strip([Segment("ab  <c", ground), Segment("█│"), Segment("⠁⣀", Style(bold=True))])
    svg = svg_of([strip], "#aabbcc", "#000000")
    root = ET.fromstring(svg)
    assert [each.text for each in root.iter(f"{SVG}text")] == ["ab", "<c"]
    assert [each.get("x") for each in root.iter(f"{SVG}text")] == ["0", "40"]
    paths = {(p.get("fill"), p.get("stroke")): p.get("d") for p in root.iter(f"{SVG}path")}
    # the first cells of the only row: their ground goes on to the frame
    assert paths["#112233", None] == "M-14 -14h74v48h-74z"
    assert paths["#aabbcc", None] == "M60 0h10v20h-10z"
    assert paths["none", "#aabbcc"] == "M75 10v-10M75 10v10"
    assert paths[None, "#aabbcc"] == "M82.5 2.5h0.1M92.5 17.5h5.1"
