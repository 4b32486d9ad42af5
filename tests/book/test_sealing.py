from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pyarrow.parquet as pq
import pytest

from labbook.book import compact
from labbook.book.seal import main, seal_dead, seal_span
from labbook.errors import DamagedFile
from labbook.journal.format import PENDING
from labbook.journal.writer import JournalWriter, RowSchema
from labbook.paths import Span
from tests.book.making import WRITER, choose, everything, observe


def fill(journal: JournalWriter, first: int = 0, last: int = 40) -> None:
    """Rows of every kind, in several segments."""
    if first == 0:
        choose(journal)
    for step in range(first, last):
        journal.row("series", ("loss", "lr"), (1 / (step + 1), None if step % 7 else 0.1), step)
        if step % 5 == 0:
            journal.row("series", ("val/acc",), (float("nan") if step == 5 else step,), step)
            journal.row("gauges", ("cpu", "gpu"), (step, None), None)
            observe(journal, step, [0.5, 1.5, step, float("inf")])
        if step % 10 == 0:
            journal.event("alert", f"step {step}", step, level="high")
            journal.roll()


def test_a_sealed_run_reads_as_the_journal_did(make):
    run = make()
    run.process()
    journal = run.journal()
    fill(journal)
    before = everything(run.read())
    assert seal_span(run.paths, WRITER, 1, journal.number - 1) == [Span(WRITER, 1, 4)]
    assert everything(run.read()) == before
    assert [n for _, n, _ in run.paths.segments()] == [journal.number]
    journal.close()
    seal_span(run.paths, WRITER, 5, journal.number, finish=True)
    assert everything(run.read()) == before
    assert [path.name for path in run.paths.seals.glob("*.json")] == [f"{WRITER}-1-5.json"]
    assert list(run.paths.segments()) == []


def test_a_reader_follows_through_logging_and_sealing(make):
    run = make()
    run.process()
    journal = run.journal()
    reader = run.read()
    for last in (10, 20, 30):
        fill(journal, last - 10, last)
        assert reader.refresh()
        assert not reader.refresh()
        assert everything(reader) == everything(run.read())
        seal_span(run.paths, WRITER, 1, journal.number - 1)
        assert reader.refresh()
        assert everything(reader) == everything(run.read())
        assert reader.stats()["loss"].count == last
    journal.close()
    seal_span(run.paths, WRITER, 1, journal.number, finish=True)
    before = everything(reader)  # the old parts are gone: it must find the new one by itself
    assert before == everything(run.read())


def test_sealing_is_idempotent(make):
    run = make()
    journal = run.journal()
    fill(journal)
    journal.close()
    before = everything(run.read())
    for _ in range(3):
        seal_span(run.paths, WRITER, 1, journal.number, finish=True)
        assert everything(run.read()) == before


def test_segments_an_earlier_child_left_are_sealed_too(make):
    run = make()
    journal = run.journal()
    fill(journal)
    journal.close()
    before = everything(run.read())
    seal_span(run.paths, WRITER, 1, 1)
    made = seal_span(run.paths, WRITER, 3, 3)
    assert made == [Span(WRITER, 2, 3)]
    assert everything(run.read()) == before


KILLER = """
    import os, sys
    sys.path.insert(0, {root!r})
    from labbook.book import seal

    def dying(function, at, counted):
        def call(*args, **kwargs):
            counted[0] += 1
            if counted[0] == at and at % 2:
                os._exit(77)
            result = function(*args, **kwargs)
            if counted[0] == at:
                os._exit(77)
            return result
        return call

    # nothing has started a thread yet: each sealing runs in a fork, and dies at its own step
    for line in sys.stdin:
        at, *arguments = line.split()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            counted = [0]
            for name in ("fsync", "replace", "rename", "link", "unlink", "utime"):
                setattr(os, name, dying(getattr(os, name), int(at), counted))
            code = seal.main(arguments)
            print(counted[0], code, flush=True)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 77:
            print("died", flush=True)
"""


class Killer:
    """Seals in processes that die at their n-th change of the disk."""

    def __init__(self) -> None:
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        script = textwrap.dedent(KILLER).format(root=root)
        self.child = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seal(self, run, at: int, *arguments: str) -> str:
        """Return "died", or the number of changes and the exit code."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        print(at, run.paths.root, *arguments, file=self.child.stdin, flush=True)
        return self.child.stdout.readline().strip()

    def close(self) -> None:
        self.child.communicate()


@pytest.fixture
def killer():
    killer = Killer()
    yield killer
    killer.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_at_any_step_of_a_seal_loses_and_doubles_nothing(make, killer):
    arguments = ["--writer", WRITER, "--first", "1", "--last", "6", "--compact"]

    original = make()
    original.process()
    journal = original.journal()
    fill(journal, 0, 20)
    seal_span(original.paths, WRITER, 1, journal.number - 1)
    fill(journal, 20, 25)
    journal.close()
    expected = everything(original.read())

    def prepared():
        run = make()
        shutil.copytree(original.paths.root, run.paths.root, dirs_exist_ok=True)
        return run

    steps, code = killer.seal(prepared(), 0, *arguments).split()
    assert code == "0"
    assert int(steps) > 30
    for at in range(1, int(steps) + 1):
        run = prepared()
        live = run.read()
        assert killer.seal(run, at, *arguments) == "died"
        assert everything(run.read()) == expected, f"killed at {at}"
        live.refresh()
        assert everything(live) == expected, f"killed at {at}, read by a reader that was there"
        assert main([str(run.paths.root), *arguments]) == 0
        assert everything(run.read()) == expected, f"sealed again after a kill at {at}"
        left = sorted(p.name for p in run.paths.root.rglob("*") if p.is_file())
        assert not [name for name in left if name.endswith((".tmp", ".lbj"))]
        assert len([name for name in left if name.startswith(f"{WRITER}-")]) == 5


def test_two_sealers_at_once_seal_once(make):
    run = make()
    journal = run.journal()
    fill(journal)
    journal.close()
    before = everything(run.read())
    command = [sys.executable, "-m", "labbook.book.seal", str(run.paths.root)]
    command += ["--writer", WRITER, "--first", "1", "--last", str(journal.number), "--compact"]
    children = [subprocess.Popen(command) for _ in range(3)]
    reader = run.read()
    while any(child.poll() is None for child in children):
        reader.refresh()
        assert everything(reader) == before
    assert [child.wait() for child in children] == [0, 0, 0]
    assert everything(run.read()) == before
    assert len(list(run.paths.seals.glob("*.json"))) == 1


def test_late_values_of_a_later_segment_are_sealed_in_their_place(make):
    run = make()
    journal = run.journal()
    schema = RowSchema("series", ("loss", "lr"))
    waiting = [journal.append(schema, step, (PENDING, 0.1)) for step in range(3)]
    journal.roll()
    journal.late(waiting[0], [(0, 7.0)])
    # one value has arrived; the segment still waits for two, and is left alone
    assert seal_span(run.paths, WRITER, 1, 1) == []
    assert run.read().series("loss")["value"].to_pylist() == [7.0, None, None]
    journal.late(waiting[1], [(0, 8.0)])
    journal.late(waiting[2], [(0, 9.0), (5, 1.0), (1, 3.0)])  # no such cell; not pending
    assert seal_span(run.paths, WRITER, 1, 1) == [Span(WRITER, 1, 1)]
    assert run.read().series("loss")["value"].to_pylist() == [7.0, 8.0, 9.0]
    assert run.read().series("lr")["value"].to_pylist() == [0.1, 0.1, 0.1]
    waiting = [journal.append(schema, 3, (PENDING, 0.1))]
    journal.close()
    assert seal_span(run.paths, WRITER, 2, 2) == []
    seal_span(run.paths, WRITER, 2, 2, finish=True)  # it never came: null
    assert run.read().series("loss")["value"].to_pylist() == [7.0, 8.0, 9.0, None]


def test_stats_follow_late_values(make):
    run = make()
    journal = run.journal()
    reader = run.read()
    schema = RowSchema("series", ("loss",))
    first = journal.append(schema, 0, (PENDING,))
    journal.append(schema, 1, (2.0,))
    reader.refresh()
    assert reader.stats()["loss"].min == 2.0
    journal.late(first, [(0, -1.0)])
    reader.refresh()
    stat = reader.stats()["loss"]
    assert (stat.min, stat.max, stat.last, stat.count) == (-1.0, 2.0, 2.0, 2)


def test_a_damaged_segment_is_sealed_up_to_the_damage_and_kept(make):
    run = make()
    run.process()
    journal = run.journal()
    fill(journal, 0, 10)
    journal.close()
    path = run.paths.segment(WRITER, journal.number)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x55
    path.write_bytes(raw)
    before = everything(run.read())
    assert "wrong checksum" in run.read().damage[0]
    assert str(path) in run.read().damage[0]
    for _ in range(2):
        seal_span(run.paths, WRITER, 1, journal.number, finish=True)
        assert everything(run.read()) == before
        assert path.exists(), "what lies behind the damage must not be thrown away"


def test_a_torn_tail_is_cut_off(make):
    run = make()
    journal = run.journal()
    journal.row("series", ("loss",), (1.0,), 0)
    journal.row("series", ("loss",), (2.0,), 1)
    journal.close()
    path = run.paths.segment(WRITER, 1)
    path.write_bytes(path.read_bytes()[:-3])
    assert run.read().series("loss")["value"].to_pylist() == [1.0]
    seal_span(run.paths, WRITER, 1, 1, finish=True)
    assert run.read().series("loss")["value"].to_pylist() == [1.0]
    assert not path.exists()


FULL = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
    from labbook.book.seal import main
    raise SystemExit(main())
"""


@pytest.mark.parametrize("limit", [0, 300, 1200])
def test_a_full_disk_leaves_the_journal_and_is_said(make, limit):
    run = make()
    journal = run.journal()
    fill(journal)
    journal.close()
    before = everything(run.read())
    arguments = [str(run.paths.root), "--writer", WRITER, "--last", str(journal.number)]
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(limit), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "failed, its journal stays" in done.stderr
    assert "File too large" in done.stderr
    assert "ignored" not in done.stderr
    assert everything(run.read()) == before
    assert main(arguments) == 0
    assert everything(run.read()) == before
    assert not list(run.paths.root.rglob("*.tmp"))


def test_an_outside_sealer_refuses_a_live_writer_and_seals_a_dead_one(make):
    run = make()
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from labbook.journal.lock import WriterLock
        from labbook.journal.writer import JournalWriter
        from labbook.paths import RunPaths
        paths = RunPaths(Path({str(run.paths.root)!r}))
        lock = WriterLock(paths.lock({WRITER!r}))
        assert lock.acquire()
        journal = JournalWriter(paths, {WRITER!r})
        for step in range(100):
            journal.row("series", ("loss",), (step / 2,), step)
        print("ready", flush=True)
        sys.stdin.read()
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    run.process(pid=child.pid)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert run.read().state.name == "running"
    assert f"is alive as process {child.pid}" in str(seal_dead(run.paths)[WRITER])
    run.process(pid=None)  # nobody to look up: then the lock itself decides
    os.utime(run.paths.segment(WRITER, 1), (1, 1))
    assert "holds its lock" in str(seal_dead(run.paths)[WRITER])
    run.process(pid=child.pid)
    before = everything(run.read())
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert run.read().state.name == "killed"
    assert seal_dead(run.paths) == {WRITER: [Span(WRITER, 1, 1)]}
    assert everything(run.read()) == before
    assert run.read().state.name == "killed"


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ({"host": "elsewhere"}, "ran on host elsewhere"),
        ({"pid_namespace": "pid:[1]", "boot_id": None}, "wrote within the last minute"),
        ({"pid_namespace": "pid:[1]"}, "wrote within the last minute"),
    ],
)
def test_an_outside_sealer_refuses_where_it_cannot_know(make, conditions, why):
    run = make()
    journal = run.journal()
    fill(journal, 0, 5)
    journal.close()
    run.process(**conditions)
    assert why in str(seal_dead(run.paths)[WRITER])
    assert len(list(run.paths.segments())) == journal.number


def test_the_command_says_why_it_refuses(make, capsys):
    run = make()
    journal = run.journal()
    fill(journal, 0, 5)
    run.process(host="elsewhere")
    assert main([str(run.paths.root), "--dead"]) == 1
    error = capsys.readouterr().err
    assert "not sealed" in error
    assert "only that host can know" in error


def test_other_examples_under_the_same_name_are_kept(make):
    run = make()
    for writer, seed in (("r0-aaaaaa", 1), ("r0-bbbbbb", 2), ("r0-cccccc", 1)):
        journal = run.journal(writer)
        choose(journal, seed=seed)
        journal.close()
        seal_span(run.paths, writer, 1, 1, finish=True)
    names = sorted(path.name for path in (run.paths.chosen / "chosen").iterdir())
    assert names[0].startswith("examples-")
    assert names[1:] == ["examples.parquet"]
    assert run.read().examples().num_rows == 4


def test_parts_overlapping_in_steps_are_merged_in_order(make):
    run = make()
    journal = run.journal()
    for first in (5, 0, 3):
        for step in range(first, first + 5):
            journal.row("series", ("loss",), (100 * first + step,), step)
        journal.roll()
        seal_span(run.paths, WRITER, 1, journal.number - 1)
    journal.close()
    before = everything(run.read())
    seal_span(run.paths, WRITER, 1, journal.number, finish=True)
    assert everything(run.read()) == before
    part = pq.read_table(run.paths.part("series", Span(WRITER, 1, journal.number)))
    steps = part["step"].to_pylist()
    assert steps == sorted(steps)
    at_five = [v for v, s in zip(part["value"].to_pylist(), steps, strict=True) if s == 5]
    assert at_five == [505.0, 305.0]  # within a step the order of logging


def test_observations_are_merged_in_bounded_pieces(make, monkeypatch):
    run = make()
    journal = run.journal()
    for step in range(6):
        observe(journal, step, [float(i) for i in range(50)], width=2 + step // 3)
        journal.roll()
        seal_span(run.paths, WRITER, 1, journal.number - 1)
    journal.close()
    before = everything(run.read())
    monkeypatch.setattr(compact, "OBSERVATION_BYTES", 1000)
    seal_span(run.paths, WRITER, 1, journal.number, finish=True)
    assert everything(run.read()) == before
    part = pq.read_table(run.paths.chosen_part("chosen", Span(WRITER, 1, journal.number)))
    order = list(zip(part["example"].to_pylist(), part["step"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert len(order) == 300


def test_a_seal_that_cannot_be_read_is_named_and_hides_nothing_else(make, book):
    run, other = make(), make()
    for one in (run, other):
        one.process()
        journal = one.journal()
        fill(journal)
        journal.close()
        seal_span(one.paths, WRITER, 1, journal.number, finish=True)
        one.end()
    seal = next(run.paths.seals.glob("*.json"))
    seal.write_text(seal.read_text()[:-40])
    reader = run.read()
    with pytest.raises(DamagedFile, match=seal.name):
        reader.series("loss")
    assert reader.state.name == "finished"
    states = {s.id: (s.state, s.why) for s in book.summaries()}
    assert states[other.paths.id][0] == "finished"
    assert states[run.paths.id][0] == "unknown"
    assert seal.name in states[run.paths.id][1]


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/etc/passwd", "gauges/x.parquet"])
def test_a_seal_cannot_point_elsewhere(make, path):
    run = make()
    journal = run.journal()
    fill(journal)
    journal.close()
    seal_span(run.paths, WRITER, 1, journal.number)
    seal = next(run.paths.seals.glob("*.json"))
    manifest = json.loads(seal.read_text())
    manifest["parts"][0]["path"] = path
    seal.write_text(json.dumps(manifest))
    with pytest.raises(DamagedFile, match="is not where it belongs"):
        run.read().series("loss")
