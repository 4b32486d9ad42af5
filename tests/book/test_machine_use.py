"""How a run used its machine: weighting by time, ranks, attempts, and what is not known."""

from __future__ import annotations

import math

import pytest

from labbook.book.machine_use import LONGEST_S
from labbook.book.seal import seal_span
from labbook.book.throttle import REASONS, decoded
from labbook.journal import writer as journal_writer
from tests.book.making import WRITER

START = 1_767_225_600.0


@pytest.fixture
def at(monkeypatch):
    """Sets the clock of the journal, in seconds from the start."""

    def set_to(seconds: float) -> None:
        now_ns = int((START + seconds) * 1e9)
        monkeypatch.setattr(journal_writer, "time_ns", lambda: now_ns)

    return set_to


def record(journal, at, gauge, readings):
    for seconds, value in readings:
        at(seconds)
        journal.row("gauges", (gauge,), (value,), None)


def test_without_gauges_there_is_nothing_to_say(make):
    run = make()
    run.process()
    run.journal().close()
    assert run.read().machine_use() is None


def test_each_reading_stands_for_the_time_before_it(make, at):
    run = make()
    run.process()
    journal = run.journal()
    # 2 s at 50 %, then 8 s at 100 %: not the mean of the readings
    record(journal, at, "cpu.percent", [(0, None), (1, 50.0), (2, 50.0), (10, 100.0)])
    record(journal, at, "memory.rss_bytes", [(0, 5.0), (1, 9.0), (2, None), (3, 7.0)])
    used = run.read().machine_use()
    assert used.mean_cpu_percent == pytest.approx((2 * 50 + 8 * 100) / 10)
    assert used.known_s == pytest.approx(10)
    assert used.peak_rss_bytes == 9.0
    assert used.gpus == ()
    assert used.energy_kwh is None
    journal.close()


def test_null_is_unknown_and_a_long_gap_too(make, at):
    run = make()
    run.process()
    journal = run.journal()
    gap = LONGEST_S + 1
    record(
        journal,
        at,
        "gpu.0.util_percent",
        [(0, 100.0), (1, 0.0), (2, None), (3, None), (4, 100.0), (4 + gap, 0.0), (5 + gap, 100.0)],
    )
    (gpu,) = run.read().machine_use().gpus
    # known: second 1 (idle), second 4 and the last one (busy)
    assert gpu.known_s == pytest.approx(3)
    assert gpu.mean_util_percent == pytest.approx(100 * 2 / 3)
    assert (gpu.idle_s, gpu.idle_share) == (pytest.approx(1), pytest.approx(1 / 3))
    journal.close()


def test_a_long_interval_is_no_gap(make, at):
    run = make()
    run.process()
    journal = run.journal()
    record(journal, at, "gpu.0.util_percent", [(300.0 * n, 40.0) for n in range(4)])
    (gpu,) = run.read().machine_use().gpus
    assert gpu.known_s == pytest.approx(900)
    journal.close()


def test_one_reading_has_a_mean_and_no_time(make, at):
    run = make()
    run.process()
    journal = run.journal()
    record(journal, at, "gpu.0.util_percent", [(0, 33.0)])
    (gpu,) = run.read().machine_use().gpus
    assert (gpu.mean_util_percent, gpu.known_s, gpu.idle_share) == (33.0, 0.0, None)
    journal.close()


def test_a_gpu_with_everything(make, at):
    run = make()
    run.process()
    journal = run.journal()
    two_bits = 4.0 + 8.0
    for gauge, readings in {
        "util_percent": [(0, 99.0), (1, 99.0), (2, 9.0)],
        "memory_used_bytes": [(0, 10.0), (1, 30.0), (2, 20.0)],
        "process_memory_bytes": [(0, 8.0), (1, 28.0)],
        "memory_total_bytes": [(0, 80.0)],
        "torch_peak_bytes": [(1, 25.0)],
        "energy_joules": [(0, 0.0), (1, 300.0), (2, 3.6e6)],
        "temperature_celsius": [(0, 50.0), (1, 71.0)],
        "throttle_bitmask": [(0, 0.0), (1, two_bits), (2, 4.0), (3, 1.0), (4, 0.0)],
        "ecc_uncorrected_count": [(0, 7.0), (1, 9.0)],
    }.items():
        record(journal, at, f"gpu.0.{gauge}", readings)
    run.fact("gpus", writer=WRITER, gpus=[])
    told = {"gauge": "gpu.0", "uuid": "GPU-aa", "name": "Fake", "energy": "counter"}
    run.fact("gpus", writer=WRITER, gpus=[told])
    used = run.read().machine_use()
    (gpu,) = used.gpus
    assert (gpu.name, gpu.uuid, gpu.model) == ("gpu.0", "GPU-aa", "Fake")
    assert gpu.mean_util_percent == pytest.approx(54)
    assert gpu.idle_share == pytest.approx(0.5)
    assert (gpu.peak_memory_bytes, gpu.memory_total_bytes) == (30.0, 80.0)
    assert (gpu.peak_process_memory_bytes, gpu.peak_torch_bytes) == (28.0, 25.0)
    assert (gpu.energy_joules, gpu.energy_kind) == (3.6e6, "counter")
    assert used.energy_kwh == pytest.approx(1.0)
    assert gpu.peak_temperature_celsius == 71.0
    assert gpu.held_back == {"power cap": pytest.approx(0.5), "hardware slowdown": 0.25}
    assert gpu.ecc_uncorrected == 2.0
    journal.close()


def test_attempts_add_up_and_ranks_that_see_one_gpu_do_not(make, at):
    run = make()
    writers = {"r0-aaaaaa": (1, 0), "r1-bbbbbb": (1, 1), "r0-cccccc": (2, 0)}
    for writer, (attempt, rank) in writers.items():
        run.process(writer, attempt, rank=rank)
        journal = run.journal(writer)
        record(journal, at, "gpu.3.energy_joules", [(0, 0.0), (2, 100.0)])
        record(journal, at, "gpu.3.util_percent", [(0, 50.0), (2, 50.0)])
        record(journal, at, "cpu.percent", [(0, None), (2, 80.0)])
        journal.close()
        run.fact("gpus", writer=writer, gpus=[{"gauge": "gpu.3", "uuid": "GPU-aa"}])
    used = run.read().machine_use()
    (gpu,) = used.gpus
    assert gpu.energy_joules == 200.0  # two attempts, one device
    assert gpu.known_s == pytest.approx(4)
    assert used.mean_cpu_percent == pytest.approx(160.0)  # two ranks


def test_energy_of_all_is_unknown_when_one_is(make, at):
    run = make()
    run.process()
    journal = run.journal()
    record(journal, at, "gpu.0.energy_joules", [(0, 0.0), (1, 5.0)])
    record(journal, at, "gpu.1.energy_joules", [(0, None), (1, None)])
    used = run.read().machine_use()
    assert [gpu.energy_joules for gpu in used.gpus] == [5.0, None]
    assert used.energy_kwh is None
    journal.close()


def test_what_a_hostile_book_says_is_not_computed_with(make, at):
    run = make()
    run.process()
    journal = run.journal()
    for gauge in ("gpu.0.throttle_bitmask", "gpu.0.util_percent", "cpu.percent"):
        wild = [(0, -1.0), (1, math.inf), (2, 1e300), (3, math.nan)]
        record(journal, at, gauge, wild)
    run.fact("gpus", writer=WRITER, gpus=["text", {"gauge": ["gpu.0"], "uuid": {}}])
    run.fact("gpus", writer=WRITER, gpus=[{"gauge": "gpu.0", "uuid": {"a": 1}, "name": 3}])
    (gpu,) = run.read().machine_use().gpus
    assert (gpu.uuid, gpu.model, gpu.held_back) == (None, None, {})
    journal.close()


def test_sealed_or_live_it_is_the_same(make, at):
    run = make()
    run.process()
    journal = run.journal()
    record(journal, at, "cpu.percent", [(0, None), (1, 50.0), (2, None), (4, 20.0)])
    live = run.read().machine_use()
    assert run.read().last_gauges() == {(WRITER, "cpu.percent"): (int(START + 4) * 1000, 20.0)}
    journal.close()
    seal_span(run.paths, WRITER, 1, journal.number, finish=True)
    assert not list(run.paths.segments())
    assert run.read().machine_use() == live


def test_reasons_are_those_of_nvml():
    import pynvml

    words = {
        "GpuIdle": "idle",
        "ApplicationsClocksSetting": "clocks set by the user",
        "SwPowerCap": "power cap",
        "HwSlowdown": "hardware slowdown",
        "SyncBoost": "sync boost with another GPU",
        "SwThermalSlowdown": "temperature (software)",
        "HwThermalSlowdown": "temperature (hardware)",
        "HwPowerBrakeSlowdown": "power brake",
        "DisplayClockSetting": "display clock setting",
    }
    for name, word in words.items():
        assert REASONS[getattr(pynvml, f"nvmlClocksThrottleReason{name}")] == word
    assert decoded(0) == []
    assert decoded(4 + 64) == ["power cap", "temperature (hardware)"]
    assert decoded(1 << 20) == ["bit 20"]
