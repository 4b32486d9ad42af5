"""One run, read while it lives or long after, from whatever form its rows have at the moment.

A reader is stateful and cheap to keep: `refresh` costs what is new. It writes nothing, holds no
lock and keeps no file open. A file that cannot be read is named in `damage`; asking for what was in
it raises `DamagedFile`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from labbook.book.checkpoints import Checkpoint, find
from labbook.book.facts import Facts, Process
from labbook.book.live import Journal
from labbook.book.nets import histogram_table, nets, statistics_table
from labbook.book.results import Result, Results, read_reasons
from labbook.book.seals import Seals
from labbook.book.states import State, derive
from labbook.book.stats import Stat
from labbook.book.summary import RunSummary, summarise_run
from labbook.book.tables import Tables
from labbook.errors import DamagedFile, StoreError
from labbook.paths import RunPaths

if TYPE_CHECKING:
    from labbook.book.machine_use import MachineUse
    from labbook.book.points import Points

__all__ = ["RunReader"]

_T = TypeVar("_T")

EXIT_NS = 60_000_000_000
"""The interpreter exits within a minute of the end it recorded."""

RETRIES = 10
"""A part that vanishes was replaced by a newer seal; each retry reads the seals anew."""


class RunReader:
    """Reads one run.

    Raises `FileNotFoundError` when the folder has no `run.json`.
    """

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.id = paths.id
        self.facts = Facts(paths)
        self._seals = Seals(paths)
        self._journal = Journal(paths)
        self._tables = Tables(paths, self.facts, self._seals, self._journal)
        self._results = Results(paths)
        self._checkpoints: list[Checkpoint] = []
        self._damage: list[str] = []
        self._unreadable: DamagedFile | None = None
        self._memory: dict[Any, Any] = {}
        self.state = State("unknown", "not read yet")
        self.refresh()

    def refresh(self) -> bool:
        """Pick up what is new; True when anything changed."""
        before = (self.state, self._checkpoints, self._damage)
        changed = self.facts.refresh()
        changed = self._refresh_rows() or changed
        changed = self._results.refresh() or changed
        self.state = self._derive()
        self._checkpoints, damage = find(self.paths, self.facts, self.state.ended_ns)
        self._damage = damage
        changed = changed or before != (self.state, self._checkpoints, self._damage)
        if changed:
            self._memory.clear()
        return changed

    def _refresh_rows(self) -> bool:
        try:
            self._unreadable = None
            return self._journal.refresh(self._seals)
        except DamagedFile as error:
            self._unreadable = error
        except OSError as error:
            self._unreadable = DamagedFile(f"the journal of {self.id} cannot be read: {error}")
        return True

    def _derive(self) -> State:
        process = self.facts.newest()
        why = self.facts.why_unreadable(process)
        return derive(self.paths, process) if why is None else State("unknown", why)

    @property
    def damage(self) -> list[str]:
        """What cannot be read, one line each, naming the file."""
        rows = [str(self._unreadable)] if self._unreadable else []
        return [
            *self.facts.damage.values(),
            *rows,
            *self._journal.damage(),
            *self._tables.damage,
            *self._results.damage.values(),
            *self._damage,
        ]

    # ------------------------------------------------------------------ facts

    @property
    def identity(self) -> dict[str, Any]:
        """run.json: id, name, group, tags, parent, created_ns."""
        return self.facts.identity

    @property
    def conditions(self) -> dict[str, Any]:
        """Conditions of the newest attempt's rank 0; empty when it has none."""
        process = self.facts.newest()
        return process.conditions if process else {}

    @property
    def end(self) -> dict[str, Any] | None:
        """How that process ended; None while it runs or when it was killed."""
        process = self.facts.newest()
        return process.end if process else None

    @property
    def processes(self) -> list[Process]:
        """All processes, by attempt and rank."""
        return sorted(self.facts.processes.values(), key=lambda p: (p.attempt, p.rank, p.writer))

    @property
    def is_exiting(self) -> bool:
        """Whether its end is so recent that an exit status may still follow, and change it."""
        process, ended_ns = self.facts.newest(), self.state.ended_ns
        if process is None or ended_ns is None or not process.may_tell_exit:
            return False
        return time.time_ns() - ended_ns < EXIT_NS

    @property
    def name(self) -> str:
        """The readable name, after renames; the id when it has none."""
        renamed = self.facts.fact("name")
        name = renamed if isinstance(renamed, str) and renamed else self.identity.get("name")
        return name if isinstance(name, str) and name else self.id

    @property
    def tags(self) -> list[str]:
        """The newest set of tags."""
        tags = self.facts.fact("tags")
        tags = tags if isinstance(tags, list) else self.identity.get("tags")
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    def summary(self) -> RunSummary:
        """The run at a glance."""
        return self._remembered("summary", lambda: summarise_run(self))

    # ------------------------------------------------------------------ rows

    def names(self) -> list[str]:
        """All series."""
        return self._rows("names", self._tables.names)

    def stats(self) -> dict[str, Stat]:
        """Last, least, greatest and count of each series."""
        return self._rows("stats", self._tables.stats)

    def series(
        self, name: str, *, superseded: bool = False, max_points: int | None = None
    ) -> pa.Table:
        """One series: step, time, value; by step, in the order of logging within a step.

        Empty for a name that was never logged. `superseded` adds the rows of earlier attempts that
        a later one logged anew. With `max_points` (4 or more) a longer series is thinned out to so
        many rows: both ends, and of each stretch the least and the greatest value.
        """

        def build() -> pa.Table:
            points = self._tables.series(name, superseded=superseded)
            if max_points is not None:
                points = points.thinned(max_points)
            return pa.table(points.columns())

        return self._rows(("series", name, superseded, max_points), build)

    def model(self, name: str | None = None, *, superseded: bool = False) -> pa.Table:
        """Statistics of the net that was followed: step, time, tensor, statistic, value.

        By step, tensor and statistic; `tensor` is a parameter's name (`conv1.weight`), that of a
        module for its output (`conv1`, `conv2(input)`), or `(model)` for all parameters together.
        With a `name` such as `"update_ratio/conv1.weight"`, that one alone: step, time, value.
        `superseded` adds the rows of earlier attempts that a later one recorded anew.
        """
        if name is not None:
            return self._rows(
                ("model", name), lambda: pa.table(self._tables.series(name, "model").columns())
            )

        def build() -> pa.Table:
            return statistics_table(self._tables.model(superseded=superseded))

        return self._rows(("model", None, superseded), build)

    def histograms(self, tensor: str, of: str = "weight") -> pa.Table:
        """Histograms of a parameter's `weight` or `gradient`: step, time, low, high, counts.

        The counts are of equally wide bins from `low` to `high`; null where those are not finite.
        """

        def build() -> pa.Table:
            return histogram_table(self._tables.model(), tensor, of)

        return self._rows(("histograms", tensor, of), build)

    def nets(self) -> dict[str, dict[str, Any]]:
        """The nets that were followed as they were defined, by name: usually one, named ""."""
        return nets(self.facts)

    def table(self, *names: str) -> pa.Table:
        """Several series aligned by step: step, and a column a series; all when none is named.

        Of a step that was logged more than once the last value; null where a series has none. Rows
        without a step are left out.
        """

        def build() -> pa.Table:
            return self._tables.aligned(names or self._tables.names())

        return self._rows(("table", names), build)

    def follow(self, poll_s: float = 0.5) -> Iterator[pa.Table]:
        """Yield tables (time, step, name, value) of new rows until the run has ended."""
        from labbook.book.follow import follow

        return follow(self, poll_s)

    def gauges(self) -> pa.Table:
        """All gauges: time, step, name, value; by time and name."""
        return self._rows("gauges", lambda: self._tables.long("gauges"))

    def gauge_points(self) -> dict[tuple[str, str], Points]:
        """All gauges as numpy columns by (writer, name), each by time."""
        return self._rows("gauge_points", self._tables.gauges)

    def last_gauges(self) -> dict[tuple[str, str], tuple[int, float | None]]:
        """The newest reading of each gauge by (writer, name), as (time in ms, value).

        Of a live run: what is sealed, some minutes old, is not looked at.
        """
        return self._rows("last_gauges", self._tables.last_gauges)

    def machine_use(self) -> MachineUse | None:
        """How the run used its machine, from its gauges; None when there are none."""
        from labbook.book.machine_use import machine_use

        return self._remembered("machine_use", lambda: machine_use(self))

    def events(self) -> pa.Table:
        """All events: time, step, kind, text, fields (a JSON object as text); by time."""
        return self._rows("events", self._tables.events)

    def chosen_sets(self) -> list[str]:
        """Names of the chosen sets."""
        return self._rows("chosen_sets", self._tables.chosen_sets)

    def examples(self, name: str = "chosen") -> pa.Table:
        """A chosen set's inputs and targets: example, index, input…, target….

        Arrays are flattened; the schema metadata `labbook` holds their shapes. Raises `StoreError`
        when there is no such set.
        """
        return self._chosen_set(name, "examples", lambda: self._tables.examples(name))

    def chosen(self, name: str = "chosen", *, superseded: bool = False) -> pa.Table:
        """A chosen set's observations: step, time, example, loss, output…; by example and step.

        Raises `StoreError` when there is no such set.
        """

        def build() -> pa.Table | None:
            return self._tables.chosen(name, superseded=superseded)

        return self._chosen_set(name, ("chosen", superseded), build)

    def _chosen_set(self, name: str, key: Any, build: Callable[[], pa.Table | None]) -> pa.Table:
        found = self._rows((key, name), build)
        if found is not None:
            return found
        sets = self.chosen_sets()
        if name not in sets:
            known = ", ".join(sets) or "none"
            raise StoreError(f"run {self.id} has no chosen set {name!r}; it has: {known}")
        kind = pa.int32()
        columns = [("example", kind)] if key == "examples" else _OBSERVED
        return pa.schema(columns).empty_table()

    # ------------------------------------------------------------------ files

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints by step; files are never opened here."""
        return list(self._checkpoints)

    def results(self, evaluation: str | None = None, *, strict: bool = True) -> list[Result]:
        """Results by evaluation and step.

        A result that cannot be read raises `DamagedFile`; with `strict=False` it is left out, and
        named in `damage`.
        """
        if strict and self._results.damage:
            raise DamagedFile("; ".join(self._results.damage.values()))
        found = self._results.all()
        return [r for r in found if evaluation is None or r.evaluation == evaluation]

    def reasons(self) -> list[dict[str, Any]]:
        """Why checkpoints have no result, oldest first."""
        return read_reasons(self.paths)[0]

    # ------------------------------------------------------------------ inside

    def _rows(self, key: Any, build: Callable[[], _T]) -> _T:
        """Build from rows once a refresh; read the seals anew when a part was replaced."""
        if self._unreadable is not None:
            raise self._unreadable
        if key in self._memory:
            return self._memory[key]  # type: ignore[no-any-return]
        for _ in range(RETRIES):
            try:
                return self._remembered(key, build)
            except FileNotFoundError as error:
                missing = error.filename
            self._refresh_rows()
            self._memory.clear()
            if self._unreadable is not None:
                raise self._unreadable
        raise DamagedFile(f"{missing} is named by a seal of {self.id}, and is not there")

    def _remembered(self, key: Any, build: Callable[[], _T]) -> _T:
        if key not in self._memory:
            self._memory[key] = build()
        return self._memory[key]  # type: ignore[no-any-return]


_OBSERVED = [("step", pa.int64()), ("time", pa.timestamp("ms", "UTC")), ("example", pa.int32())]
