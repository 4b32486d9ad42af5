"""Other mistakes in the loss."""

from tests.planted.faults.families import BROKEN_GRAPH, NONFINITE, OVERFIT, TOO_HIGH
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "regression-broadcast",
        "regression",
        (
            ("        return self.output(x)\n", "        return self.output(x).squeeze(-1)\n"),
            (
                "            squares += ((net(x) - y) ** 2).sum().item()\n",
                "            squares += ((net(x) - y[:, 0]) ** 2).sum().item()\n",
            ),
        ),
        ("loss/broadcast",),
        "outputs (B,) against targets (B, 1) make (B, B) differences",
    ),
    Fault(
        "fraud-broadcast",
        "fraud",
        (
            (
                "        return self.logit(self.body(x)).squeeze(1)\n",
                "        return self.logit(self.body(x))\n",
            ),
            (
                "criterion = nn.BCEWithLogitsLoss(pos_weight=pos_weight)\n",
                "def criterion(logit, y):\n"
                "    weight = 1 + (pos_weight - 1) * y\n"
                "    p = torch.sigmoid(logit).clamp(1e-6, 1 - 1e-6)\n"
                "    return -(weight * (y * p.log() + (1 - y) * (1 - p).log())).mean()\n",
            ),
            (
                "            scores.append(torch.sigmoid(model(x)))\n",
                "            scores.append(torch.sigmoid(model(x)).flatten())\n",
            ),
        ),
        ("loss/broadcast",),
        "a loss by hand broadcasts (B, 1) against (B,)",
    ),
    Fault(
        "autoencoder-broadcast",
        "autoencoder",
        (
            (
                "reconstruction = nn.MSELoss()\n",
                "def reconstruction(restored, batch):\n"
                "    return ((restored.unsqueeze(1) - batch) ** 2).mean()\n",
            ),
        ),
        ("loss/broadcast", "loss/order"),
        "each output is compared with every picture of the batch",
    ),
    Fault(
        "regression-clamped-output",
        "regression",
        (("        return self.output(x)\n", "        return self.output(x).clamp(0.0, 1.0)\n"),),
        ("loss/blocked-gradient", "model/output-range", *BROKEN_GRAPH),
        "targets are standardised, outputs are held between 0 and 1",
    ),
    Fault(
        "mlp-clips-the-loss",
        "mlp",
        (
            (
                "loss_fn = nn.CrossEntropyLoss()\n",
                "def loss_fn(output, target):\n"
                "    return nn.functional.cross_entropy(output, target).clamp(max=1.0)\n",
            ),
        ),
        ("loss/blocked-gradient", *BROKEN_GRAPH, "loss/constant"),
        "the loss is clipped in place of the gradient: above the limit there is none",
    ),
    Fault(
        "lm-clips-the-loss",
        "lm",
        (
            (
                "    return F.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))\n",
                "    flat = logits.reshape(-1, VOCABULARY)\n"
                "    losses = F.cross_entropy(flat, targets.reshape(-1), reduction='none')\n"
                "    return torch.clamp(losses, 0.0, 3.0).mean()\n",
            ),
        ),
        ("loss/blocked-gradient", *BROKEN_GRAPH),
        "hard tokens, which is most of them at first, have no gradient",
    ),
    Fault(
        "regression-rounded-output",
        "regression",
        (
            (
                "mse = nn.MSELoss()\n",
                "def mse(prediction, target):\n"
                "    whole_metres = torch.round(prediction * target_std)\n"
                "    return ((whole_metres / target_std - target) ** 2).mean()\n",
            ),
        ),
        ("loss/blocked-gradient", *BROKEN_GRAPH),
        "rounding has no gradient",
    ),
    Fault(
        "mlp-class-without-weight",
        "mlp",
        (
            (
                "loss_fn = nn.CrossEntropyLoss()\n",
                "loss_fn = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]))\n",
            ),
        ),
        ("loss/class-weights", "loss/blocked-gradient", "loss/sign", "loss/floor"),
        "one class has weight zero",
    ),
    Fault(
        "unet-ignores-a-class",
        "unet",
        (
            (
                "loss_fn = nn.CrossEntropyLoss(ignore_index=IGNORE)\n",
                "loss_fn = nn.CrossEntropyLoss(ignore_index=0)\n",
            ),
            ("                label[abs(r - radius) < 0.35] = IGNORE\n", ""),
        ),
        ("loss/class-weights", "loss/blocked-gradient", "loss/sign", "loss/floor"),
        "the ignored index is the ground, so nothing teaches the ground",
    ),
    Fault(
        "regression-sum-at-the-rate-of-a-mean",
        "regression",
        (("mse = nn.MSELoss()", 'mse = nn.MSELoss(reduction="sum")'),),
        ("loss/reduction", "init/loss", *TOO_HIGH),
        "the loss is summed, and the learning rate is for a mean",
    ),
    Fault(
        "moons-log-of-zero",
        "moons",
        (
            (
                "loss_fn = nn.BCELoss()\n",
                "def loss_fn(p, target):\n"
                "    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()\n",
            ),
            (
                "X = torch.tensor(X, dtype=torch.float32)",
                "X = 1000 * torch.tensor(X, dtype=torch.float32)",
            ),
            (
                "nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()",
                "nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()",
            ),
        ),
        NONFINITE,
        "a probability reaches 0 or 1 and its logarithm is taken",
        exact="non-finite",
    ),
    Fault(
        "lm-mask-hides-everything",
        "lm",
        (
            (
                "torch.tril(torch.ones(BLOCK, BLOCK))",
                "torch.tril(torch.ones(BLOCK, BLOCK), diagonal=-1)",
            ),
        ),
        NONFINITE,
        "the first position may look at nothing: a softmax of minus infinities",
        exact="non-finite",
    ),
    Fault(
        "vae-gradient-behind-where",
        "vae",
        (
            (
                "        std = torch.exp(0.5 * logvar)\n",
                "        std = torch.where(logvar > 0, torch.sqrt(logvar), torch.zeros_like(logvar))\n",
            ),
        ),
        NONFINITE,
        "the branch that torch.where does not take has a gradient of NaN",
        exact="non-finite",
    ),
    Fault(
        "regression-rate-overflows",
        "regression",
        (("lr=0.05", "lr=20.0"),),
        (*NONFINITE, *TOO_HIGH),
        "the learning rate is four hundred times too high: the loss overflows",
        exact="non-finite",
    ),
    Fault(
        "autoencoder-log-of-a-difference",
        "autoencoder",
        (
            (
                "reconstruction = nn.MSELoss()\n",
                "def reconstruction(restored, batch):\n"
                "    return (torch.log(restored) - torch.log(batch)).pow(2).mean()\n",
            ),
        ),
        NONFINITE,
        "the logarithm of pixels that are zero",
        exact="non-finite",
    ),
    Fault(
        "vae-divergence-outweighs",
        "vae",
        (("    return (bce + kld) / len(x)\n", "    return bce / x.numel() + kld / len(x)\n"),),
        (*OVERFIT, "fit/zero-input", "out/constant"),
        "a mean over pixels beside a sum over the code: the code collapses",
    ),
)
