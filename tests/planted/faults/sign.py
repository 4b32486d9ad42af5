"""Losses that are maximised."""

from tests.planted.faults.families import NO_UPDATE, SIGN
from tests.planted.program import Fault

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
        exact="sign",
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
        exact="sign",
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
        exact="sign",
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
        exact="sign",
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
        exact="sign",
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
        exact="sign",
    ),
    Fault(
        "mlp-maximize",
        "mlp",
        (("lr=LEARNING_RATE)", "lr=LEARNING_RATE, maximize=True)"),),
        SIGN,
        "the optimizer is told to maximise",
        exact="sign",
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
        (*SIGN, *NO_UPDATE, "loss/diverging", "loss/nonfinite", "loop/nonfinite"),
        "an update written by hand goes up the gradient",
        exact="sign",
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
)
