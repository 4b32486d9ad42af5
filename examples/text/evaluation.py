"""Evaluate each checkpoint of train.py on every byte of the held-out files.

    labbook watch examples/text/evaluation.py

Windows at the end of a file are shorter than the others, so metrics are weighted by their bytes.
"""

import math

from torch.nn import functional as F
from train import NOTHING, Transformer, files, windows

import labbook


@labbook.evaluation(weight="n_tokens")
class HeldOut:
    """One row per window: its mean loss, and the share of bytes that were the likeliest."""

    def setup(self, context):
        args = context.args
        return Transformer(args.context, args.width, args.layers)

    def data(self, context):
        _, held_out = files()
        return windows(held_out, context.args.context)

    def step(self, context, batch):
        tokens, following = batch
        logits = context.model(tokens).transpose(1, 2)  # (N, 256, T)
        losses = F.cross_entropy(logits, following, reduction="none", ignore_index=NOTHING)
        n_tokens = (following != NOTHING).sum(1)
        loss = losses.sum(1) / n_tokens
        return {
            "loss": loss,
            "bits_per_byte": loss / math.log(2),
            "accuracy": (logits.argmax(1) == following).sum(1) / n_tokens,
            "n_tokens": n_tokens,
        }
