"""`run.data`: fingerprints that tell data apart, read without disturbing anything."""

import json
import os
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from labbook.client import data as data_module
from labbook.client import files as files_module
from labbook.client.data import fingerprint
from labbook.errors import MisuseError

DATA = torch.arange(600.0).reshape(200, 3)


class Squares(Dataset):
    """Readable by index only; its transform draws random numbers."""

    def __init__(self, length=1000, broken=None):
        self.length, self.broken = length, broken

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.broken:
            raise OSError("the disk is gone")
        return torch.tensor([index**2 + torch.rand(()) + random.random()]), index % 10


def facts(run):
    found = [json.loads(path.read_text()) for path in run.paths.meta.glob("data-*.json")]
    return sorted(found, key=lambda fact: fact["time_ns"])


def test_it_is_a_fact_of_the_run_under_its_name(start):
    run = start()
    run.data("train", DATA)
    run.data("val", Squares())
    train, val = facts(run)
    assert (train["fact"], train["name"], val["name"]) == ("data", "train", "val")
    assert train["data"]["length"] == 200
    assert train["data"]["digest"].startswith("sha256:")
    assert val["data"]["scope"] == "sample"
    assert len(val["data"]["sample"]) == 64


@pytest.mark.parametrize(
    "make",
    [
        DATA.clone,
        lambda: DATA.numpy().copy(),
        lambda: (DATA.clone(), torch.arange(200)),
        lambda: {"x": DATA.numpy().copy(), "y": np.arange(200)},
        lambda: TensorDataset(DATA.clone(), torch.arange(200)),
        lambda: [[float(i), 1] for i in range(50)],
        lambda: ["a text", "another"],
        lambda: DataLoader(TensorDataset(DATA.clone()), batch_size=7, shuffle=True),
    ],
)
def test_equal_data_has_equal_digests(make):
    once, again = fingerprint("d", make()), fingerprint("d", make())
    assert once == again
    assert once["digest"] is not None


def test_one_changed_number_in_memory_is_noticed():
    other = DATA.clone()
    other[137, 1] += 1e-3
    assert fingerprint("d", DATA)["digest"] != fingerprint("d", other)["digest"]
    assert fingerprint("d", DATA)["digest"] != fingerprint("d", DATA.double())["digest"]
    assert fingerprint("d", DATA)["digest"] != fingerprint("d", DATA[:-1])["digest"]


def test_random_transforms_repeat_and_no_generator_moves():
    def states():
        return random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())

    before = states()
    digest = fingerprint("d", Squares())["digest"]
    assert states() == before
    torch.manual_seed(17)
    assert fingerprint("d", Squares())["digest"] == digest is not None


def test_out_of_time_is_said_and_gives_no_digest():
    found = fingerprint("d", Squares(), seconds=0.0)
    assert found["digest"] is None
    assert found["reason"] == "out of time after 0 of 64 examples"
    assert found["length"] == 1000


def test_a_dataset_that_cannot_be_read_stops_no_training(start):
    run = start()
    broken = Squares(10, broken=3)
    run.data("train", broken)
    [fact] = facts(run)
    assert fact["data"]["digest"] is None
    assert fact["data"]["reason"] == "example 3 cannot be read: OSError: the disk is gone"
    assert len(fact["data"]["sample"]) == 3


def test_what_can_only_be_iterated_is_left_alone():
    class Stream(IterableDataset):
        def __iter__(self):
            raise AssertionError("it was read")

    found = fingerprint("d", Stream())
    assert (found["length"], found["digest"]) == (None, None)
    assert "name the files it reads" in found["reason"]
    numbers = iter([1, 2, 3])
    fingerprint("d", numbers)
    assert list(numbers) == [1, 2, 3]


def test_wrong_use_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MisuseError, match=r"there is no file or folder 'data/x\.csv' in "):
        fingerprint("d", "data/x.csv")
    with pytest.raises(MisuseError, match="wants a dataset, an array or a path, got a builtins"):
        fingerprint("d", 3)
    with pytest.raises(MisuseError, match="the name must be printable text, got 7"):
        fingerprint(7, DATA)


def folder_of(tmp_path, name="set", **files):
    folder = tmp_path / name
    for file, content in (files or {"a": b"one", "b": b"two"}).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_folder_is_its_names_and_bytes_not_its_place_and_times(tmp_path):
    once, again = folder_of(tmp_path, "here"), folder_of(tmp_path, "there")
    os.utime(again / "a", (1, 1))
    here, there = fingerprint("d", once), fingerprint("d", str(again))
    assert here["digest"] == there["digest"]
    assert (here["kind"], here["n_files"], here["bytes"], here["scope"]) == ("folder", 2, 6, "all")
    (again / "a").write_bytes(b"ono")
    assert fingerprint("d", again)["digest"] != here["digest"]
    (once / "b").rename(once / "c")
    assert fingerprint("d", once)["digest"] != here["digest"]


def test_a_file_and_a_list_of_files(tmp_path):
    folder = folder_of(tmp_path)
    one = fingerprint("d", folder / "a")
    assert (one["kind"], one["bytes"], one["path"]) == ("file", 3, str(folder / "a"))
    assert one["mtime_ns"] == (folder / "a").stat().st_mtime_ns
    both = fingerprint("d", [folder / "a", folder / "b"])
    assert (both["kind"], both["n_files"]) == ("files", 2)
    assert both["digest"] != fingerprint("d", [folder / "b", folder / "a"])["digest"]


def test_large_files_count_by_their_ends_whatever_the_disk_does(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "_WHOLE_BYTES", 1000)
    folder = folder_of(tmp_path, big=bytes(300_000))
    before = fingerprint("d", folder)
    assert before["scope"] == "sample"
    content = bytearray(300_000)
    content[-1] = 1
    (folder / "big").write_bytes(content)
    assert fingerprint("d", folder)["digest"] != before["digest"]
    assert fingerprint("d", folder, seconds=0.0)["digest"] is None


def test_large_tensors_count_by_a_sample(monkeypatch):
    monkeypatch.setattr(data_module, "WHOLE_BYTES", 100)
    found = fingerprint("d", DATA)
    assert found["scope"] == "sample"
    assert found["digest"] == fingerprint("d", DATA.clone())["digest"] is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_a_reason(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "a").chmod(0)
    assert fingerprint("d", folder)["reason"].startswith("cannot be read: Permission denied")


def test_links_that_lead_nowhere_or_round_and_round_do_no_harm(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "nowhere").symlink_to("gone")
    (folder / "round").symlink_to(folder)
    assert fingerprint("d", folder)["n_files"] == 2


def test_a_book_that_cannot_be_written_is_counted(start):
    run = start()
    for path in run.paths.meta.iterdir():
        path.unlink()
    run.paths.meta.rmdir()
    run.paths.meta.write_text("in the way")
    run.data("train", DATA)
    assert run.faults["meta"] == 1


def test_with_recording_off_it_reads_nothing(script):
    done = script.run(
        """
        import labbook
        run = labbook.start()
        run.data("train", "no/such/file")
        """,
        LABBOOK_MODE="off",
    )
    assert done.returncode == 0, done.stderr
