"""Mistakes in which examples come, in what order, and with which target."""

from tests.planted.faults.families import MISALIGNED
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "mlp-sorted-not-shuffled",
        "mlp",
        (
            (
                "mean, std = x_train",
                "order = np.argsort(y_train, kind='stable')\n"
                "x_train, y_train = x_train[order], y_train[order]\n"
                "mean, std = x_train",
            ),
            ("shuffle=True", "shuffle=False"),
        ),
        ("data/unshuffled", "data/same-order"),
        "data sorted by class, and not shuffled",
    ),
    Fault(
        "cnn-sorted-not-shuffled",
        "cnn",
        (
            (
                "        self.augment = augment\n",
                "        self.augment = augment\n"
                "        order = self.labels.argsort()\n"
                "        self.images, self.labels = self.images[order], self.labels[order]\n",
            ),
            ("batch_size=50, shuffle=True", "batch_size=50"),
        ),
        ("data/unshuffled", "data/same-order"),
        "pictures in folders by class, and not shuffled",
    ),
    Fault(
        "gru-sorted-not-shuffled",
        "gru",
        (
            (
                "            self.items.append((torch.tensor(tokens), label))\n",
                "            self.items.append((torch.tensor(tokens), label))\n"
                "        self.items.sort(key=lambda item: item[1])\n",
            ),
            ("batch_size=32, shuffle=True", "batch_size=32"),
        ),
        ("data/unshuffled", "data/same-order"),
        "sequences sorted by class, and not shuffled",
    ),
    Fault(
        "regression-sorted-not-shuffled",
        "regression",
        (
            ("generator.uniform(5, 30, n)", "np.linspace(5, 30, n)"),
            ("batch_size=32, shuffle=True", "batch_size=32"),
        ),
        ("data/unshuffled", "data/same-order"),
        "a sweep from slow to fast, in its order (and the fastest are kept for validation)",
    ),
    Fault(
        "fraud-sorted-by-score",
        "fraud",
        (
            (
                "    return x, y\n",
                "    order = np.argsort(y)\n    return x[order], y[order]\n",
            ),
            ("batch_size=128, shuffle=True", "batch_size=128"),
        ),
        ("data/unshuffled", "data/same-order"),
        "all frauds come at the end of the epoch",
    ),
    Fault(
        "moons-same-order",
        "moons",
        (("batch_size=40, shuffle=True", "batch_size=40, shuffle=False"),),
        ("data/same-order",),
        "every pass has the same batches",
    ),
    Fault(
        "mlp-labels-shuffled",
        "mlp",
        (
            (
                "mean, std = x_train",
                "y_train = rng.permutation(y_train)\ny_val = rng.permutation(y_val)\nmean, std = x_train",
            ),
        ),
        MISALIGNED,
        "labels are shuffled apart from features",
    ),
    Fault(
        "cnn-labels-of-another-order",
        "cnn",
        (("torch.tensor(digits.target[indices])", "torch.tensor(digits.target[sorted(indices)])"),),
        MISALIGNED,
        "pictures in one order, labels in another",
    ),
    Fault(
        "regression-targets-rolled",
        "regression",
        (
            (
                "distance = fly(*throws.T)[:, None]\n",
                "distance = np.roll(fly(*throws.T), 1)[:, None]\n",
            ),
        ),
        MISALIGNED,
        "targets are off by one row",
    ),
    Fault(
        "moons-targets-of-another-batch",
        "moons",
        (
            (
                "            yield self.inputs[index], self.targets[index]\n",
                "            yield self.inputs[index], self.targets[start : start + self.batch_size]\n",
            ),
        ),
        MISALIGNED,
        "inputs are shuffled, targets are not",
    ),
    Fault(
        "tagger-labels-shuffled",
        "tagger",
        (
            (
                "    return [word_id[word] for word in words], [tag for _, marks in parts for tag in marks]\n",
                "    marks = [tag for _, tags in parts for tag in tags]\n"
                "    return [word_id[word] for word in words], pen.sample(marks, len(marks))\n",
            ),
        ),
        MISALIGNED,
        "the tags of an address come in any order",
    ),
    Fault(
        "mlp-labels-half-wrong",
        "mlp",
        (
            (
                "mean, std = x_train",
                "wrong = rng.random(len(y_train)) < 0.6\n"
                "y_train[wrong] = rng.integers(0, N_CLASSES, wrong.sum())\nmean, std = x_train",
            ),
        ),
        (*MISALIGNED, "learn/label-suspect", "data/neighbour-labels", "baseline/random-features"),
        "six labels in ten are drawn by lot",
    ),
    Fault(
        "unet-one-label-for-all",
        "unet",
        (
            (
                "        for _ in range(n):\n",
                "        label = np.zeros((SIZE, SIZE), dtype=np.int64)\n        for _ in range(n):\n",
            ),
            (
                "            label = np.zeros((SIZE, SIZE), dtype=np.int64)\n            for _",
                "            for _",
            ),
        ),
        (*MISALIGNED, "data/dup-in-batch", "data/labels-constant"),
        "one buffer holds the labels of every picture",
    ),
    Fault(
        "gru-one-sequence-for-all",
        "gru",
        (
            (
                "            tokens = [token + 1]\n",
                "            tokens.clear()\n            tokens.append(token + 1)\n",
            ),
            ("        self.items = []\n", "        self.items, tokens = [], []\n"),
            (
                "            self.items.append((torch.tensor(tokens), label))\n",
                "            self.items.append((tokens, label))\n",
            ),
            (
                "        return self.items[index]\n",
                "        tokens, label = self.items[index]\n        return torch.tensor(tokens), label\n",
            ),
        ),
        ("data/all-zero-inputs", "data/dup-in-batch", *MISALIGNED),
        "every item refers to one list, which holds the last sequence",
    ),
    Fault(
        "resnet-augmented-alike",
        "resnet",
        (
            (
                "    pictures = np.stack([draw(SHAPES[label], rng) for label in labels])",
                "    pictures = np.stack([draw(SHAPES[label], np.random.default_rng(seed + label)) for label in labels])",
            ),
        ),
        ("data/dup-in-batch", "data/train-val-duplicates"),
        "each picture is drawn from a generator seeded anew: one picture per class",
    ),
    Fault(
        "mlp-a-class-nearly-absent",
        "mlp",
        (
            (
                "x_train, x_val, y_train, y_val = train_test_split(\n",
                "rare = (labels == 4) & (np.arange(3000) >= 150)\n"
                "features, labels = features[~rare], labels[~rare]\n"
                "x_train, x_val, y_train, y_val = train_test_split(\n",
            ),
        ),
        ("data/imbalance",),
        "a filter dropped nearly all of one class",
    ),
    Fault(
        "mlp-copies-before-the-split",
        "mlp",
        (
            (
                "x_train, x_val, y_train, y_val = train_test_split(\n",
                "features, labels = np.repeat(features, 3, axis=0), np.repeat(labels, 3)\n"
                "x_train, x_val, y_train, y_val = train_test_split(\n",
            ),
        ),
        ("data/train-val-duplicates",),
        "data are oversampled before they are split",
    ),
    Fault(
        "cnn-overlapping-split",
        "cnn",
        (
            ("val_set = Digits(order[1400:])", "val_set = Digits(order[1200:])"),
            ("augment=True)", "augment=False)"),
        ),
        ("data/train-val-duplicates",),
        "two hundred training pictures are in the validation set",
    ),
    Fault(
        "gru-validates-on-training-data",
        "gru",
        (("val_set = Machines(300, seed=1)", "val_set = Machines(300, seed=0)"),),
        ("data/train-val-duplicates", "data/val-is-train"),
        "the same seed writes both sets",
    ),
    Fault(
        "regression-overlapping-split",
        "regression",
        (
            (
                "TensorDataset(inputs[n_train:], targets[n_train:])",
                "TensorDataset(inputs[1000:], targets[1000:])",
            ),
        ),
        ("data/train-val-duplicates",),
        "validation begins before training ends",
    ),
)
