"""Every planted fault, by area."""

from tests.planted.faults import (
    data,
    evaluation,
    initialization,
    loop,
    loss,
    model,
    optimizer,
)

FAULTS = (
    *data.FAULTS,
    *model.FAULTS,
    *initialization.FAULTS,
    *loss.FAULTS,
    *optimizer.FAULTS,
    *loop.FAULTS,
    *evaluation.FAULTS,
)
