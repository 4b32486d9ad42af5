"""Rules that say the same thing of a program, where more than one may come first."""

OVERFIT = ("fit/overfit-1", "fit/overfit-few", "fit/overfit-many")
MIXING = ("model/batch-mixing", "model/batch-dim", "model/batch-mixing-eval")
SIGN = ("loss/sign", "loss/unbounded-below", "grad/not-descent", "optim/ascent")
SOFTMAX = ("loss/probabilities-as-logits", "loss/floor")
BROKEN_GRAPH = ("grad/loss-detached", "grad/none", "grad/zero", "grad/input")
NOT_IN_OPTIMIZER = (
    "optim/missing-parameters",
    "optim/mostly-frozen",
    "optim/foreign-parameters",
    "model/unregistered",
)
NO_UPDATE = ("optim/no-update", "optim/step-missing", "loop/no-step")
TARGET_RANGE = ("data/target-range", "data/label-wrap")
NONFINITE = (
    "data/nonfinite",
    "init/nonfinite",
    "loss/nonfinite",
    "loss/nonfinite-forward",
    "grad/nonfinite",
    "loop/nonfinite",
)
TOO_LOW = ("optim/lr-too-low", "loss/no-progress", *OVERFIT)
TOO_HIGH = ("optim/lr-at-edge", "loss/diverging", "loss/nonfinite", "loop/nonfinite", *OVERFIT)
UNSCALED = ("data/not-standardized", "data/feature-scales")
MISALIGNED = ("fit/zero-input",)
WEAK = (*OVERFIT, "fit/zero-input", "baseline/random-features")

EXACT = {
    "stale gradient": ("loop/stale-grad",),
    "eval mode": ("eval/train-mode",),
    "batch mixing": MIXING,
    "sign": SIGN,
    "double softmax": SOFTMAX,
    "frozen or missing parameters": NOT_IN_OPTIMIZER,
    "target range": TARGET_RANGE,
    "non-finite": NONFINITE,
}
"""Checks that decide rather than judge: they may neither miss a fault nor alarm without one."""
