"""The same examples in two runs: who learned what first, and which examples only one gets right.

Invariant: examples are compared only when the digests of both chosen sets say that they are the
same; else it is said which differ.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labbook.dynamics.arrow import known
from labbook.dynamics.columns import Ints
from labbook.dynamics.examples import examples
from labbook.dynamics.looking import pairs
from labbook.dynamics.observed import Observed, observed

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["Between", "between", "mcnemar"]

_BOTH = ("first_correct", "stays_correct_from", "forgettings", "status", "mean_loss", "confidence")


@dataclass(frozen=True)
class Between:
    """Two runs on one chosen set.

    `reason` says why they cannot be compared, None when they can; then `differing` names the
    examples of which that is so. `steps` were observed in both. `caveat` is what speaks against
    the comparison.
    """

    a: str
    b: str
    name: str
    reason: str | None
    caveat: str | None
    steps: tuple[int, ...]
    step_a: int | None
    step_b: int | None
    """The last observation compared: one step when there are steps in common."""
    table: pa.Table | None
    differing: pa.Table
    n_shared: int
    """Examples that are in both sets, by their digests."""

    @property
    def is_comparable(self) -> bool:
        """Whether the examples are known to be the same."""
        return self.reason is None

    def only_right_in(self, run: str) -> list[int]:
        """The examples that, at the last observation, "a" (or "b") gets right and the other not."""
        if self.table is None:
            return []
        mine, other = ("is_right_a", "is_right_b") if run == "a" else ("is_right_b", "is_right_a")
        rows = pc.and_(self.table.column(mine), pc.invert(self.table.column(other)))
        found: list[int] = self.table.filter(rows).column("example").to_pylist()
        return found

    @property
    def p_value(self) -> float | None:
        """See `mcnemar`; None when nothing is known to be right or wrong in both."""
        if self.table is None:
            return None
        one, other = self.table.column("is_right_a"), self.table.column("is_right_b")
        if not pc.any(pc.and_(one.is_valid(), other.is_valid())).as_py():
            return None
        return mcnemar(len(self.only_right_in("a")), len(self.only_right_in("b")))


def between(
    a: RunReader | Observed,
    b: RunReader | Observed,
    name: str | None = None,
) -> Between:
    """Compare two runs example by example, over the steps at which both were observed.

    When no step was observed in both, each run's own observations are compared and `caveat` says
    so. Columns of `table`: `example`, `index`, `target`; with `_a` and `_b`: `first_correct`,
    `stays_correct_from`, `forgettings`, `status`, `mean_loss`, `confidence` (as `examples` has
    them), `loss`, `prediction`, `is_right` (at the last observation compared); `first` ("a", "b" or
    "same": in which run it was right first, "same" also when both have never been; null when
    unknown); `loss_difference` and `mean_loss_difference`, b - a.

    `name` as in `read`. Raises as `read`.
    """
    one, other = observed(a, name), observed(b, name)
    differing, n_shared = _differing(one, other)
    reason = _reason(one, other)
    steps = np.intersect1d(one.step, other.step)
    caveat, table = None, None
    if reason is None:
        if len(steps):
            one, other = one.only(steps), other.only(steps)
        elif len(one.step) and len(other.step):
            caveat = "no step was observed in both runs: each run's own observations are compared"
        table = _side_by_side(one, other)
    return Between(
        one.run,
        other.run,
        one.name,
        reason,
        caveat,
        tuple(steps.tolist()),
        _last(one.step),
        _last(other.step),
        table,
        differing,
        n_shared,
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """How likely so uneven a split is by chance when both runs are equally often right.

    The exact, two-sided test of McNemar: 2 · P(X ≤ min(b, c)) with X binomial(b + c, ½), at most 1
    (McNemar, Psychometrika 12, 1947; Fagerland, Lydersen and Laake, BMC Medical Research
    Methodology 13:91, 2013, eq. 3). `only_a`, `only_b`: examples that only one of them gets right.
    """
    n, least = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, i) for i in range(least + 1))
    return min(1.0, 2 * tail / (1 << n))


def _reason(a: Observed, b: Observed) -> str | None:
    if a.digest is None or b.digest is None:
        return "whether the examples are the same is not known: a set has no digest"
    return None if a.digest == b.digest else "the examples are not the same"


def _side_by_side(a: Observed, b: Observed) -> pa.Table:
    left, right = examples(a), examples(b)
    ids = [int(example) for example in np.intersect1d(a.example, b.example)]
    rows = [pa.array(np.searchsorted(seen.example, ids)) for seen in (a, b)]
    left, right = left.take(rows[0]), right.take(rows[1])
    fields = {field: left.column(field) for field in ("example", "index", "target")}
    for field in _BOTH:
        fields[f"{field}_a"], fields[f"{field}_b"] = left.column(field), right.column(field)
    now_a, now_b = pairs(a, ids), pairs(b, ids)
    for field in ("loss", "prediction", "is_right"):
        fields[f"{field}_a"], fields[f"{field}_b"] = now_a.column(field), now_b.column(field)
    fields["first"] = _first(left, right)
    for field in ("loss", "mean_loss"):
        fields[f"{field}_difference"] = pc.subtract(fields[f"{field}_b"], fields[f"{field}_a"])
    return pa.table(fields)


def _first(a: pa.Table, b: pa.Table) -> pa.Array:
    """In which run each example was right first."""
    never = np.iinfo(np.int64).max
    step_a, step_b = (t.column("first_correct").fill_null(never).to_numpy() for t in (a, b))
    word = np.where(step_a == step_b, "same", np.where(step_a < step_b, "a", "b"))
    is_known = pc.and_(a.column("status").is_valid(), b.column("status").is_valid())
    return known(word.tolist(), is_known.to_numpy(), pa.string())


def _differing(a: Observed, b: Observed) -> tuple[pa.Table, int]:
    """Examples of either set that the other has not, matched by their place in the data."""
    one, other = _digests(a), _digests(b)
    shared = Counter(filter(None, one.values())) & Counter(filter(None, other.values()))
    rows = []
    for index in sorted(one.keys() | other.keys()):
        is_in = index in one, index in other
        if is_in == (True, True):
            if one[index] is not None and one[index] == other[index]:
                continue
            why = "other content" if None not in (one[index], other[index]) else "not known"
        else:
            why = "only in a" if is_in[0] else "only in b"
        rows.append({"index": index, "why": why})
    schema = pa.schema([("index", pa.int64()), ("why", pa.string())])
    return pa.Table.from_pylist(rows, schema), shared.total()


def _digests(seen: Observed) -> dict[int, int | None]:
    """Place in the data -> the first 8 bytes of the example's digest, None when not known."""
    if "index" not in seen.inputs.column_names:
        return {}
    index = seen.inputs.column("index").to_pylist()
    digest = [None] * len(index)
    if "digest" in seen.inputs.column_names:
        digest = seen.inputs.column("digest").to_pylist()
    return dict(zip(index, digest, strict=True))


def _last(steps: Ints) -> int | None:
    return int(steps[-1]) if len(steps) else None
