"""Mistakes in the values that are given to the model."""

from tests.planted.faults.families import MISALIGNED, NONFINITE, UNSCALED
from tests.planted.program import Fault

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
        exact="non-finite",
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
        exact="non-finite",
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
        exact="non-finite",
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
)
