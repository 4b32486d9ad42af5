"""Saving the run's own checkpoints, and registering those that others write."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from labbook.client.checkpoints import Registrar, save
from labbook.client.external import step_in_name
from labbook.errors import MisuseError
from labbook.journal.reader import Event


def digest(path):
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def sidecars(paths):
    return {
        path.name: json.loads(path.read_text()) for path in paths.checkpoints.glob("[!.]*.json")
    }


def leftovers(paths):
    return [path.name for path in paths.checkpoints.iterdir() if path.name.startswith(".")]


# ---------------------------------------------------------------- the run's own


def test_a_checkpoint_is_saved_and_registered(journal):
    weights = {"w": torch.rand(100)}
    path = save(journal.paths, journal.writer, weights, step=300)
    assert path == journal.paths.checkpoints / "step-300.pt"
    assert torch.equal(torch.load(path)["w"], weights["w"])
    (sidecar,) = sidecars(journal.paths).values()
    assert sidecar.pop("time_ns") > 0
    assert sidecar == {
        "format": 1,
        "file": "checkpoints/step-300.pt",
        "step": 300,
        "size": path.stat().st_size,
        "digest": digest(path),
        "external": False,
        "kind": "torch",
    }
    (event,) = journal.records(Event)
    assert event.step == 300
    assert event.fields["digest"] == digest(path)
    assert leftovers(journal.paths) == []


def test_a_step_saved_anew_replaces_the_first_and_says_so(journal):
    first = save(journal.paths, journal.writer, {"w": 1}, step=3)
    with open(first, "rb") as reader:
        second = save(journal.paths, journal.writer, {"w": 2}, step=3)
        # whoever was reading the first still has all of it
        assert torch.load(reader) == {"w": 1}
    assert first == second
    assert torch.load(second) == {"w": 2}
    assert sidecars(journal.paths)["step-3.pt.json"]["digest"] == digest(second)
    assert [event.fields["replaced"] for event in journal.records(Event)] == [False, True]


def test_names_and_no_step(journal):
    assert save(journal.paths, journal.writer, 1, step=5, name="best").name == "best.pt"
    assert save(journal.paths, journal.writer, 1, step=5, name="last.ckpt").name == "last.ckpt"
    assert save(journal.paths, journal.writer, 1, step=None).name == "save-1.pt"
    assert save(journal.paths, journal.writer, 1, step=None).name == "save-2.pt"
    found = sidecars(journal.paths)
    assert found["best.pt.json"]["step"] == 5
    assert found["save-1.pt.json"]["step"] is None


@pytest.mark.parametrize("name", ["../best", "a/b", "", ".hidden", "best.pt.json", "x.tmp"])
def test_names_that_are_no_file_names_are_refused(journal, name):
    with pytest.raises(MisuseError):
        save(journal.paths, journal.writer, 1, step=5, name=name)
    assert not journal.paths.checkpoints.exists()


def test_what_torch_refuses_is_raised_and_nothing_is_lost(journal):
    path = save(journal.paths, journal.writer, {"w": 1}, step=3)
    before = path.read_bytes(), sidecars(journal.paths)
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        save(journal.paths, journal.writer, {"f": (i for i in range(3))}, step=3)
    assert (path.read_bytes(), sidecars(journal.paths)) == before
    assert leftovers(journal.paths) == []


def test_a_full_disk_raises_and_keeps_the_one_before(journal):
    # a limit on file size stands for the full disk: the same short and failing writes
    code = """
        import resource, signal, sys
        from pathlib import Path
        import torch
        from labbook.client.checkpoints import save
        from labbook.paths import RunPaths

        class Writer:
            def event(self, *given, **fields): pass
            def fault(self, *given): raise AssertionError(given)

        paths = RunPaths(Path(sys.argv[1]))
        save(paths, Writer(), {"w": torch.zeros(1000)}, step=1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save(paths, Writer(), {"w": torch.zeros(1_000_000)}, step=1)
        except (OSError, RuntimeError) as error:
            print("raised", type(error).__name__)
        print(len(torch.load(paths.checkpoints / "step-1.pt")["w"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(journal.paths.root)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    raised, length = done.stdout.splitlines()
    assert raised.startswith("raised")
    assert length == "1000"
    assert leftovers(journal.paths) == []
    assert sidecars(journal.paths)["step-1.pt.json"]["size"] < 100_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_raises(journal):
    journal.paths.checkpoints.mkdir()
    journal.paths.checkpoints.chmod(0o500)
    with pytest.raises(PermissionError):
        save(journal.paths, journal.writer, 1, step=5)


# ---------------------------------------------------------------- others'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "out"
    place.mkdir()
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def registrar(journal):
    return Registrar(journal.paths, journal.writer)


def test_a_file_is_registered_once_it_stands_still(journal, registrar, folder):
    registrar.watch("out/**/*.pt")
    path = folder / "step-0100.pt"
    path.write_bytes(b"half")
    registrar.scan()
    path.write_bytes(b"half and half")
    registrar.scan()
    assert not journal.paths.checkpoints.exists()
    registrar.scan()
    (sidecar,) = sidecars(journal.paths).values()
    book = journal.paths.root.parent.parent
    assert (book / sidecar["file"]).resolve() == path.resolve()
    assert not os.path.isabs(sidecar["file"])
    assert sidecar["digest"] == digest(path)
    assert (sidecar["step"], sidecar["size"], sidecar["external"]) == (100, 13, True)
    registrar.scan()
    assert len(journal.records(Event)) == 1


def test_the_pattern_is_a_fact_of_the_run(journal, registrar, folder):
    registrar.watch("out/*.pt")
    registrar.watch("other/*.ckpt")
    facts = [json.loads(path.read_text()) for path in journal.paths.meta.glob("watch-*.json")]
    book = journal.paths.root.parent.parent
    found = {os.path.normpath(book / fact["pattern"]) for fact in facts}
    assert found == {str(folder / "*.pt"), str(folder.parent / "other/*.ckpt")}
    assert {fact["fact"] for fact in facts} == {"watch"}


def test_files_from_before_are_not_this_runs_until_they_change(journal, registrar, folder):
    (folder / "old.pt").write_bytes(b"an earlier run's")
    registrar.watch("out/*.pt")
    registrar.scan(final=True)
    assert not journal.paths.checkpoints.exists()
    (folder / "old.pt").write_bytes(b"this run's")
    registrar.scan(final=True)
    (sidecar,) = sidecars(journal.paths).values()
    assert sidecar["digest"] == digest(folder / "old.pt")


def test_a_name_used_again_gets_the_new_digest(journal, registrar, folder):
    registrar.watch("out/*.pt")
    for content in (b"one", b"three"):
        (folder / "last.pt").write_bytes(content)
        registrar.scan(final=True)
        (sidecar,) = sidecars(journal.paths).values()
        assert sidecar["digest"] == digest(folder / "last.pt")
        assert sidecar["step"] is None
    assert len(journal.records(Event)) == 2


def test_equal_names_in_two_folders_are_two_checkpoints(journal, registrar, folder):
    registrar.watch("out/**/*.pt")
    for place in ("a", "b"):
        (folder / place).mkdir()
        (folder / place / "last.pt").write_bytes(place.encode())
    registrar.scan(final=True)
    assert len(sidecars(journal.paths)) == 2


def test_a_large_file_is_digested_a_little_at_a_time(journal, registrar, folder, monkeypatch):
    monkeypatch.setattr("labbook.client.external._LOOK_S", -1.0)  # one chunk a look
    monkeypatch.setattr("labbook.client.external._CHUNK", 1000)
    registrar.watch("out/*.pt")
    (folder / "step-1.pt").write_bytes(os.urandom(3500))
    looks = 0
    while not journal.paths.checkpoints.exists():
        registrar.scan()
        looks += 1
        assert looks < 10
    assert looks > 4
    (sidecar,) = sidecars(journal.paths).values()
    assert sidecar["digest"] == digest(folder / "step-1.pt")


def test_a_file_that_goes_away_is_no_fault(journal, registrar, folder):
    registrar.watch("out/*.pt")
    (folder / "step-1.pt").write_bytes(b"x")
    registrar.scan()
    (folder / "step-1.pt").unlink()
    registrar.scan()
    registrar.scan(final=True)
    assert journal.writer.faults == {}


def test_a_book_that_cannot_be_written_is_counted_not_raised(journal, registrar, folder):
    registrar.watch("out/*.pt")
    journal.paths.checkpoints.write_text("a file where the folder should be")
    (folder / "step-1.pt").write_bytes(b"x")
    registrar.scan(final=True)
    assert journal.writer.faults == {"register": 1}
    assert "cannot register checkpoints" in journal.said[0]


def test_the_runs_own_files_are_not_external(journal, registrar, folder, monkeypatch):
    monkeypatch.chdir(journal.paths.root.parent.parent.parent)
    registrar.watch("**/*.pt")
    save(journal.paths, journal.writer, 1, step=5)
    registrar.scan(final=True)
    assert list(sidecars(journal.paths)) == ["step-5.pt.json"]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-0100.pt", 100),
        ("step_5.ckpt", 5),
        ("epoch=3-step=70.ckpt", 70),
        ("iter12.pth", 12),
        ("checkpoint-500", 500),
        ("ckpt_7.pt", 7),
        ("model3.pt", 3),
        ("epoch-3.pt", None),
        ("last.pt", None),
        ("resnet18.pt", None),
        ("2026-11-23.pt", None),
    ],
)
def test_the_step_is_read_only_where_it_is_said(name, step):
    assert step_in_name(name) == step
