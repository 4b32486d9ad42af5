"""Other mistakes in the model."""

from tests.planted.faults.families import BROKEN_GRAPH, OVERFIT, WEAK
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "lm-shared-layer",
        "lm",
        (("nn.ModuleList([Layer(width) for _ in range(2)])", "nn.ModuleList([Layer(width)] * 2)"),),
        ("model/shared-by-accident",),
        "list multiplication makes one layer twice",
    ),
    Fault(
        "regression-unused-layer",
        "regression",
        (("        x = torch.relu(self.hidden2(x))\n", ""),),
        ("model/unused", "grad/none"),
        "a hidden layer is defined and never called",
    ),
    Fault(
        "cnn-result-dropped",
        "cnn",
        (
            (
                "        self.dropout = nn.Dropout(0.25)\n",
                "        self.conv3 = nn.Conv2d(32, 32, 3, padding=1)\n"
                "        self.dropout = nn.Dropout(0.25)\n",
            ),
            (
                "        x = torch.flatten(x, 1)\n",
                "        F.relu(self.conv3(x))\n        x = torch.flatten(x, 1)\n",
            ),
        ),
        ("model/unused", "grad/none"),
        "the result of a convolution is not assigned",
    ),
    Fault(
        "regression-layer-made-in-forward",
        "regression",
        (
            ("        self.output = nn.Linear(48, 1)\n", ""),
            ("        return self.output(x)\n", "        return nn.Linear(48, 1)(x)\n"),
        ),
        (
            "eval/not-repeatable",
            "optim/missing-parameters",
            "model/unregistered",
        ),
        "the last layer is made anew at each call",
    ),
    Fault(
        "cnn-functional-dropout",
        "cnn",
        (("        x = self.dropout(x)\n", "        x = F.dropout(x, 0.25)\n"),),
        ("eval/not-repeatable", "model/batch-mixing-eval"),
        "functional dropout stays on in evaluation",
    ),
    Fault(
        "gru-functional-dropout",
        "gru",
        (
            (
                "        return self.out(self.drop(last[-1]))\n",
                "        return self.out(nn.functional.dropout(last[-1], p=0.2, training=True))\n",
            ),
        ),
        ("eval/not-repeatable", "model/batch-mixing-eval"),
        "dropout with training=True",
    ),
    Fault(
        "vae-samples-in-evaluation",
        "vae",
        (("        if not self.training:\n            return mu\n", ""),),
        ("eval/not-repeatable",),
        "the code is sampled in evaluation, so that its figure changes from call to call",
    ),
    Fault(
        "mlp-dropout-of-nearly-all",
        "mlp",
        (("nn.Dropout(0.1)", "nn.Dropout(0.95)"),),
        ("model/dropout",),
        "the probability to keep is given as the probability to drop",
    ),
    Fault(
        "cnn-dropout-of-nearly-all",
        "cnn",
        (("nn.Dropout(0.25)", "nn.Dropout(0.97)"),),
        ("model/dropout",),
        "dropout of 97 %",
    ),
    Fault(
        "regression-relu-output",
        "regression",
        (("        return self.output(x)\n", "        return torch.relu(self.output(x))\n"),),
        ("model/output-range", "loss/blocked-gradient"),
        "outputs are not negative, half the targets are",
    ),
    Fault(
        "regression-sigmoid-output",
        "regression",
        (("        return self.output(x)\n", "        return torch.sigmoid(self.output(x))\n"),),
        ("model/output-range",),
        "outputs lie between 0 and 1, targets do not",
    ),
    Fault(
        "autoencoder-sigmoid-of-standardised",
        "autoencoder",
        (
            (
                "train_images, val_images = images[:1500], images[1500:]\n",
                "images = (images - images[:1500].mean()) / images[:1500].std()\n"
                "train_images, val_images = images[:1500], images[1500:]\n",
            ),
        ),
        ("model/output-range",),
        "pictures are standardised, and restored through a sigmoid",
    ),
    Fault(
        "cnn-relu-logits",
        "cnn",
        (("        return self.fc2(x)\n", "        return F.relu(self.fc2(x))\n"),),
        ("loss/blocked-gradient", "model/output-range", *BROKEN_GRAPH, "init/constant-output"),
        "a ReLU on the logits: classes whose logit is negative learn nothing",
    ),
    Fault(
        "mlp-softmax-activations",
        "mlp",
        (
            (
                "        nn.Linear(20, 64),\n        nn.ReLU(),\n        nn.Linear(64, 64),\n        nn.ReLU(),\n",
                "        nn.Linear(20, 64),\n        nn.Softmax(dim=1),\n"
                "        nn.Linear(64, 64),\n        nn.Softmax(dim=1),\n",
            ),
        ),
        (*OVERFIT, "fit/zero-input", "loss/no-progress"),
        "softmax as hidden activation",
    ),
    Fault(
        "mlp-bottleneck",
        "mlp",
        (
            ("        nn.Linear(64, 64),\n", "        nn.Linear(64, 1),\n"),
            ("        nn.Linear(64, N_CLASSES),\n", "        nn.Linear(1, N_CLASSES),\n"),
        ),
        WEAK,
        "a hidden layer of one unit",
    ),
    Fault(
        "autoencoder-code-of-one",
        "autoencoder",
        (("n_code=12", "n_code=1"),),
        WEAK,
        "the code is one number",
    ),
    Fault(
        "moons-no-activations",
        "moons",
        (
            (
                "[nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()]",
                "[nn.Linear(2, 32), nn.Linear(32, 32)]",
            ),
        ),
        WEAK,
        "three linear layers in a row are one",
    ),
    Fault(
        "resnet-deep-sigmoids",
        "resnet",
        (
            ("        self.relu = nn.ReLU(inplace=True)\n", "        self.relu = nn.Sigmoid()\n"),
            (
                "        return self.relu(out + self.shortcut(x))\n",
                "        return self.relu(self.conv2(self.relu(self.conv1(x))))\n",
            ),
            ("lr=0.05", "lr=0.01"),
        ),
        (*WEAK, "grad/tiny", "loss/no-progress", "model/unused", "grad/none"),
        "sigmoids, no short cut and no norm: the gradient vanishes",
    ),
)
