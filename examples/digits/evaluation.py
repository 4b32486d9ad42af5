"""Evaluate each checkpoint of train.py on all 450 validation digits.

    labbook watch examples/digits/evaluation.py

Runs in a process of its own: training never waits for it.
"""

from torch.nn import functional as F
from train import digits, network

import labbook


@labbook.evaluation
class Validation:
    """One row per digit: its loss, the ten logits, and whether the largest is the right one."""

    def setup(self, context):
        return network(context.args.width)  # labbook loads each checkpoint's weights into it

    def data(self, context):
        _, val = digits()
        return val

    def step(self, context, batch):
        images, labels = batch
        logits = context.model(images)  # (N, 10)
        return {
            "loss": F.cross_entropy(logits, labels, reduction="none"),
            "logits": logits,
            "accuracy": logits.argmax(1) == labels,
        }
