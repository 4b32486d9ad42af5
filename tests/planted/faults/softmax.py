"""Losses of probabilities where logits are wanted, and the reverse."""

from tests.planted.faults.families import SIGN, SOFTMAX
from tests.planted.program import Fault

FAULTS = (
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
        exact="double softmax",
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
        exact="double softmax",
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
        exact="double softmax",
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
        exact="double softmax",
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
        exact="double softmax",
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
        exact="double softmax",
    ),
    Fault(
        "moons-logits-loss-of-probabilities",
        "moons",
        (("nn.BCELoss()", "nn.BCEWithLogitsLoss()"),),
        SOFTMAX,
        "the loss wants logits, the model ends in a sigmoid",
        exact="double softmax",
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
        exact="double softmax",
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
        ("loss/probabilities-as-logits", *SIGN, "loss/negative", "init/loss"),
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
)
