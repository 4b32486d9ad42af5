"""Gauges: what they sample, and that nothing about them reaches the training."""

import os
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest

from labbook.client import gauge_host, gauge_process, sampler
from labbook.client.gauge_host import DiskSource, TrafficSource
from labbook.client.gauge_process import ProcessSource, ShareSource, tree
from labbook.client.gauges import Gauges
from labbook.client.pace import Pace
from labbook.client.sampler import Sampler
from labbook.journal.reader import Event, Row

NAMES = {
    "cpu.percent",
    "cpu.host_percent",
    "load.1m",
    "memory.rss_bytes",
    "memory.host_available_bytes",
    "memory.host_percent",
    "memory.host_swap_used_bytes",
    "memory.pss_bytes",
    "disk.free_bytes",
    "disk.read_bytes_per_s",
    "disk.write_bytes_per_s",
    "network.received_bytes_per_s",
    "network.sent_bytes_per_s",
    "process.count",
    "process.threads",
    "process.open_files",
}


def rows(journal):
    """One dict a row: each source writes a row of its own."""
    return [dict(zip(row.names, row.values, strict=True)) for row in journal.records(Row)]


def samples(journal, n):
    """The rows of `n` samples, those of one sample together."""
    found = rows(journal)
    each = len(found) // n
    assert len(found) == n * each
    return [
        {name: value for row in found[i * each : (i + 1) * each] for name, value in row.items()}
        for i in range(n)
    ]


def test_a_sample_has_what_the_machine_says(journal):
    gauges = Gauges(journal.writer, book=journal.paths.root)
    gauges.sample()
    sum(range(3_000_000))  # some work to be seen
    gauges.sample()
    first, second = samples(journal, 2)
    assert set(first) >= NAMES
    assert {name.split(".")[0] for name in set(first) - NAMES} <= {"gpu"}
    # a rate needs two looks
    assert first["cpu.percent"] is first["cpu.host_percent"] is None
    assert first["disk.read_bytes_per_s"] is first["network.sent_bytes_per_s"] is None
    assert second["cpu.percent"] > 0
    assert 0 <= second["cpu.host_percent"] <= 100
    assert second["memory.rss_bytes"] > 10e6
    assert second["process.count"] >= 1
    assert 0 < second["memory.host_available_bytes"] < psutil.virtual_memory().total
    assert second["disk.free_bytes"] > 0
    assert second["process.open_files"] >= 3
    assert 0 < second["memory.pss_bytes"] <= 1.5 * second["memory.rss_bytes"]
    assert {(row.table, row.step) for row in journal.records(Row)} == {("gauges", None)}


def test_children_count_and_neighbours_do_not(journal):
    code = "import subprocess, sys; print(1, flush=True); sys.stdin.read()"
    source = ProcessSource(os.getpid())
    before = source.read()[2]
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        child.stdout.readline()
        assert child.pid in tree(os.getpid())
        assert os.getppid() not in tree(os.getpid())
        assert source.read()[2] == before + 1
    finally:
        child.communicate()
    assert source.read()[2] == before


def test_the_time_of_a_child_that_ended_is_not_lost():
    source = ProcessSource(os.getpid())
    code = "import time\nwhile time.process_time() < 0.5: pass"
    source.read()
    began = source._at
    subprocess.run([sys.executable, "-c", code], check=True)
    percent = source.read()[0]
    assert percent * (source._at - began) / 100 >= 0.5


def test_open_files_are_counted():
    source = ProcessSource(os.getpid())
    at = source.names.index("process.open_files")
    before = source.read()[at]
    with open(os.devnull), open(os.devnull):
        assert source.read()[at] == before + 2
    assert source.read()[at] == before


def test_pids_of_the_host_are_not_walked(monkeypatch):
    monkeypatch.setattr(psutil, "process_iter", None)
    monkeypatch.setattr(psutil, "pids", None)
    read = []
    monkeypatch.setattr(gauge_process, "_reading", lambda p: read.append(p) or real(p))
    ProcessSource(os.getpid()).read()
    assert set(read) == set(tree(os.getpid()))


real = gauge_process._reading


def test_where_shared_pages_cannot_be_told_apart_there_is_no_gauge(monkeypatch):
    monkeypatch.setattr(gauge_process, "_kernel", lambda: (4, 18))
    source = ShareSource(ProcessSource(os.getpid()))
    assert source.names == ()
    assert source.read() == []


def test_the_disk_of_the_checkpoints_has_a_gauge_when_it_is_another(tmp_path):
    shm = "/dev/shm"
    if not os.path.isdir(shm) or os.stat(shm).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second filesystem here")
    places = [str(tmp_path)]
    source = DiskSource(tmp_path, lambda: places)
    assert len(source.read()) == 1
    places.append(shm)
    free = source.read()
    assert source.names == ("disk.free_bytes", "disk.checkpoints_free_bytes")
    assert all(value > 0 for value in free)
    places.remove(shm)
    assert source.read()[1] is None


def test_only_devices_with_hardware_behind_them_count(monkeypatch):
    there = "/sys/block/sda/device"
    monkeypatch.setattr(gauge_host.os.path, "exists", lambda path: path == there)
    assert gauge_host._real({"sda": 1, "dm-0": 2, "loop0": 4}, "/sys/block", "loop") == [1]
    assert gauge_host._real({"vda": 1, "loop0": 4}, "/sys/block", "loop") == [1]
    assert gauge_host._real(None, "/sys/block", "loop") == []


def test_a_counter_that_began_anew_is_no_rate(monkeypatch):
    counted = iter([100.0, 40.0, 90.0])
    monkeypatch.setattr(
        gauge_host, "_total", lambda _, field: next(counted) if field == "read_bytes" else None
    )
    source = TrafficSource()
    assert source.read() == [None] * 4
    assert source.read() == [None] * 4
    read, *others = source.read()
    assert read > 0
    assert others == [None] * 3


class Broken:
    names = ("broken.one", "broken.two")
    least_s = 0.0
    error = RuntimeError("driver gone")

    def read(self):
        if self.error:
            raise self.error
        return [1.0, 2.0]


def test_a_source_that_fails_leaves_nulls_and_the_others_go_on(journal):
    gauges = Gauges(journal.writer, book=journal.paths.root)
    broken = Broken()
    gauges._sampler._open = lambda: [broken, ProcessSource(os.getpid())]
    gauges.sample()
    gauges.sample()
    for row in samples(journal, 2):
        assert row["broken.one"] is row["broken.two"] is None
        assert row["memory.rss_bytes"] > 0
    assert journal.writer.faults == {"gauges-Broken": 2}
    assert journal.said == ["gauge Broken: RuntimeError: driver gone"]
    broken.error = None
    gauges.sample()
    assert rows(journal)[-2] == {"broken.one": 1.0, "broken.two": 2.0}
    assert [event.fields["text"] for event in journal.records(Event)] == [
        "gauge Broken is null from here on: RuntimeError: driver gone",
        "gauge Broken answers again",
    ]


class Hanging:
    names = ("hanging.one",)
    least_s = 0.0

    def __init__(self):
        self.entered, self.answer = threading.Event(), threading.Event()
        self.read_again = threading.Event()

    def read(self):
        if self.answer.is_set():
            self.read_again.set()
            return [7.0]
        self.entered.set()
        self.answer.wait()
        return [5.0]


class Counting:
    names = ("counting.one",)
    least_s = 0.0

    def __init__(self):
        self.n, self.later = 0, threading.Event()
        self.wanted = None

    def read(self):
        self.n += 1
        if self.wanted is not None and self.n >= self.wanted:
            self.later.set()
        return [float(self.n)]


def test_a_driver_that_does_not_answer_is_given_up_until_it_does(monkeypatch):
    monkeypatch.setattr(sampler, "HUNG_S", 0.0)
    hanging, counting = Hanging(), Counting()
    written, reported = [], []
    sampled = Sampler(
        lambda: [hanging, counting],
        lambda names, values: written.append((names[0], values[0])),
        lambda who, error: reported.append((who, error)),
    )
    sampled.start(0.005)
    assert hanging.entered.wait(30)
    stuck = sampled.thread
    sampled.look_after()
    assert sampled.thread is not stuck
    counting.wanted = counting.n + 3
    assert counting.later.wait(30)
    assert isinstance(next(error for who, error in reported if who == "Hanging"), TimeoutError)
    assert ("hanging.one", None) in written
    hanging.answer.set()
    stuck.join(30)
    assert hanging.read_again.wait(30)
    sampled.stop(30)
    assert ("Hanging", None) in reported
    assert ("hanging.one", 5.0) not in written  # it was of another time
    assert ("hanging.one", 7.0) in written


def test_a_driver_that_does_not_answer_holds_up_neither_ticks_nor_the_end(journal):
    gauges = Gauges(journal.writer, 0.01, book=journal.paths.root)
    hanging, ticked = Hanging(), threading.Event()
    gauges._sampler._open = lambda: [hanging]
    gauges.start()
    assert hanging.entered.wait(30)
    gauges.add(ticked.set)
    assert ticked.wait(30)
    gauges.stop(0.1)
    thread = gauges._sampler.thread
    assert thread.is_alive()
    assert thread.daemon
    hanging.answer.set()
    thread.join(30)
    assert not thread.is_alive()
    assert rows(journal) == []  # the run had ended


def test_what_is_dear_is_asked_less_often():
    pace = Pace(budget=0.004)
    for who, cost in (("cheap", 0.0001), ("dear", 0.02), ("also cheap", 0.0002)):
        pace.spent(who, 1.0, 100.0)  # the first time something is loaded
        for _ in range(20):
            pace.spent(who, 1.0, cost)
    assert pace.stretched("cheap", 1.0) == pace.stretched("also cheap", 1.0) == 1.0
    assert pace.stretched("dear", 1.0) == pytest.approx(0.02 / (0.004 - 0.0003))


def test_within_the_budget_nothing_is_stretched():
    pace = Pace(budget=0.004)
    for _ in range(3):
        pace.spent("only", 2.0, 0.007)
    assert pace.stretched("only", 2.0) == 2.0
    assert pace.stretched("never asked", 3.0) == 3.0


def test_the_threads_sample_call_and_end(journal):
    gauges = Gauges(journal.writer, 0.01, book=journal.paths.root)
    thrice, calls = threading.Event(), []

    def callback():
        calls.append(threading.current_thread())
        if len(calls) == 3:
            thrice.set()
        raise ValueError("a callback may fail")

    gauges.add(callback, every=0.01)
    gauges.start()
    assert thrice.wait(30)
    gauges.stop(30)
    threads = {gauges._ticks.thread, gauges._sampler.thread}
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)
    assert all(thread.daemon for thread in threads)
    assert set(calls) == {gauges._ticks.thread}
    assert len(rows(journal)) >= 1
    assert journal.writer.faults["gauges-" + callback.__qualname__] == len(calls)
    assert len(journal.said) == 1


def test_an_interval_of_zero_samples_nothing_but_still_calls(journal):
    gauges = Gauges(journal.writer, 0, book=journal.paths.root)
    called = threading.Event()
    gauges.add(called.set)
    gauges.start()
    assert called.wait(30)
    gauges.stop(30)
    assert rows(journal) == []


def test_stopping_does_not_wait_for_the_interval(journal):
    gauges = Gauges(journal.writer, 3600, book=journal.paths.root)
    gauges.start()
    gauges.stop(30)
    assert not gauges._ticks.thread.is_alive()
    assert not gauges._sampler.thread.is_alive()


def test_a_forked_child_neither_samples_nor_hangs(tmp_path):
    code = """
        import os, sys, threading
        from labbook.client.gauges import Gauges

        class Writer:
            rows = 0
            def row(self, *given):
                self.rows += 1
                sampled.set()
            def fault(self, *given):
                raise AssertionError(given)
            event = fault

        sampled = threading.Event()
        writer = Writer()
        gauges = Gauges(writer, 0.01)
        gauges.start()
        sampled.wait()
        child = os.fork()
        if not child:
            before = writer.rows
            gauges.stop(1000)
            os._exit(10 if threading.active_count() == 1 and writer.rows == before else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        gauges.stop()
        sys.exit(status)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 10, done.stderr


def test_psutil_is_not_imported_before_the_thread_needs_it():
    code = "import sys, labbook.client.gauges; print('psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
