"""Whole or not: every format, cut, zeroed, overwritten and half-finished in every known way."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import struct
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from labbook.errors import DamagedFile
from labbook.watch import inert, torch_zip
from labbook.watch.complete import (
    QUIET_S,
    Unfinished,
    Verdict,
    Whole,
    examine,
    is_folder_format,
)
from tests.watch.conftest import net


def look(path: Path, size: int | None = None, *, later: bool = False) -> Verdict:
    now = time.time_ns() + (int((QUIET_S + 1) * 1e9) if later else 0)
    return examine(path, size, now, lambda: None)


def whole(path: Path, **more: bool) -> Whole:
    verdict = look(path, **more)
    assert isinstance(verdict, Whole), verdict
    return verdict


def unfinished(path: Path, **more: bool) -> Unfinished:
    verdict = look(path, **more)
    assert isinstance(verdict, Unfinished), verdict
    return verdict


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "step-1.pt"
    torch.save({"model": net(width=64).state_dict(), "step": 1}, path)
    return path


def test_a_torch_file_is_whole(saved: Path):
    found = whole(saved)
    assert (found.kind, found.completeness) == ("torch", "structure")
    assert found.digest.startswith("zip:")


def test_the_digest_is_of_the_content_and_not_of_the_name(saved: Path, tmp_path: Path):
    other, changed = tmp_path / "other.pt", tmp_path / "changed.pt"
    state = torch.load(saved, weights_only=True)
    torch.save(state, other)
    state["model"]["0.weight"][0, 0] += 1
    torch.save(state, changed)
    assert whole(saved).digest == whole(other).digest != whole(changed).digest


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_a_torch_file_cut_anywhere_is_not_whole(saved: Path, share: float):
    os.truncate(saved, int(saved.stat().st_size * share))
    assert unfinished(saved).is_waiting  # it may still be being written
    assert not unfinished(saved, later=True).is_waiting


def test_a_file_of_ours_that_is_short_stays_short(saved: Path):
    size = saved.stat().st_size
    os.truncate(saved, size // 2)
    verdict = look(saved, size)
    assert verdict == Unfinished(f"it has {size // 2} of {size} bytes", is_waiting=False)


def test_a_save_broken_off_by_an_exception_is_not_whole(tmp_path: Path):
    """torch closes the archive all the same: a valid zip without some storages."""

    class Full(Exception):
        pass

    path = tmp_path / "broken.pt"
    with pytest.raises(Full):
        _save_until_full(path, Full)
    assert zipfile.is_zipfile(path)
    assert "storage" in unfinished(path, later=True).text
    assert "missing" in unfinished(path, later=True).text


def _save_until_full(path: Path, full: type[Exception]) -> None:
    """`torch.save` whose eighth record does not fit."""
    with torch.serialization._open_zipfile_writer(str(path)) as archive:

        class Limited:
            count = 0

            def __getattr__(self, name: str) -> object:
                return getattr(archive, name)

            def write_record(self, *args: object) -> None:
                self.count += 1
                if self.count > 7:
                    raise full
                archive.write_record(*args)

        state = net(width=64).state_dict()
        torch.serialization._save(state, Limited(), pickle, 2, _disable_byteorder_record=False)


def test_a_file_without_checksums_is_hashed_instead(tmp_path: Path):
    path = tmp_path / "plain.pt"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(net(seed=1).state_dict(), path)
        first = whole(path).digest
        torch.save(net(seed=2).state_dict(), path)
        second = whole(path).digest
    finally:
        torch.serialization.set_crc32_options(before)
    assert first.startswith("sha256:")
    assert first != second


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.binary(max_size=400), head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02"]))
def test_any_bytes_give_a_verdict_and_never_an_exception(tmp_path: Path, data: bytes, head: bytes):
    for name in ("x.pt", "x.safetensors", "x.bin"):
        path = tmp_path / name
        path.write_bytes(head + data)
        look(path, later=True)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.binary(max_size=200))
def test_any_pickle_is_read_or_called_damaged(tmp_path: Path, data: bytes):
    with contextlib.suppress(DamagedFile):
        inert.read(io.BytesIO(data), "x")


def test_nothing_in_a_pickle_is_executed(tmp_path: Path):
    target = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {target}",)

    path = tmp_path / "trap.pt"
    torch.save({"model": net().state_dict(), "trap": Trap()}, path)
    assert isinstance(look(path), Whole)
    assert not target.exists()


# -- safetensors --------------------------------------------------------------------------------


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    path = tmp_path / "step-1.safetensors"
    save_file({"a": torch.ones(300, 10), "b": torch.ones(5000)}, path)
    return path


def test_safetensors_whole_and_cut(safe: Path):
    assert whole(safe).kind == "safetensors"
    size = safe.stat().st_size
    for length in (0, 4, 20, size // 2, size - 1):
        os.truncate(safe, length)
        assert unfinished(safe).is_waiting
        assert not unfinished(safe, later=True).is_waiting


def test_safetensors_with_its_length_set_before_its_content(safe: Path):
    """One release of the library did so: full length, a tail of zeros for seconds."""
    raw = safe.read_bytes()
    safe.write_bytes(raw[: len(raw) // 2] + bytes(len(raw) - len(raw) // 2))
    verdict = unfinished(safe)
    assert verdict.is_waiting
    assert "nothing in it has changed" in verdict.text


def test_safetensors_whose_last_tensor_really_is_zero(tmp_path: Path):
    path = tmp_path / "zero.safetensors"
    save_file({"a": torch.ones(10), "z": torch.zeros(5000)}, path)
    assert unfinished(path).is_waiting
    assert whole(path, later=True).kind == "safetensors"


@pytest.mark.parametrize(
    "header",
    [b"{", b"[]", b'{"a": 1}', b'{"a": {"data_offsets": [0]}}', b'{"a": {"data_offsets": "xy"}}'],
)
def test_safetensors_with_a_strange_header(tmp_path: Path, header: bytes):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"x" * 50)
    assert not unfinished(path, later=True).is_waiting


def test_safetensors_whose_end_was_never_written(tmp_path: Path):
    """The length was set first and the writer is gone: quiet, and still not whole."""
    path = tmp_path / "step-1.safetensors"
    header = json.dumps({"a": {"dtype": "U8", "shape": [1 << 20], "data_offsets": [0, 1 << 20]}})
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode() + b"x" * 1000)
        file.truncate(8 + len(header) + (1 << 20))
    found = unfinished(path, later=True)
    assert "was never written from byte" in found.text
    assert not found.is_waiting


# -- Hugging Face folders -----------------------------------------------------------------------


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-100"
    folder.mkdir()
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for number, name in enumerate(names):
        save_file({f"w{number}": torch.ones(100) * (number + 1)}, folder / name)
    index = {"metadata": {"total_size": 800}, "weight_map": {"w0": names[0], "w1": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    torch.save({}, folder / "optimizer.pt")
    (folder / "trainer_state.json").write_text('{"global_step": 100}')
    return folder


def test_a_sharded_folder_is_whole(sharded: Path):
    assert whole(sharded).kind == "hf"


def test_a_sharded_folder_lacks_a_shard(sharded: Path):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    assert "is missing" in unfinished(sharded, later=True).text


def test_a_sharded_folder_with_a_short_shard(sharded: Path):
    os.truncate(sharded / "model-00002-of-00002.safetensors", 200)
    assert "bytes" in unfinished(sharded, later=True).text


def test_a_trainer_folder_before_its_last_file(sharded: Path):
    (sharded / "trainer_state.json").unlink()
    assert "trainer_state.json" in unfinished(sharded).text
    (sharded / "trainer_state.json").write_text('{"global_st')
    assert "does not parse" in unfinished(sharded).text


def test_an_index_of_an_earlier_save_into_the_same_folder(sharded: Path):
    save_file({"renamed": torch.ones(100)}, sharded / "model-00002-of-00002.safetensors")
    assert "another save" in unfinished(sharded, later=True).text


def test_a_save_over_an_earlier_one_that_was_broken_off_between_shards(sharded: Path):
    """Each file is whole, and together they are no model that ever was."""
    save_file({"w0": torch.ones(100) * 7}, sharded / "model-00001-of-00002.safetensors")
    found = unfinished(sharded, later=True)
    assert (
        "model-00001-of-00002.safetensors is newer than model.safetensors.index.json" in found.text
    )
    os.utime(sharded / "model.safetensors.index.json")
    whole(sharded)


def test_a_folder_whose_index_came_first_must_be_quiet(sharded: Path):
    os.utime(sharded / "model.safetensors.index.json", (1, 1))
    assert unfinished(sharded).is_waiting
    assert whole(sharded, later=True).completeness == "structure"


def test_shards_without_their_index_are_a_checkpoint_that_is_not_whole(sharded: Path):
    (sharded / "model.safetensors.index.json").unlink()
    assert is_folder_format(sharded)
    assert "index of its shards" in unfinished(sharded, later=True).text


def test_an_empty_folder(tmp_path: Path):
    assert not is_folder_format(tmp_path)
    assert "is empty" in unfinished(tmp_path, later=True).text


def test_an_index_that_points_out_of_its_folder(sharded: Path):
    index = {"weight_map": {"w0": "../../etc/passwd"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "outside its folder" in unfinished(sharded, later=True).text


# -- distributed checkpoints --------------------------------------------------------------------


def save_dcp(folder: Path, seed: int = 0) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = {"model": net(width=64, seed=seed).state_dict(), "step": 1}
        dcp.save(state, checkpoint_id=folder, no_dist=True)


@pytest.fixture
def distributed(tmp_path: Path) -> Path:
    folder = tmp_path / "step-1"
    save_dcp(folder)
    return folder


def test_a_distributed_checkpoint_is_whole(distributed: Path):
    assert whole(distributed).kind == "dcp"


def test_a_distributed_checkpoint_without_metadata_or_a_shard(distributed: Path):
    shard = distributed / "__0_0.distcp"
    raw = shard.read_bytes()
    shard.unlink()
    assert "is missing" in unfinished(distributed, later=True).text
    shard.write_bytes(raw[:-1])
    assert "bytes" in unfinished(distributed, later=True).text


def test_a_distributed_checkpoint_that_is_being_overwritten(distributed: Path):
    """The old .metadata stays while the shards are filled again."""
    shard = distributed / "__0_0.distcp"
    raw = shard.read_bytes()
    committed = (distributed / ".metadata").stat().st_mtime_ns
    shard.write_bytes(raw)
    os.utime(shard, ns=(committed + 1, committed + 1))
    assert "newer than .metadata" in unfinished(distributed, later=True).text
    (distributed / ".metadata").touch()
    assert whole(distributed).kind == "dcp"


def test_a_damaged_metadata_file(distributed: Path):
    path = distributed / ".metadata"
    raw = path.read_bytes()
    for length in (0, 10, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:length])
        assert not unfinished(distributed, later=True).is_waiting


# -- others -------------------------------------------------------------------------------------


def test_a_lightning_checkpoint_moved_over_from_another_filesystem(tmp_path: Path):
    """The final name is there while its content is still being copied."""
    source, target = tmp_path / "source.ckpt", tmp_path / "epoch=1-step=10.ckpt"
    torch.save(
        {
            "epoch": 1,
            "global_step": 10,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": net(width=64).state_dict(),
            "optimizer_states": [],
        },
        source,
    )
    raw = source.read_bytes()
    for share in (0.1, 0.5, 0.98):
        target.write_bytes(raw[: int(len(raw) * share)])
        assert unfinished(target).is_waiting
    shutil.copy(source, target)
    assert whole(target).kind == "torch"


def test_an_unknown_format_must_be_quiet_and_is_marked(tmp_path: Path):
    path = tmp_path / "weights.npz.custom"
    path.write_bytes(b"something else")
    assert unfinished(path).is_waiting
    assert whole(path, later=True).completeness == "quiescent"


def test_temporary_names_are_left_alone(tmp_path: Path):
    path = tmp_path / "step-1.pt.tmp"
    torch.save({}, path)
    assert unfinished(path, later=True).is_waiting


def test_hundreds_of_interrupted_saves_give_no_wrong_verdict(tmp_path: Path):
    """Random cuts and zero holes at the end, over all single-file formats: never called whole."""
    draw = random.Random(5)
    torch_file, safe_file = tmp_path / "a.pt", tmp_path / "a.safetensors"
    torch.save(net(width=64).state_dict(), torch_file)
    save_file({"a": torch.rand(2000) + 1}, safe_file)
    for path in (torch_file, safe_file):
        raw = path.read_bytes()
        for _ in range(150):
            cut = draw.randrange(len(raw))
            zeros = draw.choice([0, len(raw) - cut])
            path.write_bytes(raw[:cut] + bytes(zeros))
            if path.read_bytes() != raw:
                assert unfinished(path).is_waiting
        path.write_bytes(raw)
        whole(path)


def test_checking_reads_the_directory_and_not_the_weights(tmp_path: Path):
    path = tmp_path / "large.pt"
    torch.save({"w": torch.zeros(4_000_000)}, path)
    ticks: list[int] = []
    torch_zip.check(path, lambda: ticks.append(1))
    assert ticks == []
