"""Mistakes in the data and in how they are given to the model."""

from tests.planted.faults.families import MISALIGNED, NONFINITE, TARGET_RANGE, UNSCALED
from tests.planted.program import Fault

RANGE = "target range"
FINITE = "non-finite"

FAULTS = (
    Fault(
        "mlp-not-standardized",
        "mlp",
        (
            ("x_train = (x_train - mean) / std\n", ""),
            ("x_val = (x_val - mean) / std\n", ""),
        ),
        UNSCALED,
        "sensors in their own units",
    ),
    Fault(
        "regression-not-standardized",
        "regression",
        (("inputs = (inputs - input_mean) / input_std\n", ""), ("lr=0.05", "lr=0.001")),
        UNSCALED,
        "speeds of 30 beside drags of 0.001",
    ),
    Fault(
        "cnn-pictures-to-sixteen",
        "cnn",
        (("digits.images[indices] / 16.0", "digits.images[indices] * 16.0"),),
        UNSCALED,
        "pictures from 0 to 255, standardised as if from 0 to 1",
    ),
    Fault(
        "cnn-scaled-twice",
        "cnn",
        (("digits.images[indices] / 16.0", "digits.images[indices] / 16.0 / 255"),),
        ("data/double-cast", *UNSCALED),
        "pictures in [0, 1] are divided by 255 again",
    ),
    Fault(
        "unet-wrong-statistics",
        "unet",
        (("        return (picture - 0.35) / 0.25,", "        return (picture - 89.0) / 64.0,"),),
        UNSCALED,
        "mean and deviation of a 0–255 scale, on pictures in [0, 1]",
    ),
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
        "mlp-val-not-standardized",
        "mlp",
        (("x_val = (x_val - mean) / std\n", ""),),
        ("data/train-val-shift",),
        "validation data skip the transform",
    ),
    Fault(
        "resnet-val-not-standardized",
        "resnet",
        (("val_x = (val_x - channel_mean) / channel_std\n", "val_x = val_x * 255\n"),),
        ("data/train-val-shift",),
        "validation pictures are given from 0 to 255",
    ),
    Fault(
        "cnn-train-inverted",
        "cnn",
        (
            (
                "            image = shift(image, random.randint(-1, 1), random.randint(-1, 1))\n",
                "            image = 1 - shift(image, random.randint(-1, 1), random.randint(-1, 1))\n",
            ),
        ),
        ("data/train-val-shift",),
        "an augmentation inverts every training picture, and no validation picture",
    ),
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
        ("data/unshuffled",),
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
        ("data/unshuffled",),
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
        ("data/unshuffled",),
        "sequences sorted by class, and not shuffled",
    ),
    Fault(
        "regression-sorted-not-shuffled",
        "regression",
        (
            ("generator.uniform(5, 30, n)", "np.linspace(5, 30, n)"),
            ("batch_size=32, shuffle=True", "batch_size=32"),
        ),
        ("data/unshuffled",),
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
        ("data/unshuffled",),
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
        "cnn-noise-in-training",
        "cnn",
        (
            (
                "            image = shift(image, random.randint(-1, 1), random.randint(-1, 1))\n",
                "            image = image + 4 * torch.randn_like(image)\n",
            ),
        ),
        ("data/train-val-shift", "data/not-standardized", *MISALIGNED),
        "noise ten times the pictures, in training alone",
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
        ("data/dup-in-batch", *MISALIGNED),
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
        "mlp-labels-from-one",
        "mlp",
        (
            ("torch.tensor(y_train)", "torch.tensor(y_train + 1)"),
            ("torch.tensor(y_val)", "torch.tensor(y_val + 1)"),
        ),
        TARGET_RANGE,
        "labels from 1 to 5",
        RANGE,
    ),
    Fault(
        "unet-borders-not-ignored",
        "unet",
        (("nn.CrossEntropyLoss(ignore_index=IGNORE)", "nn.CrossEntropyLoss()"),),
        TARGET_RANGE,
        "the label 255 is not ignored",
        RANGE,
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
        RANGE,
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
        RANGE,
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
        RANGE,
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
        RANGE,
    ),
    Fault(
        "cnn-ten-digits-nine-outputs",
        "cnn",
        (("self.fc2 = nn.Linear(64, 10)", "self.fc2 = nn.Linear(64, 9)"),),
        TARGET_RANGE,
        "one output too few for the labels",
        RANGE,
    ),
    Fault(
        "mlp-missing-value",
        "mlp",
        (
            (
                "x_train, x_val, y_train, y_val = train_test_split(\n",
                "features[rng.random(features.shape) < 0.01] = np.nan\n"
                "x_train, x_val, y_train, y_val = train_test_split(\n",
            ),
        ),
        NONFINITE,
        "one reading in a hundred is missing",
        FINITE,
    ),
    Fault(
        "mlp-divided-by-zero",
        "mlp",
        (
            (
                "x_train, x_val, y_train, y_val = train_test_split(\n",
                "features[:, 3] = 7.0\nx_train, x_val, y_train, y_val = train_test_split(\n",
            ),
        ),
        NONFINITE,
        "a constant sensor is divided by its deviation of zero",
        FINITE,
    ),
    Fault(
        "regression-infinite-target",
        "regression",
        (
            (
                "distance = fly(*throws.T)[:, None]\n",
                "distance = fly(*throws.T)[:, None]\ndistance[100::400] = np.inf\n",
            ),
            (
                "targets[:n_train].mean(), targets[:n_train].std()",
                "torch.tensor(20.0), torch.tensor(12.0)",
            ),
        ),
        (*NONFINITE, "data/target-scale"),
        "a few throws never came down",
        FINITE,
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
    Fault(
        "resnet-bytes-of-standardised",
        "resnet",
        (
            (
                "train_x = (train_x - channel_mean) / channel_std\n",
                "train_x = ((train_x - channel_mean) / channel_std).to(torch.uint8).float()\n",
            ),
            (
                "val_x = (val_x - channel_mean) / channel_std\n",
                "val_x = ((val_x - channel_mean) / channel_std).to(torch.uint8).float()\n",
            ),
        ),
        ("data/uint8-wrap", "data/quantized", *UNSCALED),
        "standardised values are cast to bytes, and -1 becomes 255",
    ),
    Fault(
        "mlp-integers-of-standardised",
        "mlp",
        (
            (
                "torch.tensor(x_train, dtype=torch.float32)",
                "torch.tensor(x_train).to(torch.int8).float()",
            ),
            (
                "torch.tensor(x_val, dtype=torch.float32)",
                "torch.tensor(x_val).to(torch.int8).float()",
            ),
        ),
        ("data/quantized",),
        "standardised values are cast to integers: -2, -1, 0, 1, 2",
    ),
    Fault(
        "cnn-byte-arithmetic",
        "cnn",
        (
            (
                "        self.images = torch.tensor(digits.images[indices] / 16.0, dtype=torch.float32)\n",
                "        images = (digits.images[indices] * 15).astype('uint8')\n"
                "        self.images = torch.tensor(images - images.mean().astype('uint8')).float() / 255\n",
            ),
            ("MEAN, STD = 0.305, 0.376", "MEAN, STD = 0.5, 0.4"),
        ),
        ("data/uint8-wrap",),
        "the mean is subtracted in bytes, and dark pixels become bright",
    ),
    Fault(
        "regression-a-few-in-other-units",
        "regression",
        (
            (
                "inputs = (inputs - input_mean) / input_std\n",
                "inputs[7::300, 0] *= 100\ninputs = (inputs - input_mean) / input_std\n",
            ),
        ),
        ("data/outlier-property", "data/not-standardized", "data/feature-scales"),
        "a few speeds are in centimetres a second",
    ),
    Fault(
        "resnet-a-few-to-255",
        "resnet",
        (
            (
                "train_x = (train_x - channel_mean) / channel_std\n",
                "train_x = (train_x - channel_mean) / channel_std\ntrain_x[5::150] *= 255\n",
            ),
        ),
        ("data/outlier-property", "data/train-val-shift", "data/not-standardized"),
        "a few pictures were read from 0 to 255",
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
