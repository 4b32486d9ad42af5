"""Every planted fault, by area."""

from tests.planted.faults import (
    clearing,
    evaluation,
    gradients,
    initialization,
    loop,
    loss,
    mixing,
    model,
    optimizer,
    ordering,
    parameters,
    sign,
    softmax,
    targets,
    values,
)

FAULTS = (
    *values.FAULTS,
    *ordering.FAULTS,
    *targets.FAULTS,
    *mixing.FAULTS,
    *gradients.FAULTS,
    *model.FAULTS,
    *initialization.FAULTS,
    *sign.FAULTS,
    *softmax.FAULTS,
    *loss.FAULTS,
    *parameters.FAULTS,
    *optimizer.FAULTS,
    *clearing.FAULTS,
    *loop.FAULTS,
    *evaluation.FAULTS,
)
