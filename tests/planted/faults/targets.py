"""Mistakes in what the model is asked for."""

from tests.planted.faults.families import TARGET_RANGE, UNSCALED
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "regression-targets-in-metres",
        "regression",
        (
            (
                "targets = (targets - target_mean) / target_std\n",
                "targets = targets * 100\ntarget_std = torch.tensor(1.0)\n",
            ),
            ("lr=0.05", "lr=1e-8"),
        ),
        ("data/target-scale", "init/loss", "init/output-bias"),
        "targets in centimetres, in the thousands",
    ),
    Fault(
        "mlp-labels-from-one",
        "mlp",
        (
            ("torch.tensor(y_train)", "torch.tensor(y_train + 1)"),
            ("torch.tensor(y_val)", "torch.tensor(y_val + 1)"),
        ),
        TARGET_RANGE,
        "labels from 1 to 5",
        exact="target range",
    ),
    Fault(
        "unet-borders-not-ignored",
        "unet",
        (("nn.CrossEntropyLoss(ignore_index=IGNORE)", "nn.CrossEntropyLoss()"),),
        TARGET_RANGE,
        "the label 255 is not ignored",
        exact="target range",
    ),
    Fault(
        "tagger-padding-of-minus-one",
        "tagger",
        (
            (
                "torch.full((len(items), longest), IGNORE)",
                "torch.full((len(items), longest), -1)",
            ),
        ),
        TARGET_RANGE,
        "labels are padded with -1, the loss ignores -100",
        exact="target range",
    ),
    Fault(
        "fraud-labels-of-plus-and-minus",
        "fraud",
        (
            (
                "        return self.x[i], self.y[i]\n",
                "        return self.x[i], 2 * self.y[i] - 1\n",
            ),
            ("            truth.append(y)\n", "            truth.append((y > 0).float())\n"),
        ),
        (*TARGET_RANGE, "loss/unbounded-below", "loss/sign"),
        "labels of -1 and 1 for a binary cross entropy",
        exact="target range",
    ),
    Fault(
        "moons-labels-to-255",
        "moons",
        (
            (
                "y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)  # (1000, 1)\n",
                "y = torch.tensor(y * 255, dtype=torch.float32).unsqueeze(1)\n",
            ),
        ),
        (*TARGET_RANGE, "loss/unbounded-below"),
        "labels are those of a mask image, 0 and 255",
        exact="target range",
    ),
    Fault(
        "autoencoder-bce-of-raw-pixels",
        "autoencoder",
        (
            ("load_digits().data / 16.0", "load_digits().data"),
            ("reconstruction = nn.MSELoss()", "reconstruction = nn.BCELoss()"),
        ),
        (
            *TARGET_RANGE,
            *UNSCALED,
            "model/output-range",
            "loss/unbounded-below",
            "data/target-scale",
        ),
        "binary cross entropy of pixels from 0 to 16",
        exact="target range",
    ),
    Fault(
        "cnn-ten-digits-nine-outputs",
        "cnn",
        (("self.fc2 = nn.Linear(64, 10)", "self.fc2 = nn.Linear(64, 9)"),),
        TARGET_RANGE,
        "one output too few for the labels",
        exact="target range",
    ),
    Fault(
        "lm-target-not-shifted",
        "lm",
        (
            (
                "        y = self.tokens[start + 1 : start + BLOCK + 1]\n",
                "        y = self.tokens[start : start + BLOCK]\n",
            ),
        ),
        ("lm/target-not-shifted",),
        "the model is asked for the character it is given",
    ),
    Fault(
        "lm-target-shifted-back",
        "lm",
        (
            (
                "        start = self.starts[i]\n",
                "        start = self.starts[i] + 1\n",
            ),
            (
                "        y = self.tokens[start + 1 : start + BLOCK + 1]\n",
                "        y = self.tokens[start - 1 : start + BLOCK - 1]\n",
            ),
        ),
        ("lm/target-not-shifted",),
        "the target is the previous character, which the model has seen",
    ),
)
