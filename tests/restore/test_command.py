"""The recorded command line, mapped to the copy; masked words put back or named."""

from pathlib import Path

import pytest

from labbook.conditions.snapshot import Snapshot
from labbook.errors import MisuseError, SnapshotError
from labbook.restore.command import rebuild
from labbook.restore.recorded import Recorded, original_top, start_folder

COPY = Path("/copy/r")


def recorded(*words, script="/home/u/r/train.py", cwd="/home/u/r", top="/home/u/r"):
    snapshot = Snapshot("complete", tree="0" * 40)
    start = start_folder(words, script, cwd)
    return Recorded(
        "id", "name", Path("/x"), {}, snapshot, command=words, script=script, cwd=cwd,
        top=Path(top), start=start,
    )  # fmt: skip


def words(*given, secrets=None, **where):
    return list(rebuild(recorded(*given, **where), COPY, "PY", secrets).words)


def test_relative_words_stay_and_the_interpreter_changes():
    found = rebuild(recorded("python", "-u", "train.py", "--lr", "1", "src/x"), COPY, "PY")
    assert found.words == ("PY", "-u", "train.py", "--lr", "1", "src/x")
    assert (found.folder, found.script, found.mapped) == (COPY, COPY / "train.py", ())


def test_paths_below_the_folder_lead_to_the_copy():
    assert words("python", "/home/u/r/train.py", "--out=/home/u/r/out", "/home/u/r", "/data") == [
        "PY", "/copy/r/train.py", "--out=/copy/r/out", "/copy/r", "/data",
    ]  # fmt: skip
    assert words("python", "train.py", "/home/u/rest") == ["PY", "train.py", "/home/u/rest"]


def test_relative_paths_that_leave_the_folder_lead_where_they_led():
    assert words("python", "train.py", "../data", "--x=../../y") == [
        "PY", "train.py", "/home/u/data", "--x=/home/y",
    ]  # fmt: skip


def test_from_outside_the_folder():
    found = rebuild(recorded("python", "r/train.py", cwd="/home/u"), COPY, "PY")
    assert (found.words, found.folder) == (("PY", "/copy/r/train.py"), Path("/home/u"))


def test_a_program_that_changed_its_folder_before_it_started_the_run():
    found = rebuild(recorded("python", "train.py", cwd="/home/u/r/outputs/12-00"), COPY, "PY")
    assert found.folder == COPY


@pytest.mark.parametrize("flags", [["-m", "pkg.train"], ["-um", "pkg.train"], ["-mpkg.train"],
                                   ["-W", "error", "-X", "dev", "-m", "pkg.train"]])  # fmt: skip
def test_modules(flags):
    found = rebuild(recorded("python", *flags, script="/home/u/r/pkg/train.py"), COPY, "PY")
    assert (list(found.words[1:]), found.script, found.folder) == (flags, None, COPY)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("python",), "no program"), ((), "no program"), (("python", "-"), "no program"),
        (("python", "-m", "ipykernel_launcher", "-f", "x"), "notebook"),
        (("python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"), "process"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_again(given, text):
    with pytest.raises(SnapshotError, match=text):
        words(*given)


def test_a_masked_argument_is_named_and_put_back():
    masked = ("python", "train.py", "--api-key", "***", "--hub-token=***", "sk-***")
    with pytest.raises(MisuseError, match="api-key, hub-token, argument5 were not recorded"):
        words(*masked)
    with pytest.raises(MisuseError, match=r"hub-token was not recorded.*--set hub-token=VALUE"):
        words(*masked, secrets={"api_key": "A", "argument5": "C"})
    given = {"API_KEY": "A", "hub-token": "B", "argument5": "C"}
    found = rebuild(recorded(*masked), COPY, "PY", given)
    assert found.words[2:] == ("--api-key", "A", "--hub-token=B", "C")
    assert "A" not in found.shown()
    assert found.shown()[3] == "***"
    with pytest.raises(MisuseError, match="no masked argument is called other"):
        words("python", "train.py", secrets={"other": "x"})


def test_the_folder_of_the_code(tmp_path):
    (tmp_path / "real/src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert original_top(str(tmp_path / "link/src/t.py"), None, "src") == tmp_path / "real"
    assert original_top("/gone/r/src/t.py", None, "src") == Path("/gone/r")
    assert original_top(None, "/gone/r", "") == Path("/gone/r")
    assert original_top("/gone/r/t.py", None, "other") is None
    assert original_top("relative.py", None, "") is None
