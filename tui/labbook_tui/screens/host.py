"""This machine now: its GPUs, processors, memory and disks, and the live runs on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook_tui.bars import Header, Keys
from labbook_tui.gauges import bar, sparkline
from labbook_tui.lines import Line, fit, under
from labbook_tui.models import HostModel, Problem, Want
from labbook_tui.palette import seg
from labbook_tui.screens.base import BaseScreen
from labbook_tui.shown import Shown
from labbook_tui.text import bytes_text, grouped, number, pad
from labbook_tui.views.base import MOVES, View

__all__ = ["HostScreen"]

KEPT = 300
"""Readings kept while the page is open; one comes about every two and a half seconds."""


class _Pane(View):
    """The machine; the cursor stands on a live run."""

    KIND = "host"
    BINDINGS: ClassVar[list[BindingType]] = [*MOVES]

    def __init__(self) -> None:
        super().__init__()
        self.model: HostModel | None = None
        self.past: dict[str, deque[float]] = {}
        self.cursor = 0

    def accept(self, model: object) -> None:
        """Keep the reading, and what is drawn over time of it."""
        if not isinstance(model, HostModel):
            return
        self.model = model
        found = model.found
        for name, value in _percents(found).items():
            kept = self.past.setdefault(name, deque(maxlen=KEPT))
            kept.append(float("nan") if value is None else value)
        self.cursor = min(self.cursor, max(0, len(found["runs"]) - 1))

    @property
    def run(self) -> str:
        """The live run under the cursor."""
        runs = self.model.found["runs"] if self.model else []
        return str(runs[self.cursor]["id"]) if runs else ""

    def draw(self, width: int, height: int) -> list[Line]:
        """Whole machine, GPUs, disks, live runs."""
        if self.model is None:
            return self.waiting()
        found = self.model.found
        gauges, total = found["gauges"], found["memory_bytes"]
        free = gauges.get("memory.host_available_bytes")
        used = None if free is None else total - free
        load = f"load {number(gauges.get('load.1m'), 3)} of {found['cores']}"
        memory = f"{bytes_text(used)} of {bytes_text(total)}" if used is not None else "not known"
        lines: list[Line] = [
            [],
            self._measured("processors", "cpu", load, width),
            self._measured("memory", "memory", memory, width),
            *self._rates(gauges),
            [],
            *self._gpus(found, width),
            [],
            *self._disks(found["disks"]),
            [],
        ]
        return [*lines, *self._runs(found, width, height - len(lines))]

    def _measured(self, title: str, name: str, said: str, width: int) -> Line:
        ink, past = self.ink, self.past.get(name, ())
        values = np.array(past, np.float64)
        now = float(values[-1]) if len(values) else float("nan")
        share = f"{now:.0f} %" if np.isfinite(now) else "–"
        room = max(8, min(60, width - 62))
        return [
            seg(f" {pad(title, 12)}", ink.of("text")),
            seg(f"{share:>6}  ", ink.of("text", "b")),
            seg(bar(now / 100 if np.isfinite(now) else 0.0, 10, ink.glyphs), ink.of("live")),
            seg(f"  {pad(said, 26)}  ", ink.of("dim")),
            seg(sparkline(values, room, ink.glyphs, 0.0, 100.0), ink.of("accent")),
        ]

    def _rates(self, gauges: dict[str, Any]) -> list[Line]:
        lines: list[Line] = []
        for title, *sides in (
            ("disks", ("disk.read", "read"), ("disk.write", "written")),
            ("network", ("network.received", "received"), ("network.sent", "sent")),
        ):
            words = []
            for name, verb in sides:
                rate = gauges.get(f"{name}_bytes_per_s")
                words.append(f"{verb} {'?' if rate is None else f'{bytes_text(rate)}/s'}")
            text = seg(f"{'':20}{'  '.join(words)}", self.ink.of("dim"))
            lines.append([seg(f" {pad(title, 12)}", self.ink.of("text")), text])
        return lines

    def _gpus(self, found: dict[str, Any], width: int) -> list[Line]:
        ink = self.ink
        lines: list[Line] = []
        for card in found["gpus"]:
            name = f"gpu.{card['index']}"
            used, total = card.get("memory_used_bytes"), card.get("memory_total_bytes")
            sizes = [bytes_text(size) for size in (used, total) if size is not None]
            memory = " of ".join(sizes) if len(sizes) == 2 else "–"
            heat = [
                f"{card[key]:.0f} {unit}" if card.get(key) is not None else "–"
                for key, unit in (("power_watts", "W"), ("temperature_celsius", "°C"))
            ]
            lines.append(self._measured(name, name, f"{memory}  {'  '.join(heat)}", width))
        reason = found["gpu_reason"]
        if reason or not lines:
            text = clean(reason) if reason else "no GPU"
            lines.append([seg(f" {pad('GPUs', 12)}  {text}", ink.of("dim"))])
        return lines

    def _disks(self, disks: list[dict[str, Any]]) -> list[Line]:
        ink = self.ink
        lines: list[Line] = []
        for disk in disks[:6]:
            share = 1 - disk["free_bytes"] / disk["total_bytes"]
            meaning = "bad" if share > 0.98 else "warn" if share > 0.9 else "text"
            size = f"{bytes_text(disk['free_bytes'])} free of {bytes_text(disk['total_bytes'])}"
            book = "  (the book)" if disk["has_book"] else ""
            lines.append(
                [
                    seg(f" {pad('disk', 12)}", ink.of("text")),
                    seg(f"{100 * share:>4.0f} %  ", ink.of(meaning, "b")),
                    seg(bar(share, 10, ink.glyphs), ink.of("live")),
                    seg(f"  {pad(size, 26)}  ", ink.of("dim")),
                    seg(clean(disk["path"]), ink.of("text")),
                    seg(book, ink.of("dim")),
                ]
            )
        return lines

    def _runs(self, found: dict[str, Any], width: int, height: int) -> list[Line]:
        ink, runs = self.ink, found["runs"]
        if not runs:
            return [[seg(" no run of this book is live on this machine", ink.of("dim"))]]
        names = max(12, min(32, width - 62))
        head = f"   {pad('live run', names)}  {'step':>9}  {'CPU':>6}  {'memory':>10}  GPU"
        lines: list[Line] = [[seg(head, ink.of("dim"))]]
        top = max(0, self.cursor - max(1, height - 2) + 1)
        for place, run in enumerate(runs[top : top + max(1, height - 1)], top):
            gauges = run["gauges"]
            busy = [gauges[name] for name in gauges if name.endswith(".util_percent")]
            cpu, rss = gauges.get("cpu.percent"), gauges.get("memory.rss_bytes")
            line: Line = [
                seg(f" {ink.glyphs.live} ", ink.of("live")),
                seg(pad(clean(run["name"]), names), ink.of("text", "b")),
                seg(f"  {'–' if run['step'] is None else grouped(run['step']):>9}"),
                seg(f"  {'–' if cpu is None else f'{cpu:.0f} %':>6}"),
                seg(f"  {'–' if rss is None else bytes_text(rss):>10}"),
                seg("  " + (" ".join(_percent(value) for value in busy) or "–")),
                seg(f"  {clean(run['id'])}", ink.of("dim")),
            ]
            lines.append(under(fit(line, width), ink.cursor) if place == self.cursor else line)
        return lines

    def action_move(self, by: int) -> None:
        """To another live run."""
        count = len(self.model.found["runs"]) if self.model else 0
        self.cursor = min(max(0, self.cursor + by), max(0, count - 1))
        self.redraw()

    def action_page(self, by: int) -> None:
        """By ten runs."""
        self.action_move(10 * by)

    def action_ends(self, last: int) -> None:
        """First or last run."""
        self.action_move(10**9 if last else -(10**9))


class HostScreen(BaseScreen):
    """The machine that this program runs on."""

    NAME = "this machine"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("j k", "live run"),
        ("enter", "open it at its machine page"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "back"),
        Binding("enter", "open", "open", show=False),
    ]

    def page(self) -> Iterable[Widget]:
        """Header, machine, footer."""
        yield Header(id="head")
        yield _Pane()
        yield Keys(id="keys")

    @property
    def pane(self) -> _Pane:
        """What is below the header."""
        return self.query_one(_Pane)

    def on_mount(self) -> None:
        """Take the keys."""
        self.pane.focus()
        self._head()
        keys = [("j k", "run"), ("enter", "open"), ("1-9", "page")]
        tail = [("y", "copy"), ("e", "export"), ("esc", "back"), ("?", "help")]
        self.query_one("#keys", Keys).show([*keys, *tail])

    def wants(self) -> tuple[Want, ...]:
        """The machine as it is now."""
        return (Want("host"),)

    def take(self, want: Want, model: object) -> None:
        """A reading, or a problem in its place."""
        if isinstance(model, HostModel | Problem):
            self.pane.take(model)
            self._head()

    def repaint(self) -> None:
        """Other colours."""
        self._head()

    def _head(self) -> None:
        ink, model = self.host.ink, self.pane.model
        line: Line = [seg(" this machine ", ink.of("accent", "b"))]
        if model is not None:
            n_live = len(model.found["runs"])
            line.append(seg(f" {clean(model.found['host'])}", ink.of("text", "b")))
            line.append(seg(f"  {n_live} live", ink.of("live" if n_live else "dim")))
        self.query_one("#head", Header).show([line])

    def action_open(self) -> None:
        """The run under the cursor."""
        self.host.go(5)

    def at_run(self) -> str:
        """The live run under the cursor."""
        return self.pane.run

    def copied(self) -> str:
        """Its id; else the command that prints this page."""
        return self.pane.run or "labbook top --once"

    def shown(self) -> Shown | None:
        """All readings, by name."""
        model = self.pane.model
        if model is None:
            return None
        rows: list[tuple[str, object]] = list(model.found["gauges"].items())
        for card in model.found["gpus"]:
            start = f"gpu.{card['index']}"
            rows += [(f"{start}.{name}", value) for name, value in card.items() if name != "index"]
        return Shown("machine", ("name", "value"), rows)


def _percents(found: dict[str, Any]) -> dict[str, float | None]:
    """Shares in percent that are drawn over time; null where not measured."""
    free = found["gauges"].get("memory.host_available_bytes")
    memory = None if free is None else 100 * (1 - free / found["memory_bytes"])
    cards = {f"gpu.{card['index']}": card.get("util_percent") for card in found["gpus"]}
    return {"cpu": found["gauges"].get("cpu.host_percent"), "memory": memory, **cards}


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} %"
