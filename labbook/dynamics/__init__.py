"""Learning dynamics: what a chosen set's recorded rows say about how a net learns.

    import labbook

    run = labbook.open().run("wide")
    table = labbook.dynamics.examples(run)     # a row an example: learned, forgotten, mean loss …
    table = labbook.dynamics.steps(run)        # a row a step: quartiles, accuracy, collapse …
    table = labbook.dynamics.quantiles(run)    # the examples at the quartiles of the loss
    found = labbook.dynamics.between(run, other)

Each function takes a run's reader, or what `read` made of one: read once and ask often, for it
keeps what it computed. A reader's rows change with its `refresh`; read anew then.

Invariant: only recorded rows are measured, superseded ones left out; what they do not say is null.
"""

from labbook.dynamics.between import Between, between, mcnemar
from labbook.dynamics.examples import examples
from labbook.dynamics.inputs import Inputs, inputs
from labbook.dynamics.looking import Sample, histogram, history, pairs, place_of, quantiles, sample
from labbook.dynamics.missing import notes
from labbook.dynamics.observed import Observed, read
from labbook.dynamics.ordering import ORDERS, order
from labbook.dynamics.steps import steps

__all__ = [
    "ORDERS",
    "Between",
    "Inputs",
    "Observed",
    "Sample",
    "between",
    "examples",
    "histogram",
    "history",
    "inputs",
    "mcnemar",
    "notes",
    "order",
    "pairs",
    "place_of",
    "quantiles",
    "read",
    "sample",
    "steps",
]
