"""The writer under faults: it never raises, it counts, and what it kept reads back."""

import os
import subprocess
import sys
import textwrap
import threading
import time

from labbook.journal import format as f
from labbook.journal.lock import WriterLock, probe
from labbook.journal.reader import SegmentReader
from labbook.journal.writer import JournalWriter, RowSchema
from labbook.paths import RunPaths


def new_run(folder):
    paths = RunPaths(folder)
    paths.journal.mkdir(parents=True)
    return paths


def rows_of(paths):
    rows = []
    for _, _, path in sorted(paths.segments(), key=lambda found: found[:2]):
        rows += SegmentReader(path).records()
    return rows


def run_python(code, *args):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_full_disk_drops_and_counts_and_logging_resumes(tmp_path):
    """A file-size limit stands for the full disk: writes come back short, then fail."""
    paths = new_run(tmp_path / "run")
    done = run_python(
        """
        import resource, sys
        from pathlib import Path
        from labbook.journal.writer import JournalWriter, RowSchema
        from labbook.paths import RunPaths
        said = []
        writer = JournalWriter(RunPaths(Path(sys.argv[1])), "r0-abc", warn=said.append)
        schema = RowSchema("series", ("loss",))
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for step in range(300):
            if step == 100:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 44, hard))
            if step == 200:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            with writer.lock:
                writer.append(schema, step, (float(step),))
        print(writer.faults["dropped"], len(said), said[0])
        """,
        paths.root,
    )
    assert done.returncode == 0, done.stderr
    dropped, said, line = done.stdout.strip().split(" ", 2)
    rows = rows_of(paths)
    steps = [row.step for row in rows]
    assert len(steps) + int(dropped) == 300
    assert int(dropped) > 50
    assert steps[:90] == list(range(90))
    assert steps[-100:] == list(range(200, 300))
    assert all(row.values == (float(row.step),) for row in rows)
    assert int(said) <= 2
    assert "Training goes on" in line


def test_a_removed_folder_drops_and_counts_and_logging_resumes(tmp_path):
    paths = new_run(tmp_path / "run")
    said = []
    writer = JournalWriter(paths, "r0-abc", warn=said.append)
    writer.row("series", ("loss",), (1.0,), 1)
    paths.segment("r0-abc", 1).unlink()
    paths.journal.rmdir()
    writer.check()
    writer.row("series", ("loss",), (2.0,), 2)
    assert writer.faults["segment-removed"] == 1
    assert writer.faults["dropped"] == 1
    paths.journal.mkdir()
    writer._retry_ns = 0  # the time between two tries is over
    writer.row("series", ("loss",), (3.0,), 3)
    assert [row.values for row in rows_of(paths)] == [(3.0,)]
    assert "was removed while it was written" in said[0]


def test_a_removed_segment_is_replaced_and_counted(tmp_path):
    paths = new_run(tmp_path / "run")
    writer = JournalWriter(paths, "r0-abc")
    schema = RowSchema("series", ("loss",))
    with writer.lock:
        writer.append(schema, 1, (1.0,))
    paths.segment("r0-abc", 1).unlink()
    writer.check()
    with writer.lock:
        writer.append(schema, 2, (2.0,))
    assert writer.faults == {"segment-removed": 1}
    assert [row.step for row in rows_of(paths)] == [2]


def test_a_clock_set_back_is_counted_and_times_are_kept(tmp_path, monkeypatch):
    paths = new_run(tmp_path / "run")
    said = []
    writer = JournalWriter(paths, "r0-abc", warn=said.append)
    writer.row("series", ("loss",), (1.0,), 1)
    real = time.time_ns
    monkeypatch.setattr("labbook.journal.writer.time_ns", lambda: real() - 7_000_000_000)
    writer.check()
    writer.check()
    writer.row("series", ("loss",), (2.0,), 2)
    assert writer.faults == {"clock-set-back": 1}
    assert said == ["the clock was set back by 7.0 s; times are kept as read"]
    first, second = rows_of(paths)
    assert 6e9 < first.time_ns - second.time_ns < 7.1e9


def test_a_forked_child_is_detached_and_its_parent_goes_on(tmp_path):
    paths = new_run(tmp_path / "run")
    said = tmp_path / "said"
    writer = JournalWriter(paths, "r0-abc", warn=said.write_text)
    schema = RowSchema("series", ("loss",))
    with writer.lock:
        writer.append(schema, 1, (1.0,))
    child = os.fork()
    if child == 0:
        for step in range(100, 200):
            with writer.lock:
                writer.append(schema, step, (9.0,))
        os._exit(0 if writer.faults["dropped"] == 100 else 1)
    for step in range(2, 50):
        with writer.lock:
            writer.append(schema, step, (1.0,))
    assert os.waitpid(child, 0)[1] == 0
    assert [row.step for row in rows_of(paths)] == list(range(1, 50))
    assert "forked" in said.read_text()


def test_threads_share_a_writer_without_losing_or_mixing(tmp_path):
    paths = new_run(tmp_path / "run")
    writer = JournalWriter(paths, "r0-abc", segment_bytes=5_000)
    schemas = [RowSchema("series", (f"t{i}", f"u{i}")) for i in range(4)]

    def work(i):
        for step in range(500):
            with writer.lock:
                writer.append(schemas[i], step, (float(i), float(step)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = rows_of(paths)
    assert sorted((row.values, row.step) for row in rows) == sorted(
        ((float(i), float(step)), step) for i in range(4) for step in range(500)
    )
    assert [row.names for row in rows] == [
        (f"t{int(r.values[0])}", f"u{int(r.values[0])}") for r in rows
    ]
    assert len({row.seq for row in rows}) == 2000


def test_more_signatures_than_a_segment_can_number(tmp_path):
    paths = new_run(tmp_path / "run")
    writer = JournalWriter(paths, "r0-abc")
    writer._next_id = 0xFFFE
    for i in range(5):
        writer.row("series", (f"m{i}",), (float(i),), 0)
    assert [row.names for row in rows_of(paths)] == [(f"m{i}",) for i in range(5)]
    assert writer.number == 2


def test_sigkill_at_full_speed_loses_no_returned_record(tmp_path):
    paths = new_run(tmp_path / "run")
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import mmap, os, struct, sys
                from pathlib import Path
                from labbook.journal.writer import JournalWriter, RowSchema
                from labbook.paths import RunPaths
                page = mmap.mmap(os.open(sys.argv[2], os.O_RDWR), 4096)
                writer = JournalWriter(RunPaths(Path(sys.argv[1])), "r0-abc", segment_bytes=20_000)
                schema = RowSchema("series", ("loss", "half"))
                step = 0
                while True:
                    with writer.lock:
                        writer.append(schema, step, (float(step), step / 2))
                    step += 1
                    struct.pack_into("<q", page, 0, step)
                    if step == 2000:
                        print("warm", flush=True)
                """
            ),
            str(paths.root),
            str(_page(tmp_path)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "warm\n"
    child.kill()
    child.wait()
    child.stdout.close()
    returned = int.from_bytes((tmp_path / "page").read_bytes()[:8], "little")
    rows = rows_of(paths)
    assert len(rows) in (returned, returned + 1)
    assert [row.step for row in rows] == list(range(len(rows)))
    assert all(row.values == (float(row.step), row.step / 2) for row in rows)


def _page(folder):
    page = folder / "page"
    page.write_bytes(bytes(4096))
    return page


def test_the_lock_is_held_until_the_process_dies_and_workers_do_not_inherit_it(tmp_path):
    path = tmp_path / "w.lock"
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import os, sys, time
                from pathlib import Path
                from labbook.journal.lock import WriterLock
                lock = WriterLock(Path(sys.argv[1]))
                assert lock.acquire()
                worker = os.fork()
                if worker == 0:
                    time.sleep(60)
                    os._exit(0)
                print(worker, flush=True)
                time.sleep(60)
                """
            ),
            str(path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = int(child.stdout.readline())
    try:
        assert probe(path) == "held"
        assert WriterLock(path).acquire() is False
        child.kill()
        child.wait()
        assert probe(path) == "free"
        os.kill(worker, 0)  # the worker is alive, and holds nothing
    finally:
        os.kill(worker, 9)
        child.stdout.close()


def test_asking_about_ones_own_lock_does_not_drop_it(tmp_path):
    path = tmp_path / "w.lock"
    lock = WriterLock(path)
    assert lock.acquire()
    assert probe(path) == "held"
    assert lock.acquire() is False
    asked = run_python(
        "import sys; from pathlib import Path; from labbook.journal.lock import probe;"
        "print(probe(Path(sys.argv[1])))",
        path,
    )
    assert asked.stdout == "held\n"
    lock.release()
    assert probe(path) == "free"
    assert probe(tmp_path / "none") == "unknown"


def test_the_null_patterns_survive_packing():
    assert f.bits_of(f.NULL) == f.NULL_BITS
    assert f.bits_of(f.PENDING) == f.PENDING_BITS
