"""What views of charts over one x share: the part of x in sight, the cursor, scales, smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from textual.binding import Binding, BindingType

from labbook_tui.chart import ChartOptions, Drawn
from labbook_tui.curve import Curve
from labbook_tui.models import CurvesModel
from labbook_tui.read_out import place_text
from labbook_tui.views.base import View
from labbook_tui.window import moved, newest, zoomed

if TYPE_CHECKING:
    from textual import events

__all__ = ["KINDS", "LOGS", "WEIGHTS", "Placed", "Spanned"]

WEIGHTS: tuple[float | None, ...] = (None, 0.0, 0.6, 0.9, 0.99)
LOGS = ((False, False), (False, True), (True, False), (True, True))
"""(log x, log y), in the order of the key."""
KINDS: dict[str, Literal["elapsed", "clock"]] = {"time": "elapsed", "clock": "clock"}


@dataclass(frozen=True, eq=False)
class Placed:
    """A chart as it was last drawn, and where."""

    index: int
    left: int
    top: int
    width: int
    height: int
    drawn: Drawn


class Spanned(View):
    """Charts over one x; which of them and with which curves says the view."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cursor(-1)", "cursor left", show=False),
        Binding("right", "cursor(1)", "cursor right", show=False),
        Binding("l", "log", "log axis", show=False),
        Binding("s", "smooth", "smoothing", show=False),
        Binding("r", "raw", "raw values", show=False),
        Binding("o", "clip", "clip", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "zoom in", show=False),
        Binding("minus", "zoom(2.0)", "zoom out", show=False),
        Binding("0", "fit", "show all", show=False),
        Binding("left_square_bracket,less_than_sign,H", "pan(-0.25)", "move back", show=False),
        Binding("right_square_bracket,greater_than_sign,L", "pan(0.25)", "move on", show=False),
        Binding("f", "follow", "follow", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: CurvesModel | None = None
        self.options = ChartOptions()
        self.chosen = 0
        self.is_following = False
        self._placed: list[Placed] = []

    def _seen_curves(self) -> list[Curve]:
        """The curves of all charts in sight."""
        return []

    def _chosen_curves(self) -> list[Curve]:
        """Those of the chosen chart that have a point."""
        return []

    def _ask(self) -> None:
        """Tell the reader when something else is wanted."""
        ask = getattr(self.screen, "ask", None) if self.is_attached else None
        if ask is not None:
            ask()

    def _set(self, **options: Any) -> None:
        """Draw with other options."""
        self.options = replace(self.options, **options)
        self.redraw()

    def _span(self) -> tuple[float, float]:
        """Limits of x over all curves in sight."""
        xs = [curve.x for curve in self._seen_curves() if len(curve.x)]
        low = min((float(x[0]) for x in xs), default=0.0)
        high = max((float(x[-1]) for x in xs), default=1.0)
        if self.options.log_x:
            low = min((float(x[x > 0][0]) for x in xs if (x > 0).any()), default=low)
        return low, high if high > low else low + 1.0

    def _window_words(self) -> str:
        limits, axis = self.options.x_limits, self.model.axis if self.model else ""
        if limits is None:
            return ""
        fine = 10.0 ** np.floor(np.log10(limits[1] - limits[0]) - 2)
        low, high = (place_text(axis, float(round(at / fine) * fine)) for at in limits)
        name = "" if axis == "clock" else axis + " "
        words = f"{name}{low.removeprefix(name)} to {high.removeprefix(name)}"
        return words + ("  following " if self.is_following else " ")

    def action_log(self) -> None:
        """Linear, log y, log x, both."""
        present = (self.options.log_x, self.options.log_y)
        log_x, log_y = LOGS[(LOGS.index(present) + 1) % len(LOGS)]
        limits = self.options.x_limits
        if log_x and limits is not None and limits[0] <= 0:
            limits = None
        self._set(log_x=log_x, log_y=log_y, x_limits=limits)

    def action_smooth(self) -> None:
        """By length, none, 0.6, 0.9, 0.99."""
        self._set(smooth=WEIGHTS[(WEIGHTS.index(self.options.smooth) + 1) % len(WEIGHTS)])
        self._ask()

    def action_raw(self) -> None:
        """Raw values behind the smooth line, or not."""
        self._set(raw=not self.options.raw)

    def action_clip(self) -> None:
        """y over the middle 98 % of the values, or over all."""
        self._set(clip=not self.options.clip)

    def action_cursor(self, by: int) -> None:
        """Move the reading cursor about a column, to a point of the chosen chart."""
        curves = self._chosen_curves()
        if not curves:
            return
        x = np.unique(np.concatenate([curve.x for curve in curves]))
        limits = self.options.x_limits or (float(x[0]), float(x[-1]))
        x = x[(x >= limits[0]) & (x <= limits[1])]
        if self.options.log_x:
            x = x[x > 0]
        if len(x):
            self._set(cursor=float(x[self._beside(x, by)]))

    def _beside(self, x: np.ndarray[Any, Any], by: int) -> int:
        """The place in x of the next stop of the cursor, at least one point on."""
        at = self.options.cursor
        if at is None:
            return len(x) - 1 if by < 0 else 0
        index = min(int(np.searchsorted(x, at)), len(x) - 1)
        across = max(8, self._placed[0].drawn.columns if self._placed else 8)
        scale = np.log10 if self.options.log_x else np.asarray
        stride = float(scale(x[-1]) - scale(x[0])) / across
        wanted = float(scale(at)) + by * stride
        near = int(np.argmin(np.abs(scale(x) - wanted)))
        return min(max(0, near if (near - index) * by > 0 else index + by), len(x) - 1)

    def _zoom(self, at: float, factor: float) -> None:
        span = self._span()
        limits = zoomed(self.options.x_limits, span, at, factor, self.options.log_x)
        self.is_following = self.is_following and limits is not None and limits[1] >= span[1]
        self._set(x_limits=limits)

    def action_zoom(self, factor: float) -> None:
        """Narrow or widen x around the cursor, without one around the end."""
        at = self.options.cursor
        self._zoom((self.options.x_limits or self._span())[1] if at is None else at, factor)

    def action_pan(self, part: float) -> None:
        """Move the window over x."""
        if self.options.x_limits is not None:
            self.is_following = False
            self._set(x_limits=moved(self.options.x_limits, self._span(), part))

    def action_follow(self) -> None:
        """Keep the window at the newest values, or let it stand."""
        self.is_following = not self.is_following
        if self.is_following:
            self._set(x_limits=newest(self.options.x_limits, self._span()))
        self.redraw()

    def action_fit(self) -> None:
        """Show all of x again."""
        self.is_following = False
        self._set(x_limits=None)

    def _under(self, event: events.MouseEvent) -> tuple[int, float] | None:
        """The chart under the pointer, and the x."""
        for placed in self._placed:
            column, row = event.x - placed.left, event.y - placed.top
            if 0 <= column < placed.width and 0 <= row < placed.height:
                at = placed.drawn.x_at(column)
                return None if at is None else (placed.index, at)
        return None

    def on_click(self, event: events.Click) -> None:
        """The cursor to the point nearest to the pointer, in the chart that it is over."""
        found = self._under(event)
        if found is None:
            return
        self.chosen = found[0]
        curves = self._chosen_curves()
        if curves:
            x = np.concatenate([curve.x for curve in curves])
            self._set(cursor=float(x[np.argmin(np.abs(x - found[1]))]))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer, at the pointer."""
        event.stop()
        found = self._under(event)
        if found is not None:
            self._zoom(found[1], 0.7)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Further away, at the pointer."""
        event.stop()
        found = self._under(event)
        if found is not None:
            self._zoom(found[1], 1 / 0.7)
