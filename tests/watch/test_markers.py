"""Folders of other frameworks: whole by their marker, and marked so. Made here by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from labbook.errors import EvaluationError
from labbook.watch.complete import Unfinished, Whole, examine, is_folder_format
from labbook.watch.load import read_state, unverified
from tests.watch.conftest import net


def write(path: Path, content: str | bytes = b"x" * 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def look(path: Path, seconds: float = 3600) -> Whole | Unfinished:
    return examine(path, None, time.time_ns() + int(seconds * 1e9), lambda: None)


def orbax(root: Path) -> Path:
    write(root / "100/_CHECKPOINT_METADATA", "{}")
    write(root / "100/ocdbt.process_0/d/0a")
    write(root / "100/manifest.ocdbt")
    return root / "100"


def deepspeed(root: Path) -> Path:
    folder = root / "global_step100"
    folder.mkdir(parents=True)
    torch.save(net().state_dict(), folder / "mp_rank_00_model_states.pt")
    torch.save({}, folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    write(root / "latest", folder.name)
    return folder


def megatron(root: Path) -> Path:
    folder = root / "iter_0000100"
    for name in ("common.pt", ".metadata", "__0_0.distcp"):
        write(folder / name)
    write(folder / "metadata.json", '{"sharded_backend": "torch_dist"}')
    return folder


def olmo(root: Path) -> Path:
    write(root / "step100/model_and_optim/.metadata")
    write(root / "step100/train/rank0.pt")
    write(root / "step100/.metadata.json", "{}")
    return root / "step100"


def levanter(root: Path) -> Path:
    write(root / "step-100/model/weight/c/0/0")
    write(root / "step-100/metadata.json", '{"step": 100}')
    return root / "step-100"


MADE = [orbax, deepspeed, megatron, olmo, levanter]
MARKS = {
    "orbax": [],
    "deepspeed": ["../latest"],
    "megatron": ["metadata.json"],
    "olmo": [".metadata.json", "model_and_optim/.metadata"],
    "levanter": ["metadata.json"],
}


@pytest.mark.parametrize("make", MADE)
def test_whole_by_its_marker_and_marked_so(tmp_path: Path, make: Callable[[Path], Path]):
    folder = make(tmp_path)
    assert is_folder_format(folder)
    found = look(folder)
    assert isinstance(found, Whole), found
    assert (found.kind, found.completeness) == (make.__name__, "marker")
    [warning] = unverified(found.kind)
    assert f"the marker of {make.__name__} alone" in warning


@pytest.mark.parametrize(("name", "mark"), [(k, m) for k, marks in MARKS.items() for m in marks])
def test_not_whole_without_its_marker(tmp_path: Path, name: str, mark: str):
    folder = {make.__name__: make for make in MADE}[name](tmp_path)
    if name == "levanter":
        write(folder / "training_state/step")
    (folder / mark).unlink()
    found = look(folder)
    assert isinstance(found, Unfinished), found
    assert Path(mark).name.strip(".") in found.text


@pytest.mark.parametrize("name", ["megatron", "olmo", "levanter"])
def test_a_marker_that_is_half_written(tmp_path: Path, name: str):
    folder = {make.__name__: make for make in MADE}[name](tmp_path)
    [mark] = [m for m in MARKS[name] if m.endswith(".json")]
    write(folder / mark, '{"st')
    found = look(folder, seconds=0)
    assert isinstance(found, Unfinished), found
    assert "does not parse" in found.text
    assert found.is_waiting


def test_orbax_before_its_rename(tmp_path: Path):
    folder = orbax(tmp_path).rename(tmp_path / "100.orbax-checkpoint-tmp-7")
    found = look(folder)
    assert isinstance(found, Unfinished)
    assert "not renamed" in found.text


def test_an_older_tag_of_deepspeed_is_whole_and_a_newer_one_is_not(tmp_path: Path):
    old = deepspeed(tmp_path)
    new = tmp_path / "global_step200"
    new.mkdir()
    torch.save(net().state_dict(), new / "mp_rank_00_model_states.pt")
    later = (tmp_path / "latest").stat().st_mtime + 5
    os.utime(new / "mp_rank_00_model_states.pt", (later, later))
    assert isinstance(look(old), Whole)
    found = look(new)
    assert isinstance(found, Unfinished)
    assert "names 'global_step100'" in found.text
    write(tmp_path / "latest", "global_step200")
    os.utime(tmp_path / "latest", (later + 1, later + 1))
    assert isinstance(look(old), Whole)
    assert isinstance(look(new), Whole)


def test_a_rank_file_that_is_cut(tmp_path: Path):
    folder = deepspeed(tmp_path)
    os.truncate(folder / "mp_rank_00_model_states.pt", 300)
    assert isinstance(look(folder), Unfinished)


def test_the_content_below_several_folders_counts(tmp_path: Path):
    folder = levanter(tmp_path)
    before = look(folder)
    write(folder / "model/weight/c/0/0", b"y" * 64)
    after = look(folder)
    assert isinstance(before, Whole)
    assert isinstance(after, Whole)
    assert before.digest != after.digest


def test_loading_one_asks_for_a_load_of_the_users(tmp_path: Path):
    with pytest.raises(EvaluationError, match=r"does not read olmo folders: write load\(context"):
        read_state(olmo(tmp_path), "olmo", "model")
    write(tmp_path / "odd/x")
    with pytest.raises(EvaluationError, match="does not read the folder odd"):
        read_state(tmp_path / "odd", "unknown", "model")
