"""The lines of the page of this machine: GPUs, processors, memory, traffic, disks, live runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from labbook.book.text import clean
from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.gauges import bar, level, sparkline
from labbook_tui.lines import Line, beside, rule
from labbook_tui.models import HostModel
from labbook_tui.palette import Ink, seg
from labbook_tui.text import bytes_text, cut, duration, grouped, number, pad, plural

__all__ = ["WINDOWS", "history_charts", "host_lines"]

WINDOWS = {600.0: "last 10 minutes", 60.0: "last minute"}
BAR = 12
NAMES = 9
LEAST_S = 2.5
"""A cell of a sparkline stands for so much at least: samples come about every second."""
STEPS = 60
"""A chart moves on by a part of its width, so that it is not drawn anew each second."""

Object = dict[str, Any]


def host_lines(model: HostModel, width: int, window: float, ink: Ink) -> list[Line]:
    """GPUs, host, disks and runs; the runs are the last lines, one each."""
    now = model.now
    lines: list[Line] = _gpus(model, width, window, ink)
    lines += [[], *_host(model, width, window, ink), [], *_disks(now["disks"], width, ink)]
    runs = now["runs"]
    title = [seg("live runs", ink.of("text", "b")), seg(f"  {len(runs)}", ink.of("dim"))]
    lines.append(rule(title, width, ink))
    if not runs:
        text = " none is being recorded on this host: labbook.start() begins one"
        return [*lines, [seg(cut(text, width), ink.of("dim"))]]
    return [*lines, *_runs(model, width, ink)]


def _spark(model: HostModel, name: str, room: int, window: float, ink: Ink) -> str:
    """The gauge's past from nothing up; a percentage's scale ends at 100."""
    gauge = model.history.get(name)
    if gauge is None or room < 4:
        return ""
    top = 100.0 if name.endswith("percent") else None
    cells_wide, room = room, min(room, int(window / LEAST_S))
    step = window / room
    values = np.full(room, np.nan)
    # cells of the clock, not counted from now: what has been drawn stays until it moves a cell
    cells = room - 1 + np.floor((gauge.seconds + _phase(model, step)) / step).astype(np.int64)
    for cell, value in zip(cells, gauge.values, strict=True):
        if cell >= 0 and not value <= values[cell]:
            values[cell] = value
    return sparkline(values, room, ink.glyphs, 0.0, top).rjust(cells_wide)


def _phase(model: HostModel, step: float) -> float:
    """Seconds since the clock last was a multiple of `step`."""
    return float(model.now["time_ns"] / 1e9 % step)


def history_charts(model: HostModel, size: tuple[int, int], window: float, ink: Ink) -> list[Line]:
    """How busy the machine was, beside how full its memory: in percent, by minutes ago."""
    width, height = size
    gpus = [f"gpu.{card['index']}" for card in model.now["gpus"]][:6]
    busy = [("cpu", "cpu.host_percent"), *((name, f"{name}.util_percent") for name in gpus)]
    full = [("memory", "memory.host_percent")]
    half = (width - 3) // 2
    left, right = (
        _chart(
            title, [_minutes(model, *pair, window) for pair in pairs], (half, height), window, ink
        )
        for title, pairs in (("busy, %", busy), ("memory, %", full))
    )
    return [[seg(" "), *line] for line in beside(left, right, half, [seg(" ")])]


def _minutes(model: HostModel, title: str, name: str, window: float) -> Curve:
    gauge = model.history.get(name)
    if gauge is None:
        return Curve(title, np.empty(0), np.empty(0), points=True)
    step = window / STEPS
    kept = gauge.seconds >= -window
    seconds = gauge.seconds[kept] + _phase(model, step) - step
    return Curve(title, seconds / 60, gauge.values[kept], points=True)


def _chart(
    title: str, curves: list[Curve], size: tuple[int, int], window: float, ink: Ink
) -> list[Line]:
    options = ChartOptions(
        x_name="minutes", x_limits=(-window / 60, 0.0), y_limits=(0.0, 100.0), letters=False
    )
    return draw_chart(title, curves, size, ink, options)


# ---------------------------------------------------------------------- GPUs


def _gpus(model: HostModel, width: int, window: float, ink: Ink) -> list[Line]:
    cards, reason = model.now["gpus"], model.now["gpu_reason"]
    lines: list[Line] = []
    if cards:
        head = f" {'gpu':<4} {'busy':<{BAR + 7}} {'memory':<18} {'power':>6} {'temp':>6}"
        lines.append([seg(head, ink.of("dim"))])
    lines += [_gpu(card, model, width, window, ink) for card in cards]
    if reason or not cards:
        words = clean(reason or "no GPU")
        lines.append(
            [
                seg(f" {'gpu':<{NAMES}}", ink.of("dim")),
                seg(cut(words, width - NAMES - 2), ink.of("dim")),
            ]
        )
    return lines


def _gpu(card: Object, model: HostModel, width: int, window: float, ink: Ink) -> Line:
    busy = card.get("util_percent")
    used, total = card.get("memory_used_bytes"), card.get("memory_total_bytes")
    memory = "–" if used is None else bytes_text(used).replace(" ", "")
    memory += "" if total is None else f" of {bytes_text(total).replace(' ', '')}"
    owners = [clean(run["name"]) for run in model.now["runs"] if card["uuid"] in run["gpus"]]
    owner = ", ".join(owners) or ("idle" if busy == 0 else "")
    line: Line = [
        seg(f" {card['index']:<4} ", ink.of("text", "b")),
        seg(_bar(busy, ink), ink.of("live")),
        seg(f" {_percent(busy):>6}", ink.of("text", "b")),
        seg(f" {memory:<18}", ink.of("text")),
        seg(f" {_unit(card.get('power_watts'), 'W'):>6}", ink.of("text")),
        seg(f" {_unit(card.get('temperature_celsius'), '°C'):>6}", ink.of("text")),
    ]
    room = width - (NAMES + BAR + 38)
    name_room = min(16, max(0, room))
    line.append(seg(f"  {pad(owner, name_room)}", ink.of("accent" if owners else "dim")))
    spark = _spark(model, f"gpu.{card['index']}.util_percent", room - name_room - 6, window, ink)
    return [*line, seg(f"  {spark}", ink.of("live"))]


# ---------------------------------------------------------------------- host


def _host(model: HostModel, width: int, window: float, ink: Ink) -> list[Line]:
    now = model.now
    gauges, cores = now["gauges"], now["cores"]
    load = gauges.get("load.1m")
    available, whole = gauges.get("memory.host_available_bytes"), now["memory_bytes"]
    used = None if available is None else whole - available
    memory = gauges.get("memory.host_percent")
    swap = gauges.get("memory.host_swap_used_bytes")
    cpu = gauges.get("cpu.host_percent")
    load_text = f"load {number(load, 3) if load is not None else '–'} of {plural(cores, 'core')}"
    memory_text = f"{'–' if used is None else bytes_text(used)} of {bytes_text(whole)}"
    memory_text += f", {bytes_text(swap)} swap" if swap else ""
    rest = width - NAMES - BAR - 38
    head = f" {'':<{NAMES + BAR + 34}}  {WINDOWS[window]}"
    lines: list[Line] = [[seg(head, ink.of("dim"))]] if rest >= 8 else []
    for name, percent, words, gauge in (  # busy processors are no warning, full memory is
        ("cpu", cpu, load_text, "cpu.host_percent"),
        ("memory", memory, memory_text, "memory.host_percent"),
    ):
        lines.append(
            [
                seg(f" {name:<{NAMES}}", ink.of("dim")),
                seg(_bar(percent, ink), ink.of("live" if name == "cpu" else level(percent))),
                seg(f" {_percent(percent):>6}", ink.of("text", "b")),
                seg(f"  {pad(words, 25)}", ink.of("dim")),
                seg(f"  {_spark(model, gauge, rest, window, ink)}", ink.of("live")),
            ]
        )
    for name, parts in (
        ("disk", (("read", "disk.read_bytes_per_s"), ("written", "disk.write_bytes_per_s"))),
        (
            "network",
            (("in", "network.received_bytes_per_s"), ("out", "network.sent_bytes_per_s")),
        ),
    ):
        line: Line = [seg(f" {name:<{NAMES}}", ink.of("dim"))]
        for word, gauge in parts:
            line += [
                seg(f"{_rate(gauges.get(gauge)):>11}", ink.of("text", "b")),
                seg(f" {word:<9}", ink.of("dim")),
            ]
        line.append(seg(" " * (NAMES + BAR + 34 - 51)))
        both = (rest - 2) // 2
        line.append(seg(f"  {_spark(model, parts[0][1], both, window, ink)}", ink.of("live")))
        line.append(seg(f"  {_spark(model, parts[1][1], both, window, ink)}", ink.of("accent")))
        lines.append(line)
    return lines


def _disks(disks: list[Object], width: int, ink: Ink) -> list[Line]:
    lines: list[Line] = []
    for place, disk in enumerate(disks):
        full = 100 * (1 - disk["free_bytes"] / disk["total_bytes"])
        free = f"{bytes_text(disk['free_bytes'])} free of {bytes_text(disk['total_bytes'])}"
        room = max(8, width - NAMES - BAR - 38)
        lines.append(
            [
                seg(f" {'disks' if place == 0 else '':<{NAMES}}", ink.of("dim")),
                seg(_bar(full, ink), ink.of("bad" if full >= 95 else level(full))),
                seg(f" {_percent(full):>6}", ink.of("text", "b")),
                seg(f"  {pad(free, 25)}", ink.of("dim")),
                seg(f"  {cut(clean(disk['path']), room - 10)}", ink.of("text")),
                seg("  the book" if disk["has_book"] else "", ink.of("accent")),
            ]
        )
    return lines


def _bar(percent: float | None, ink: Ink) -> str:
    return " " * BAR if percent is None else bar(percent / 100, BAR, ink.glyphs)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} %"


def _unit(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.0f} {unit}"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{bytes_text(value)}/s"


# ---------------------------------------------------------------------- runs


def _runs(model: HostModel, width: int, ink: Ink) -> list[Line]:
    """Heading, and a line a run."""
    runs = model.now["runs"]
    room = max(10, min(40, width - 62))
    titles = f"{'step':>9} {'steps/s':>8} {'cpu':>7} {'memory':>9} {'GPUs':>9} {'for':>8}"
    lines: list[Line] = [[seg(f"   {'run':<{room}} {titles}", ink.of("dim"))]]
    for run in runs:
        gauges = run["gauges"]
        busy = [
            f"{v:.0f}"
            for n, v in sorted(gauges.items())
            if n.endswith(".util_percent") and v is not None
        ]
        rss = gauges.get("memory.rss_bytes")
        rate = model.rates.get(run["id"])
        since = run["created_ns"]
        age = "–" if not since else duration((model.now["time_ns"] - since) / 1e9)
        cells = [
            f"{'–' if run['step'] is None else grouped(run['step']):>9}",
            f"{'–' if rate is None else number(rate, 3):>8}",
            f"{_percent(gauges.get('cpu.percent')):>7}",
            f"{'–' if rss is None else bytes_text(rss):>9}",
            f"{(' '.join(busy) + ' %') if busy else '–':>9}",
            f"{age:>8}",
        ]
        lines.append(
            [
                seg(f" {ink.glyphs.live} ", ink.of("live")),
                seg(pad(clean(run["name"]), room), ink.of("text", "b")),
                seg(" " + " ".join(cells), ink.of("text")),
            ]
        )
    return lines
