"""Mistakes in rates, decay, clipping and schedules."""

from tests.planted.faults.families import OVERFIT, TOO_HIGH, TOO_LOW
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "mlp-rate-too-low",
        "mlp",
        (("LEARNING_RATE = 1e-3", "LEARNING_RATE = 1e-8"),),
        TOO_LOW,
        "the learning rate is a hundred thousand times too low",
    ),
    Fault(
        "lm-rate-too-low",
        "lm",
        (("lr=3e-3", "lr=3e-7"),),
        TOO_LOW,
        "the learning rate is ten thousand times too low",
    ),
    Fault(
        "regression-rate-of-another-optimizer",
        "regression",
        (("lr=0.05, momentum=0.9", "lr=1e-5"),),
        TOO_LOW,
        "plain SGD with a rate for Adam",
    ),
    Fault(
        "gru-rate-zero",
        "gru",
        (("lr=5e-3", "lr=0"),),
        ("optim/rate-zero", *TOO_LOW, "optim/no-update"),
        "the learning rate is an integer division that came to zero",
    ),
    Fault(
        "cnn-rate-too-high",
        "cnn",
        (("lr=2e-3", "lr=0.5"),),
        TOO_HIGH,
        "a learning rate for SGD, given to Adam",
    ),
    Fault(
        "mlp-rate-too-high",
        "mlp",
        (("LEARNING_RATE = 1e-3", "LEARNING_RATE = 10"),),
        TOO_HIGH,
        "a learning rate of ten",
    ),
    Fault(
        "resnet-rate-too-high",
        "resnet",
        (("lr=0.05", "lr=30.0"),),
        TOO_HIGH,
        "a learning rate of thirty",
    ),
    Fault(
        "regression-momentum-near-one",
        "regression",
        (("momentum=0.9", "momentum=0.9999"),),
        TOO_HIGH,
        "momentum of 0.9999 never forgets the first steps",
    ),
    Fault(
        "fraud-decays-away",
        "fraud",
        (("weight_decay=1e-2", "weight_decay=30.0"),),
        ("optim/decay", *OVERFIT),
        "weight decay of thirty takes six per cent of each weight at every step",
    ),
    Fault(
        "resnet-decays-away",
        "resnet",
        (("weight_decay=5e-4", "weight_decay=0.5"),),
        ("optim/decay", *OVERFIT),
        "weight decay a thousand times the usual",
    ),
    Fault(
        "mlp-penalty-too-strong",
        "mlp",
        (
            (
                "            loss = loss_fn(logits, y)\n",
                "            penalty = sum(p.abs().sum() for p in model.parameters())\n"
                "            loss = loss_fn(logits, y) + 0.1 * penalty\n",
            ),
        ),
        ("optim/decay", *OVERFIT, "loss/no-progress", "out/constant"),
        "an L1 penalty that outweighs the loss",
    ),
    Fault(
        "regression-clips-to-nothing",
        "regression",
        (
            (
                "            optimizer.step()\n",
                "            nn.utils.clip_grad_norm_(net.parameters(), 1e-4)\n"
                "            optimizer.step()\n",
            ),
        ),
        ("optim/grad-clip-always", "optim/update-ratio", *TOO_LOW),
        "the gradient is clipped to a norm of 1e-4",
    ),
    Fault(
        "resnet-clips-values-to-nothing",
        "resnet",
        (
            (
                "        optimizer.step()\n",
                "        nn.utils.clip_grad_value_(model.parameters(), 1e-6)\n"
                "        optimizer.step()\n",
            ),
        ),
        ("optim/grad-clip-always", "optim/update-ratio", *TOO_LOW),
        "each element of the gradient is clipped to 1e-6",
    ),
    Fault(
        "cnn-schedule-per-step",
        "cnn",
        (
            (
                "            done += 1\n        scheduler.step()\n",
                "            done += 1\n            scheduler.step()\n",
            ),
        ),
        ("optim/schedule-horizon",),
        "a schedule in epochs is stepped per batch",
    ),
    Fault(
        "mlp-schedule-per-step",
        "mlp",
        (
            (
                "    step = 0\n",
                "    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)\n"
                "    step = 0\n",
            ),
            (
                "            optimizer.step()\n",
                "            optimizer.step()\n            scheduler.step()\n",
            ),
        ),
        ("optim/schedule-horizon",),
        "a decay of 0.9 an epoch is applied at every batch",
    ),
    Fault(
        "resnet-schedule-too-short",
        "resnet",
        (
            (
                "CosineAnnealingLR(optimizer, T_max=n_steps)",
                "PolynomialLR(optimizer, total_iters=n_steps // 8, power=2)",
            ),
        ),
        ("optim/schedule-horizon",),
        "the schedule ends after an eighth of the training",
    ),
    Fault(
        "lm-warm-up-never-ends",
        "lm",
        (("    warm_up = max(1, n_steps // 20)\n", "    warm_up = 200_000\n"),),
        ("optim/schedule-horizon", *TOO_LOW),
        "the warm-up of a larger run outlasts this one",
    ),
    Fault(
        "tagger-schedule-not-stepped",
        "tagger",
        (("            scheduler.step()\n", ""),),
        ("optim/schedule-horizon",),
        "a schedule is made and never stepped, so training stays at the first warm-up rate",
    ),
)
