"""Mistakes in the first values of the parameters."""

from tests.planted.faults.families import BROKEN_GRAPH, OVERFIT, TOO_LOW
from tests.planted.program import Fault

CONSTANT = (
    "init/constant-output",
    "init/symmetric-weight",
    "init/constant-weight",
    "loss/constant",
)

FAULTS = (
    Fault(
        "mlp-all-zero",
        "mlp",
        (
            ("    return nn.Sequential(\n", "    model = nn.Sequential(\n"),
            (
                "        nn.Linear(64, N_CLASSES),\n    )\n",
                "        nn.Linear(64, N_CLASSES),\n    )\n"
                "    for p in model.parameters():\n"
                "        nn.init.zeros_(p)\n"
                "    return model\n",
            ),
        ),
        (*CONSTANT, "grad/zero"),
        "every parameter starts at zero",
    ),
    Fault(
        "cnn-constant-weights",
        "cnn",
        (
            (
                "        self.fc2 = nn.Linear(64, 10)\n",
                "        self.fc2 = nn.Linear(64, 10)\n"
                "        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):\n"
                "            nn.init.constant_(layer.weight, 0.02)\n"
                "            nn.init.zeros_(layer.bias)\n",
            ),
        ),
        CONSTANT,
        "all weights of a layer are equal, and stay so",
    ),
    Fault(
        "gru-constant-everything",
        "gru",
        (
            (
                "        self.out = nn.Linear(width, N_CLASSES)\n",
                "        self.out = nn.Linear(width, N_CLASSES)\n"
                "        for name, p in self.gru.named_parameters():\n"
                "            nn.init.constant_(p, 0.1 if 'weight' in name else 0.0)\n",
            ),
        ),
        CONSTANT,
        "all units of the GRU are one unit",
    ),
    Fault(
        "regression-ones",
        "regression",
        (
            (
                "        self.output = nn.Linear(48, 1)\n",
                "        self.output = nn.Linear(48, 1)\n"
                "        for layer in (self.hidden1, self.hidden2):\n"
                "            nn.init.ones_(layer.weight)\n"
                "            nn.init.zeros_(layer.bias)\n"
                "        nn.init.ones_(self.output.weight)\n",
            ),
            ("lr=0.05", "lr=1e-6"),
        ),
        (*CONSTANT, "init/loss"),
        "weights of one: symmetric, and outputs in the thousands",
    ),
    Fault(
        "lm-wide-weights",
        "lm",
        (("nn.init.normal_(module.weight, std=0.02)", "nn.init.normal_(module.weight, std=2.0)"),),
        ("init/loss",),
        "the standard deviation is a hundred times too large",
    ),
    Fault(
        "mlp-wide-weights",
        "mlp",
        (
            ("    return nn.Sequential(\n", "    model = nn.Sequential(\n"),
            (
                "        nn.Linear(64, N_CLASSES),\n    )\n",
                "        nn.Linear(64, N_CLASSES),\n    )\n"
                "    for module in model:\n"
                "        if isinstance(module, nn.Linear):\n"
                "            nn.init.normal_(module.weight, std=1.0)\n"
                "    return model\n",
            ),
        ),
        ("init/loss",),
        "unit normal weights: the first loss is a hundred times that of a guess",
    ),
    Fault(
        "regression-tiny-weights",
        "regression",
        (
            (
                "        self.output = nn.Linear(48, 1)\n",
                "        self.output = nn.Linear(48, 1)\n"
                "        for p in self.parameters():\n"
                "            nn.init.normal_(p, std=1e-7)\n",
            ),
        ),
        ("init/constant-output", "grad/tiny", *TOO_LOW, "fit/zero-input"),
        "weights so small that nothing reaches the output",
    ),
    Fault(
        "cnn-dead-units",
        "cnn",
        (
            (
                "        self.fc2 = nn.Linear(64, 10)\n",
                "        self.fc2 = nn.Linear(64, 10)\n"
                "        nn.init.constant_(self.fc1.bias, -10.0)\n",
            ),
        ),
        ("act/dead", "init/constant-output", *BROKEN_GRAPH),
        "a bias of -10 keeps every unit of a layer at zero",
    ),
    Fault(
        "autoencoder-saturated",
        "autoencoder",
        (
            (
                "    def forward(self, x):\n",
                "        nn.init.constant_(self.decoder[2].bias, 60.0)\n\n    def forward(self, x):\n",
            ),
        ),
        ("init/loss", "init/constant-output", "grad/tiny", *BROKEN_GRAPH),
        "the output sigmoid starts at one, where it has no gradient",
    ),
    Fault(
        "fraud-bias-of-the-wrong-sign",
        "fraud",
        (
            (
                "        self.logit = nn.Linear(32, 1)\n",
                "        self.logit = nn.Linear(32, 1)\n"
                "        nn.init.constant_(self.logit.bias, -np.log(0.01 / 0.99))\n",
            ),
            ("pos_weight=pos_weight", ""),
        ),
        ("init/loss", "init/output-bias"),
        "the bias for rare positives, without its minus: 99 % are called fraud at first",
    ),
    Fault(
        "vae-zero-decoder",
        "vae",
        (
            (
                "    def encode(self, x):\n",
                "        for layer in (self.fc1, self.fc3):\n"
                "            nn.init.zeros_(layer.weight)\n"
                "            nn.init.zeros_(layer.bias)\n\n"
                "    def encode(self, x):\n",
            ),
        ),
        (*CONSTANT, *BROKEN_GRAPH, *OVERFIT, "fit/zero-input"),
        "hidden ReLU layers of zeros: no gradient passes, and the picture is never seen",
    ),
)
