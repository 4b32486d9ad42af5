"""The lines of this machine: a labelled fake of what GPUs say, and what was not measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labbook_tui.host_lines import history_charts, host_lines
from labbook_tui.models import Gauge, HostModel
from labbook_tui.palette import Ink

GIB = 2**30


def fake(**gauges: float | None) -> HostModel:
    """A machine of two GPUs, of which one does not answer. No GPU is asked here."""
    cards: list[dict[str, Any]] = [
        {"index": 0, "uuid": "GPU-a", "name": "fake", "util_percent": 91.0, "power_watts": 402.0}
        | {"memory_used_bytes": 40 * GIB, "memory_total_bytes": 80 * GIB}
        | {"temperature_celsius": 61.0},
        {"index": 1, "uuid": "GPU-b", "name": "fake"}
        | dict.fromkeys(("util_percent", "power_watts", "memory_used_bytes")),
    ]
    run = {"id": "r", "name": "a \x1b[31mrun", "step": None, "created_ns": None, "gauges": {}}
    now = {
        "host": "node07", "time_ns": 10**18, "cores": 64, "memory_bytes": 251 * GIB,
        "gauges": gauges, "disks": [], "gpus": cards, "gpu_reason": None,
        "runs": [run | {"gpus": ["GPU-a"]}],
    }  # fmt: skip
    times = np.array([-20.0, -10.0, 0.0])
    history = {"cpu.host_percent": Gauge("cpu", times, np.array([np.nan, 50.0, 100.0]))}
    return HostModel(now, history, {"r": None})


@pytest.mark.parametrize("width", [80, 120])
def test_gpus_and_what_is_not_known(width: int) -> None:
    lines = host_lines(fake(), width, 600.0, Ink())
    texts = ["".join(part.text for part in line).rstrip() for line in lines]
    assert all(len(text) <= width for text in texts)
    first, second = texts[1], texts[2]
    for word in ("91 %", "40GiB of 80GiB", "402 W", "61 °C", "a run"):
        assert word in first
    assert second.count("–") == 4
    assert "0" not in second  # null, never zero
    assert texts[-1].count("–") == 6
    cpu = next(text for text in texts if text.startswith(" cpu"))
    assert "– of 64 cores" in cpu


def test_a_busy_machine() -> None:
    known = {"cpu.host_percent": 50.0, "memory.host_percent": 95.0, "load.1m": 6.1}
    traffic = {"disk.read_bytes_per_s": 1024.0, "network.sent_bytes_per_s": 0.0}
    lines = host_lines(fake(**known, **traffic), 120, 60.0, Ink())
    texts = ["".join(part.text for part in line) for line in lines]
    assert any("load 6.10 of 64 cores" in text and "█" in text for text in texts)
    assert any("1 KiB/s read" in text and "– written" in text for text in texts)
    assert any("– in" in text and "0 B/s out" in text for text in texts)


def test_charts_of_the_past() -> None:
    drawn = history_charts(fake(), (120, 10), 600.0, Ink())
    assert len(drawn) == 10
    text = "\n".join("".join(part.text for part in line) for line in drawn)
    assert "busy, %" in text
    assert "memory, %" in text
    assert any("\u2800" < char <= "\u28ff" for char in text)
