"""A pinned checkpoint stays what it was, whatever happens to its name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from labbook.watch import pin
from labbook.watch.identity import identify


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "step-1.pt"
    path.write_bytes(b"first")
    return path


def test_a_link_survives_removal_and_a_rename_over(source: Path, tmp_path: Path):
    kept = pin.link(source, identify(source), tmp_path / "pins" / "a")
    assert kept.stat().st_ino == source.stat().st_ino
    other = tmp_path / "new"
    other.write_bytes(b"second")
    os.rename(other, source)
    assert kept.read_bytes() == b"first"
    source.unlink()
    assert kept.read_bytes() == b"first"
    pin.unpin(kept.parent)
    assert list((tmp_path / "pins").iterdir()) == []


def test_a_copy_survives_writing_in_place(source: Path, tmp_path: Path):
    kept = pin.copy(source, identify(source), tmp_path / "pins" / "a", lambda: None)
    source.write_bytes(b"other")
    assert kept.read_bytes() == b"first"


def test_a_folder_is_pinned_whole(tmp_path: Path):
    folder = tmp_path / "checkpoint-1"
    (folder / "inner").mkdir(parents=True)
    (folder / "a").write_bytes(b"a")
    (folder / "inner" / "b").write_bytes(b"b")
    kept = pin.link(folder, identify(folder), tmp_path / "pins" / "x")
    shutil.rmtree(folder)
    assert (kept / "inner" / "b").read_bytes() == b"b"


def test_what_changed_since_it_was_examined_is_not_pinned(source: Path, tmp_path: Path):
    before = identify(source)
    source.write_bytes(b"longer than before")
    with pytest.raises(pin.Moved, match="written again"):
        pin.link(source, before, tmp_path / "pins" / "a")
    source.unlink()
    with pytest.raises(pin.Moved, match="removed"):
        pin.link(source, before, tmp_path / "pins" / "a")
    assert list((tmp_path / "pins").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "is_reused"),
    [
        ("last.pt", True), ("last-v1.ckpt", True), ("best.pt", True), ("model.pt", True),
        ("step-100.pt", False), ("epoch=3-step=20.ckpt", False), ("checkpoint-500", False),
    ],
)  # fmt: skip
def test_names_that_are_written_again(name: str, is_reused: bool):
    assert pin.is_reused_name(name) is is_reused


def test_only_pins_without_a_live_claim_are_swept(tmp_path: Path):
    for name in ("ab.1", "ab.2", "held-ab"):
        (tmp_path / name).mkdir()
    pin.sweep(tmp_path, {"ab.2"})
    assert {path.name for path in tmp_path.iterdir()} == {"ab.2", "held-ab"}
