"""Oddities of the regression and of the binary classifiers."""

from tests.planted.program import Variant

VARIANTS = (
    Variant(
        "regression-huber",
        "regression",
        (("mse = nn.MSELoss()", "mse = nn.HuberLoss(delta=0.5)"),),
        "a Huber loss",
    ),
    Variant(
        "regression-l1-step-size",
        "regression",
        (
            ("mse = nn.MSELoss()", "mse = nn.L1Loss()"),
            (
                "torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)",
                "torch.optim.RMSprop(net.parameters(), lr=1e-3)",
            ),
        ),
        "absolute error",
    ),
    Variant(
        "regression-sum-at-its-rate",
        "regression",
        (("mse = nn.MSELoss()", 'mse = nn.MSELoss(reduction="sum")'), ("lr=0.05", "lr=0.0015")),
        "the loss is summed, and the rate is smaller for it",
    ),
    Variant(
        "regression-full-batch",
        "regression",
        (("batch_size=32, shuffle=True", "batch_size=1600"), ("lr=0.05", "lr=0.1")),
        "one batch holds all data, so that there is nothing to shuffle",
    ),
    Variant(
        "regression-flat",
        "regression",
        (
            (
                "targets = torch.from_numpy(distance).float()\n",
                "targets = torch.from_numpy(distance).float().squeeze(1)\n",
            ),
            ("        return self.output(x)\n", "        return self.output(x).squeeze(-1)\n"),
        ),
        "outputs and targets are both (B,)",
    ),
    Variant(
        "fraud-unweighted",
        "fraud",
        (
            ("nn.BCEWithLogitsLoss(pos_weight=pos_weight)", "nn.BCEWithLogitsLoss()"),
            (
                "        self.logit = nn.Linear(32, 1)\n",
                "        self.logit = nn.Linear(32, 1)\n"
                "        nn.init.constant_(self.logit.bias, np.log(0.056 / 0.944))\n",
            ),
        ),
        "no weights, the bias starts at the log odds, and the figure is the area under a curve",
    ),
    Variant(
        "fraud-focal",
        "fraud",
        (
            (
                "criterion = nn.BCEWithLogitsLoss(pos_weight=pos_weight)\n",
                "def criterion(logits, y):\n"
                "    bce = nn.functional.binary_cross_entropy_with_logits(logits, y, reduction='none')\n"
                "    p_true = torch.exp(-bce)\n"
                "    return ((0.75 * y + 0.25 * (1 - y)) * (1 - p_true) ** 2 * bce).mean()\n",
            ),
        ),
        "focal loss",
    ),
    Variant(
        "fraud-adversarial-weights",
        "fraud",
        (
            (
                "torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)",
                "torch.optim.NAdam(model.parameters(), lr=2e-3)",
            ),
            ("            nn.BatchNorm1d(64),\n", "            nn.LayerNorm(64),\n"),
        ),
        "NAdam and layer norm",
    ),
    Variant(
        "moons-logits",
        "moons",
        (
            ("[nn.Linear(32, 1), nn.Sigmoid()]", "[nn.Linear(32, 1)]"),
            ("nn.BCELoss()", "nn.BCEWithLogitsLoss()"),
            ("        p = model(X_test)\n", "        p = torch.sigmoid(model(X_test))\n"),
        ),
        "logits, and the loss for them",
    ),
    Variant(
        "moons-squared-error",
        "moons",
        (("nn.BCELoss()", "nn.MSELoss()"),),
        "the Brier score as the loss",
    ),
    Variant(
        "moons-hinge",
        "moons",
        (
            ("[nn.Linear(32, 1), nn.Sigmoid()]", "[nn.Linear(32, 1)]"),
            (
                "y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)",
                "y = torch.tensor(2 * y - 1, dtype=torch.float32).unsqueeze(1)",
            ),
            (
                "loss_fn = nn.BCELoss()\n",
                "def loss_fn(margin, sign):\n    return torch.relu(1 - margin * sign).mean()\n",
            ),
            ("((p > 0.5) == (y_test > 0.5))", "((p > 0) == (y_test > 0))"),
        ),
        "a hinge loss with labels of -1 and 1",
    ),
    Variant(
        "moons-line-search",
        "moons",
        (
            (
                "torch.optim.Adam(model.parameters(), lr=0.01)",
                'torch.optim.LBFGS(\n        model.parameters(), max_iter=4, line_search_fn="strong_wolfe"\n    )',
            ),
            (
                "            p = model(xb)\n"
                "            loss = loss_fn(p, yb)\n"
                "            optimizer.zero_grad()\n"
                "            loss.backward()\n"
                "            optimizer.step()\n",
                "            def closure(xb=xb, yb=yb):\n"
                "                optimizer.zero_grad()\n"
                "                loss = loss_fn(model(xb), yb)\n"
                "                loss.backward()\n"
                "                return loss\n\n"
                "            optimizer.step(closure)\n",
            ),
            ("batch_size=40, shuffle=True", "batch_size=800, shuffle=True"),
        ),
        "LBFGS with a closure: several backward passes a step",
    ),
)
