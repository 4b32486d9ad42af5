"""Gradients that are not cleared, or cleared too early."""

from tests.planted.faults.families import NO_UPDATE
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "mlp-no-zero-grad",
        "mlp",
        (("            optimizer.zero_grad()\n", ""),),
        ("loop/stale-grad",),
        "gradients are never cleared",
        exact="stale gradient",
    ),
    Fault(
        "cnn-zero-grad-per-epoch",
        "cnn",
        (
            ("            optimizer.zero_grad()\n", ""),
            ("        model.train()\n", "        model.train()\n        optimizer.zero_grad()\n"),
        ),
        ("loop/stale-grad",),
        "gradients are cleared once per epoch",
        exact="stale gradient",
    ),
    Fault(
        "gru-zero-grad-now-and-then",
        "gru",
        (
            (
                "            optimizer.zero_grad()\n",
                "            if step % 4 == 0:\n                optimizer.zero_grad()\n",
            ),
        ),
        ("loop/stale-grad",),
        "clears every fourth step but steps every time: half of an accumulation",
        exact="stale gradient",
    ),
    Fault(
        "regression-zero-grad-not-called",
        "regression",
        (("            net.zero_grad()\n", "            net.zero_grad\n"),),
        ("loop/stale-grad",),
        "the parentheses are missing",
        exact="stale gradient",
    ),
    Fault(
        "lm-accumulates-for-ever",
        "lm",
        (("        optimizer.zero_grad(set_to_none=True)\n", ""),),
        ("loop/stale-grad",),
        "accumulation without a clear after the step",
        exact="stale gradient",
    ),
    Fault(
        "tagger-no-zero-grad",
        "tagger",
        (("            optimizer.zero_grad()\n", ""),),
        ("loop/stale-grad",),
        "gradients are never cleared, with a model that returns its loss",
        exact="stale gradient",
    ),
    Fault(
        "unet-clears-half",
        "unet",
        (("for p in model.parameters():\n", "for p in model.down.parameters():\n"),),
        ("loop/stale-grad",),
        "clears the gradients of the encoder alone",
        exact="stale gradient",
    ),
    Fault(
        "fraud-clears-another-optimizer",
        "fraud",
        (
            (
                "        optimizer.zero_grad()\n",
                "        make_optimizer(Detector()).zero_grad()\n",
            ),
        ),
        ("loop/stale-grad",),
        "clears the gradients of another model",
        exact="stale gradient",
    ),
    Fault(
        "vae-clears-before-step",
        "vae",
        (
            ("            optimizer.zero_grad()\n", ""),
            (
                "            loss.backward()\n",
                "            loss.backward()\n            optimizer.zero_grad()\n",
            ),
        ),
        ("loop/cleared-before-step", *NO_UPDATE),
        "the gradient is cleared between backward and step, so no step does anything",
    ),
)
