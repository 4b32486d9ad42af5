"""Observations on their way to the disk: none lost in silence, and training does not wait."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn

from labbook.client import outbox as module
from labbook.client.chosen import choose
from labbook.client.columns import column, ragged_column
from labbook.client.outbox import Outbox
from labbook.journal.reader import Array, Event

N = 20_000  # examples of a large observation: 16 floats each are 1.25 MiB


def large(seed=0):
    return column("output", np.random.default_rng(seed).random((N, 16), np.float32), N)


def fail(reason):
    raise AssertionError(reason)


class Slow:
    """A journal on a disk that stands still until it is let go; all else is real."""

    def __init__(self, writer):
        self.writer = writer
        self.begun = threading.Event()
        self.go = threading.Event()

    def array(self, *given):
        self.begun.set()
        self.go.wait(30)
        self.writer.array(*given)

    def event(self, *given, **fields):
        self.writer.event(*given, **fields)

    def fault(self, kind, line):
        self.writer.fault(kind, line)


def test_a_small_observation_is_written_before_put_returns(journal):
    box = Outbox(journal.writer)
    made = column("loss", [1.0, 2.0], 2)
    assert box.put({"table": "chosen", "set": "chosen"}, [made], 1, fail)
    ((step, columns),) = journal.columns("chosen")
    assert (step, columns["loss"].tolist()) == (1, [1.0, 2.0])


def test_a_large_one_comes_in_parts_that_make_the_whole(journal):
    box = Outbox(journal.writer)
    rows = [np.full((i % 3, 2), i, np.float32) for i in range(N)]
    boxes = ragged_column("boxes", rows, N)
    assert box.put({"table": "chosen", "set": "chosen"}, [large(), boxes], 1, fail)
    box.close(30)
    parts = journal.columns("chosen")
    records = [r for r in journal.records(Array) if r.header["table"] == "chosen"]
    assert len(parts) > 4
    assert all(len(record.payload) < 2 * module.CHUNK_BYTES for record in records)
    assert len({record.time_ns for record in records}) == 1
    firsts = [record.header["first"] for record in records]
    assert firsts == sorted(firsts)
    assert firsts[0] == 0
    values = np.concatenate([columns["output"] for _, columns in parts])
    assert values.tobytes() == large().data
    found = [row for _, columns in parts for row in columns["boxes"]]
    assert all(np.array_equal(a, b) for a, b in zip(found, rows, strict=True))


def test_the_caller_does_not_wait_for_the_disk(journal):
    slow = Slow(journal.writer)
    box = Outbox(slow)
    for step in range(3):
        assert box.put({"table": "chosen", "set": "chosen"}, [large(step)], step, fail)
    assert slow.begun.wait(30)  # by the thread: this one is here
    assert journal.columns("chosen") == []
    slow.go.set()
    box.close(30)
    parts = journal.columns("chosen")
    for step in range(3):
        mine = np.concatenate([columns["output"] for at, columns in parts if at == step])
        assert mine.tobytes() == large(step).data


def test_what_does_not_fit_into_the_queue_is_refused_with_a_reason(journal, monkeypatch):
    monkeypatch.setattr(module, "QUEUE_BYTES", 3 << 20)
    slow = Slow(journal.writer)
    box = Outbox(slow)
    chosen = choose(journal.writer, torch.rand(N, 16), N, outbox=box, show=lambda x: "")
    model = nn.Identity()
    observed = [chosen.observe(model, None, step) for step in range(4)]
    assert observed == [True, True, False, False]
    assert chosen.skipped == 2
    slow.go.set()
    box.close(30)
    assert {step for step, _ in journal.columns("chosen")} == {0, 1}
    events = journal.records(Event)
    assert [(e.fields["kind"], e.step) for e in events] == [
        ("observe-skipped", 2),
        ("observe-skipped", 3),
    ]
    assert events[0].fields["reason"] == "2 MiB of earlier ones still wait for the disk"
    assert journal.writer.faults["observe-skipped"] == 2
    (line,) = journal.said
    assert line.endswith("training goes on. choose(every=) or choose(keep=) records less")


def test_one_that_alone_is_larger_than_the_queue_is_taken(journal, monkeypatch):
    monkeypatch.setattr(module, "QUEUE_BYTES", 1000)
    box = Outbox(journal.writer)
    assert box.put({"table": "chosen", "set": "chosen"}, [large()], 0, fail)
    box.close(30)
    assert journal.columns("chosen")


def test_the_end_waits_so_long_and_names_what_is_left(journal):
    slow = Slow(journal.writer)
    box = Outbox(slow)
    left = []
    for step in range(2):
        box.put({"table": "chosen", "set": "chosen"}, [large()], step, left.append)
    assert slow.begun.wait(30)
    box.close(0.01)
    assert left == ["the run ended before it was written"] * 2
    slow.go.set()


def test_running_out_of_memory_in_the_thread_is_told_and_survived(journal, monkeypatch):
    box = Outbox(journal.writer)
    told = []
    with monkeypatch.context() as patch:

        def exhausted(*given):
            raise MemoryError

        patch.setattr(journal.writer, "array", exhausted)
        box.put({"table": "chosen", "set": "chosen"}, [large()], 0, told.append)
        box.put({"table": "chosen", "set": "chosen"}, [large()], 1, told.append)
        while len(told) < 2:
            box._changed.acquire()
            box._changed.wait(0.01)
            box._changed.release()
    assert told == ["out of memory while it was written"] * 2
    box.put({"table": "chosen", "set": "chosen"}, [large()], 2, fail)
    box.close(30)
    assert {step for step, _ in journal.columns("chosen")} == {2}


def test_a_forked_child_neither_hangs_nor_writes(journal):
    slow = Slow(journal.writer)
    box = Outbox(slow)
    box.put({"table": "chosen", "set": "chosen"}, [large()], 0, fail)
    assert slow.begun.wait(30)
    slow.go.set()
    box._changed.acquire()  # as if another thread held it at the fork
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        box._changed = None  # touching it would raise
        box.put({"table": "chosen", "set": "chosen"}, [large()], 1, fail)
        os._exit(0 if journal.writer.faults["forked"] == 1 else 3)
    box._changed.release()
    assert os.waitpid(child, 0)[1] == 0
    box.close(30)
    assert {step for step, _ in journal.columns("chosen")} == {0}


RUN = """
    import os, signal, sys, torch, labbook
    n = int(sys.argv[1])
    run = labbook.start({}, output=False, gauges=False)
    chosen = run.choose(torch.rand(n, 16), n, show=lambda x: "")
    for step in range(3):
        assert chosen.observe(torch.nn.Identity(), None, step)
        print(step, flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("n", "end"), [(64, "kill"), (20_000, "finish")])
def test_observations_survive_the_end_of_the_process(script, n, end):
    done = script.run(RUN, str(n), end)
    assert done.returncode == (-9 if end == "kill" else 0), done.stderr
    from labbook.book.runreader import RunReader

    table = RunReader(script.only()).chosen()
    assert table.num_rows == 3 * n
    assert table["output"].type.list_size == 16
