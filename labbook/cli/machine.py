"""How the command line says what a run used of its machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from labbook.book.text import clean
from labbook.cli.tables import Column, render
from labbook.cli.wording import bytes_text, seconds_text

__all__ = ["energy_text", "machine_use_lines", "percent_text"]

_LEAST_SHARE = 0.01
"""A reason that held a GPU back for less of the time is left to --json."""


def machine_use_lines(used: dict[str, Any] | None, width: int | None = None) -> Iterator[str]:
    """Yield the lines below "Machine", of the object that `show --json` prints."""
    if used is None:
        return
    percent = used["mean_cpu_percent"]
    # it takes two samples, which a short run does not have
    known = "not measured" if percent is None else f"{percent_text(percent)} of a core on average"
    cpu = [f"CPU {known}"]
    if used["peak_rss_bytes"] is not None:
        cpu.append(f"memory at most {_size(used['peak_rss_bytes'])}")
    yield ", ".join(cpu)
    if used["gpus"]:
        yield from render(_columns(used["gpus"]), width)[0]
    if len(used["gpus"]) > 1 and used["energy_kwh"] is not None:
        yield f"all GPUs together {energy_text(used['energy_kwh'])}"
    for gpu in used["gpus"]:
        if gpu["ecc_uncorrected"]:
            yield clean(f"{gpu['name']}: {gpu['ecc_uncorrected']:.0f} uncorrected memory errors")


def _columns(gpus: list[dict[str, Any]]) -> list[Column]:
    return [
        Column("", [gpu["name"] for gpu in gpus]),
        Column("busy", [_or_dash(gpu["mean_util_percent"], percent_text) for gpu in gpus],
               is_number=True),
        Column("idle", [_idle(gpu) for gpu in gpus], is_number=True),
        Column("memory", [_or_dash(gpu["peak_memory_bytes"], _size) for gpu in gpus],
               is_number=True),
        Column("of", [_or_dash(gpu["memory_total_bytes"], _size) for gpu in gpus], rank=1,
               is_number=True),
        Column("energy", [_energy(gpu) for gpu in gpus], is_number=True),
        Column("hottest", [_or_dash(gpu["peak_temperature_celsius"], lambda t: f"{t:.0f} °C")
                           for gpu in gpus], rank=2, is_number=True),
        Column("held back by", [_held_back(gpu) for gpu in gpus], rank=1, can_shrink=True),
    ]  # fmt: skip


def _or_dash(value: float | None, text: Callable[[float], str]) -> str:
    return "-" if value is None else text(value)


def _idle(gpu: dict[str, Any]) -> str:
    if gpu["idle_s"] is None:
        return "-"
    return f"{seconds_text(gpu['idle_s'])} ({percent_text(100 * gpu['idle_share'])})"


def _energy(gpu: dict[str, Any]) -> str:
    if gpu["energy_joules"] is None:
        return "-"
    # its counter is exact; power times time is not
    return ("~" if gpu["energy_kind"] == "integrated" else "") + energy_text(
        gpu["energy_joules"] / 3.6e6
    )


def _held_back(gpu: dict[str, Any]) -> str:
    held = {why: share for why, share in gpu["held_back"].items() if share >= _LEAST_SHARE}
    return ", ".join(f"{why} {percent_text(100 * share)}" for why, share in held.items())


def percent_text(value: float | None) -> str:
    """Return whole percents, `<1 %` for what is not quite nothing; `?` when it is not known."""
    if value is None:
        return "? %"
    return "<1 %" if 0 < value < 0.5 else f"{value:.0f} %"


def energy_text(kwh: float) -> str:
    """Return an energy in kWh, or in Wh when it is small."""
    return f"{kwh:.3g} kWh" if kwh >= 0.1 else f"{kwh * 1000:.3g} Wh"


def _size(value: float) -> str:
    return bytes_text(int(value) if math.isfinite(value) else None)
