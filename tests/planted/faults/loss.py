"""Mistakes in the loss."""

from tests.planted.faults.families import (
    BROKEN_GRAPH,
    NO_UPDATE,
    NONFINITE,
    OVERFIT,
    SIGN,
    SOFTMAX,
    TOO_HIGH,
)
from tests.planted.program import Fault

SIGNED = "sign"
DOUBLE = "double softmax"
FINITE = "non-finite"

FAULTS = (
    Fault(
        "regression-negated-error",
        "regression",
        (
            (
                "mse = nn.MSELoss()\n",
                "def mse(prediction, target):\n    return -torch.mean((prediction - target) ** 2)\n",
            ),
            ("lr=0.05, momentum=0.9", "lr=0.005"),
        ),
        SIGN,
        "the error is maximised",
        SIGNED,
    ),
    Fault(
        "gru-log-likelihood-without-minus",
        "gru",
        (
            (
                "    return nn.functional.cross_entropy(logits, labels)\n",
                "    log_probabilities = nn.functional.log_softmax(logits, dim=-1)\n"
                "    return log_probabilities.gather(1, labels[:, None]).mean()\n",
            ),
        ),
        SIGN,
        "the log likelihood is minimised",
        SIGNED,
    ),
    Fault(
        "lm-log-likelihood-without-minus",
        "lm",
        (
            (
                "    return F.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))\n",
                "    picked = F.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1))\n"
                "    return picked.squeeze(-1).mean()\n",
            ),
        ),
        SIGN,
        "the log likelihood of text is minimised",
        SIGNED,
    ),
    Fault(
        "moons-cross-entropy-without-minus",
        "moons",
        (
            (
                "loss_fn = nn.BCELoss()\n",
                "def loss_fn(p, target):\n"
                "    p = p.clamp(1e-6, 1 - 1e-6)\n"
                "    return (target * p.log() + (1 - target) * (1 - p).log()).mean()\n",
            ),
        ),
        SIGN,
        "written by hand, the minus forgotten",
        SIGNED,
    ),
    Fault(
        "autoencoder-minimises-similarity",
        "autoencoder",
        (
            (
                "reconstruction = nn.MSELoss()\n",
                "def reconstruction(restored, batch):\n"
                "    return nn.functional.cosine_similarity(restored, batch, dim=1).mean()\n",
            ),
        ),
        SIGN,
        "a similarity is minimised as though it were a distance",
        SIGNED,
    ),
    Fault(
        "fraud-minus-in-the-loop",
        "fraud",
        (
            (
                "        loss = criterion(model(x), y)\n",
                "        loss = -criterion(model(x), y)\n",
            ),
        ),
        SIGN,
        "the loop negates a loss that is right",
        SIGNED,
    ),
    Fault(
        "mlp-maximize",
        "mlp",
        (("lr=LEARNING_RATE)", "lr=LEARNING_RATE, maximize=True)"),),
        SIGN,
        "the optimizer is told to maximise",
        SIGNED,
    ),
    Fault(
        "regression-step-upwards",
        "regression",
        (
            (
                "            optimizer.step()\n",
                "            with torch.no_grad():\n"
                "                for p in net.parameters():\n"
                "                    p += 0.01 * p.grad\n",
            ),
        ),
        (*SIGN, *NO_UPDATE, "loss/diverging", "loss/nonfinite"),
        "an update written by hand goes up the gradient",
        SIGNED,
    ),
    Fault(
        "vae-divergence-negated",
        "vae",
        (
            (
                "    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())\n",
                "    kld = 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())\n",
            ),
        ),
        (*SIGN, "loss/nonfinite", "loss/negative"),
        "the divergence from the prior is maximised",
    ),
    Fault(
        "mlp-softmax-before-cross-entropy",
        "mlp",
        (
            (
                "        nn.Linear(64, N_CLASSES),\n",
                "        nn.Linear(64, N_CLASSES),\n        nn.Softmax(dim=1),\n",
            ),
        ),
        SOFTMAX,
        "the last layer is a softmax, and the loss takes another",
        DOUBLE,
    ),
    Fault(
        "cnn-softmax-in-the-loss",
        "cnn",
        (
            (
                "    return F.cross_entropy(output, target)\n",
                "    probabilities = F.softmax(output, dim=1)\n"
                "    return F.cross_entropy(probabilities, target)\n",
            ),
        ),
        SOFTMAX,
        "softmax, then cross entropy",
        DOUBLE,
    ),
    Fault(
        "gru-softmax-in-forward",
        "gru",
        (
            (
                "        return self.out(self.drop(last[-1]))\n",
                "        return torch.softmax(self.out(self.drop(last[-1])), dim=-1)\n",
            ),
        ),
        SOFTMAX,
        "forward returns probabilities",
        DOUBLE,
    ),
    Fault(
        "lm-softmax-before-cross-entropy",
        "lm",
        (
            (
                "    return F.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))\n",
                "    probabilities = logits.softmax(dim=-1)\n"
                "    return F.cross_entropy(probabilities.transpose(1, 2), targets)\n",
            ),
        ),
        SOFTMAX,
        "softmax over the vocabulary, then cross entropy",
        DOUBLE,
    ),
    Fault(
        "unet-softmax-layer",
        "unet",
        (
            (
                "        self.logits = nn.Conv2d(width, N_CLASSES, 1)\n",
                "        self.logits = nn.Sequential(\n"
                "            nn.Conv2d(width, N_CLASSES, 1), nn.Softmax(dim=1)\n"
                "        )\n",
            ),
        ),
        SOFTMAX,
        "a softmax over the classes of each pixel, then cross entropy",
        DOUBLE,
    ),
    Fault(
        "fraud-sigmoid-twice",
        "fraud",
        (
            (
                "        return self.logit(self.body(x)).squeeze(1)\n",
                "        return torch.sigmoid(self.logit(self.body(x))).squeeze(1)\n",
            ),
            (
                "            scores.append(torch.sigmoid(model(x)))\n",
                "            scores.append(model(x))\n",
            ),
        ),
        SOFTMAX,
        "a sigmoid in the model, and one in the loss",
        DOUBLE,
    ),
    Fault(
        "moons-logits-loss-of-probabilities",
        "moons",
        (("nn.BCELoss()", "nn.BCEWithLogitsLoss()"),),
        SOFTMAX,
        "the loss wants logits, the model ends in a sigmoid",
        DOUBLE,
    ),
    Fault(
        "tagger-softmax-before-cross-entropy",
        "tagger",
        (
            (
                "        logits = self.classifier(hidden)  # (B, T, tags)\n",
                "        logits = self.classifier(hidden).softmax(dim=-1)\n",
            ),
        ),
        SOFTMAX,
        "a model that returns its loss takes a softmax before it",
        DOUBLE,
    ),
    Fault(
        "cnn-nll-of-logits",
        "cnn",
        (
            (
                "    return F.cross_entropy(output, target)\n",
                "    return F.nll_loss(output, target)\n",
            ),
        ),
        (*SIGN, "loss/negative", "init/loss"),
        "the negative log likelihood without a log softmax falls for ever",
    ),
    Fault(
        "gru-nll-of-probabilities",
        "gru",
        (
            (
                "    return nn.functional.cross_entropy(logits, labels)\n",
                "    return nn.functional.nll_loss(logits.softmax(dim=-1), labels)\n",
            ),
        ),
        (*SOFTMAX, "loss/negative", "init/loss"),
        "the log is missing: the loss is a negative probability",
    ),
    Fault(
        "cnn-softmax-over-the-batch",
        "cnn",
        (
            (
                "    return F.cross_entropy(output, target)\n",
                "    return F.nll_loss(F.log_softmax(output, dim=0), target)\n",
            ),
        ),
        ("loss/batch-softmax", "loss/order"),
        "the softmax runs over the batch, not over the classes",
    ),
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
        FINITE,
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
        FINITE,
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
        FINITE,
    ),
    Fault(
        "regression-rate-overflows",
        "regression",
        (("lr=0.05", "lr=20.0"),),
        (*NONFINITE, *TOO_HIGH),
        "the learning rate is four hundred times too high: the loss overflows",
        FINITE,
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
        FINITE,
    ),
    Fault(
        "vae-divergence-outweighs",
        "vae",
        (("    return (bce + kld) / len(x)\n", "    return bce / x.numel() + kld / len(x)\n"),),
        (*OVERFIT, "fit/zero-input", "out/constant"),
        "a mean over pixels beside a sum over the code: the code collapses",
    ),
)
