"""Every page looks as it did: `python -m tests.tui.snapshot` writes what is compared here."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from labbook_tui.demo import unpacked
from tests.tui.snapshot import FOLDER, PAGES, SIZES, as_text, cells_of, looks, path_of, still

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def book() -> Iterator[Path]:
    with unpacked() as found, still(found):
        yield found


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_page_looks_as_it_did(book: Path, size: tuple[int, int], page: str) -> None:
    found = []
    async for look, pilot in looks(book, size, page):
        path = path_of(size, look, page)
        found += await _differences(pilot, look, path)
    assert not found, "\n".join(found)


async def _differences(pilot: Pilot[None], look: str, path: Path) -> list[str]:
    """None as soon as the screen is as expected: a slow machine reads for longer."""
    expected = path.read_text().splitlines()
    for _ in range(100):
        seen = as_text(cells_of(pilot.app, look)).splitlines()  # type: ignore[arg-type]
        if seen == expected:
            return []
        await asyncio.sleep(0.02)
        await pilot.pause()
    name = str(path.relative_to(FOLDER))
    return [*difflib.unified_diff(expected, seen, name, "the screen", lineterm="")]


def test_every_snapshot_is_of_a_page() -> None:
    kept = {path.relative_to(FOLDER) for path in FOLDER.rglob("*.txt")}
    looks = ("dark", "light", "16")
    expected = {path_of(size, look, page) for size in SIZES for look in looks for page in PAGES}
    expected -= {path_of(size, look, "palette") for size in SIZES for look in looks[1:]}
    assert kept == {path.relative_to(FOLDER) for path in expected}
