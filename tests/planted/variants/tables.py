"""Oddities of the classifier of sensor readings."""

from tests.planted.program import Variant

VARIANTS = (
    Variant(
        "mlp-no-dropout",
        "mlp",
        (("        nn.Dropout(0.1),\n", ""),),
        "no dropout at all",
    ),
    Variant(
        "mlp-heavy-dropout",
        "mlp",
        (("nn.Dropout(0.1)", "nn.Dropout(0.5)"),),
        "dropout of a half",
    ),
    Variant(
        "mlp-log-softmax-and-nll",
        "mlp",
        (
            (
                "        nn.Linear(64, N_CLASSES),\n",
                "        nn.Linear(64, N_CLASSES),\n        nn.LogSoftmax(dim=1),\n",
            ),
            ("nn.CrossEntropyLoss()", "nn.NLLLoss()"),
        ),
        "log softmax in the model, its own loss",
    ),
    Variant(
        "mlp-sum-loss",
        "mlp",
        (("loss_fn = nn.CrossEntropyLoss()", 'loss_fn = nn.CrossEntropyLoss(reduction="sum")'),),
        "the loss is summed, and Adam does not mind",
    ),
    Variant(
        "mlp-label-smoothing",
        "mlp",
        (("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(label_smoothing=0.2)"),),
        "labels smoothed by a fifth",
    ),
    Variant(
        "mlp-class-weights",
        "mlp",
        (
            (
                "loss_fn = nn.CrossEntropyLoss()\n",
                "counts = np.bincount(y_train, minlength=N_CLASSES)\n"
                "class_weight = torch.tensor(len(y_train) / (N_CLASSES * counts)).float()\n"
                "loss_fn = nn.CrossEntropyLoss(weight=class_weight)\n",
            ),
            (
                "x_train, x_val, y_train, y_val = train_test_split(\n",
                "kept = (labels != 4) | (rng.random(len(labels)) < 0.25)\n"
                "features, labels = features[kept], labels[kept]\n"
                "x_train, x_val, y_train, y_val = train_test_split(\n",
            ),
        ),
        "one class is rare, and the loss is weighted for it",
    ),
    Variant(
        "mlp-adagrad",
        "mlp",
        (
            (
                "torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)",
                "torch.optim.Adagrad(model.parameters(), lr=0.02)",
            ),
        ),
        "Adagrad",
    ),
    Variant(
        "mlp-two-groups",
        "mlp",
        (
            (
                "    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)\n",
                "    return torch.optim.AdamW(\n"
                "        [\n"
                '            {"params": model[:-1].parameters(), "lr": LEARNING_RATE / 2},\n'
                '            {"params": model[-1].parameters(), "lr": LEARNING_RATE * 2},\n'
                "        ],\n"
                "        weight_decay=0.05,\n"
                "    )\n",
            ),
        ),
        "two rates, one for the head",
    ),
    Variant(
        "mlp-drops-the-last-batch",
        "mlp",
        (
            (
                "batch_size=BATCH_SIZE, shuffle=True",
                "batch_size=BATCH_SIZE, shuffle=True, drop_last=True",
            ),
        ),
        "training drops the short last batch",
    ),
    Variant(
        "mlp-weighted-sampler",
        "mlp",
        (
            (
                "from torch.utils.data import DataLoader, TensorDataset",
                "from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler",
            ),
            (
                "train_loader = DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True)\n",
                "weights = 1.0 / np.bincount(y_train)[y_train]\n"
                "sampler = WeightedRandomSampler(weights, num_samples=len(y_train))\n"
                "train_loader = DataLoader(train_set, batch_size=BATCH_SIZE, sampler=sampler)\n",
            ),
        ),
        "drawn with replacement: an example may come twice in a batch",
    ),
    Variant(
        "mlp-one-hot-targets",
        "mlp",
        (
            ("torch.tensor(y_train)", "torch.eye(N_CLASSES)[torch.tensor(y_train)]"),
            ("torch.tensor(y_val)", "torch.eye(N_CLASSES)[torch.tensor(y_val)]"),
            ("(model(x).argmax(dim=1) == y)", "(model(x).argmax(dim=1) == y.argmax(dim=1))"),
        ),
        "targets are probabilities over the classes",
    ),
    Variant(
        "mlp-hinge",
        "mlp",
        (("loss_fn = nn.CrossEntropyLoss()", "loss_fn = nn.MultiMarginLoss()"),),
        "a hinge loss, whose gradient is zero beyond the margin",
    ),
    Variant(
        "mlp-schedule-per-step-on-purpose",
        "mlp",
        (
            (
                "    step = 0\n",
                "    scheduler = torch.optim.lr_scheduler.OneCycleLR(\n        optimizer, max_lr=4e-3, total_steps=n_steps\n    )\n    step = 0\n",
            ),
            (
                "            optimizer.step()\n",
                "            optimizer.step()\n            scheduler.step()\n",
            ),
        ),
        "one cycle, stepped at every batch over the whole training",
    ),
)
