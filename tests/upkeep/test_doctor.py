"""The doctor finds what is planted, names it, and repairs only that."""

import json
import os
import signal

import pytest

from tests.upkeep.conftest import book_of, cli, only


def findings(script, *args, code=1):
    out = cli(script, "doctor", "--json", *args, code=code)
    return [
        (f["path"].rpartition("/")[2], f["what"], f["done"]) for f in json.loads(out)["findings"]
    ]


def test_a_sound_book_is_said_to_be_sound(recorded):
    out = cli(recorded, "doctor")
    assert out.startswith("1 runs, ")
    assert out.endswith(": sound\n")


def test_a_flipped_bit_in_a_part_is_found(recorded):
    (part,) = (only(recorded).paths.root / "series").glob("*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    found = findings(recorded)
    assert (part.name, "its checksum is not the one its seal names", None) in found


def test_a_checkpoint_that_is_not_what_was_saved_is_found(script):
    done = script.run(
        """
        import labbook, torch
        with labbook.start({}, gauges=False) as run:
            run.save({"w": torch.zeros(100)}, step=1)
            run.save({"w": torch.zeros(100)}, step=2)
        """
    )
    assert done.returncode == 0, done.stderr
    assert cli(script, "doctor").endswith(": sound\n")
    first, second = sorted(only(script).paths.checkpoints.glob("*.pt"))
    with open(first, "ab") as file:
        file.write(b"x")
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    second.write_bytes(data)
    told = {name: what for name, what, _ in findings(script)}
    size = first.stat().st_size
    assert told[first.name] == f"has {size} bytes, and {size - 1} when it was saved"
    assert told[second.name] == "is not what was saved: another digest"


def test_a_missing_part_and_a_truncated_one_are_found(recorded):
    (series,) = (only(recorded).paths.root / "series").glob("*.parquet")
    os.truncate(series, 50)
    assert any(
        name == series.name and "cannot be read" in what for name, what, _ in findings(recorded)
    )
    series.unlink()
    assert any("No such file" in what for _, what, _ in findings(recorded))


def test_leftovers_are_named_then_deleted_and_nothing_else(recorded):
    paths = only(recorded).paths
    planted = [
        paths.root / "series" / "r0-zzz-1-1.parquet",
        paths.meta / ".tags-x.json.12.tmp",
        recorded.book.root / ".book.json.34.tmp",
    ]
    for path in planted:
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    young = paths.meta / ".young.json.1.tmp"
    young.write_bytes(b"x")
    assert {name for name, _, _ in findings(recorded)} == {path.name for path in planted}
    assert all(path.exists() for path in planted)
    repaired = findings(recorded, "--repair", code=0)
    assert [done for _, _, done in repaired] == ["deleted"] * 3
    assert not any(path.exists() for path in planted)
    assert young.exists()
    assert findings(recorded, code=0) == []


def test_damaged_json_is_named(recorded):
    only(recorded).paths.run_json.write_text("{")
    assert any(name == "run.json" for name, _, _ in findings(recorded))


def test_the_journal_of_a_killed_run_is_named_and_sealed(script, live):
    run_id, process = live
    process.send_signal(signal.SIGKILL)
    process.wait()
    ((name, what, _),) = findings(script)
    assert name.endswith("-1.lbj")
    assert what == "is not sealed though the run is over"
    assert book_of(script).run(run_id).state.name == "killed"
    ((_, _, done),) = findings(script, "--repair", code=0)
    assert done.endswith(": sealed")
    run = book_of(script).run(run_id)
    assert run.series("loss")["value"].to_pylist() == [1.0]
    assert run.state.name == "killed"
    assert not list(run.paths.segments())


@pytest.mark.parametrize("verb", ["seal", "doctor"])
def test_a_live_journal_is_left_alone(script, live, verb):
    run_id, _ = live
    segment = next(iter(script.book.run(run_id).segments()))[2]
    cli(script, verb)
    assert segment.exists()
