"""What changed between runs: `diff` for two, `table` for more, `lineage` for where one came from.

Invariant: only records are compared. Nothing of a book is executed, no configuration or attribute
of a repository takes part, and what was not recorded is said to be unknown, never to be equal.

A *change* is one thing that a careful experimenter would have to undo alone: see
`labbook.compare.changes`.
"""

from labbook.compare.best import Best, Ranking, best
from labbook.compare.changes import Change
from labbook.compare.code import CodeDifference, FileChange
from labbook.compare.difference import Difference, Side, diff
from labbook.compare.gaps import Gap
from labbook.compare.lineage import Ancestor, lineage
from labbook.compare.paired import Interval
from labbook.compare.recorded import Section
from labbook.compare.results import (
    MetricPair,
    Paired,
    Results,
    SeriesPair,
    compare_results,
    examples_of,
)
from labbook.compare.several import Row, Table, table
from labbook.compare.values import Item

__all__ = [
    "Ancestor",
    "Best",
    "Change",
    "CodeDifference",
    "Difference",
    "FileChange",
    "Gap",
    "Interval",
    "Item",
    "MetricPair",
    "Paired",
    "Ranking",
    "Results",
    "Row",
    "Section",
    "SeriesPair",
    "Side",
    "Table",
    "best",
    "compare_results",
    "diff",
    "examples_of",
    "lineage",
    "table",
]
