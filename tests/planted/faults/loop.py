"""Other mistakes in the training loop."""

from tests.planted.faults.families import BROKEN_GRAPH, NO_UPDATE
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "mlp-no-step",
        "mlp",
        (("            optimizer.step()\n", ""),),
        NO_UPDATE,
        "the optimizer never steps",
    ),
    Fault(
        "cnn-step-not-called",
        "cnn",
        (("            optimizer.step()\n", "            optimizer.step\n"),),
        NO_UPDATE,
        "the parentheses are missing",
    ),
    Fault(
        "resnet-steps-the-scheduler-alone",
        "resnet",
        (("        optimizer.step()\n", ""),),
        NO_UPDATE,
        "the schedule steps, the optimizer does not",
    ),
    Fault(
        "autoencoder-no-backward",
        "autoencoder",
        (("            loss.backward()\n", "            loss.backward\n"),),
        (*NO_UPDATE, *BROKEN_GRAPH),
        "the parentheses are missing",
    ),
    Fault(
        "mlp-fresh-optimizer",
        "mlp",
        (
            (
                "            optimizer.zero_grad()\n",
                "            optimizer = torch.optim.SGD(make_model().parameters(), lr=0.1)\n"
                "            optimizer.zero_grad()\n",
            ),
        ),
        ("loop/optimizer-rebuilt", "optim/foreign-parameters", *NO_UPDATE),
        "every step makes a new model's optimizer",
    ),
    Fault(
        "regression-trains-a-copy",
        "regression",
        (
            ("import numpy as np\n", "import copy\n\nimport numpy as np\n"),
            (
                "    net.train()\n    step = 0\n",
                "    net = copy.deepcopy(net).train()\n    step = 0\n",
            ),
        ),
        NO_UPDATE,
        "gradients go to a copy of the model",
    ),
    Fault(
        "regression-loss-made-anew",
        "regression",
        (
            (
                "            loss = mse(prediction, y)\n",
                "            loss = torch.tensor(mse(prediction, y).item(), requires_grad=True)\n",
            ),
        ),
        (*BROKEN_GRAPH, *NO_UPDATE),
        "the loss is a new tensor without a history",
    ),
    Fault(
        "fraud-detached-output",
        "fraud",
        (
            (
                "        loss = criterion(model(x), y)\n",
                "        loss = criterion(model(x).detach().requires_grad_(), y)\n",
            ),
        ),
        (*BROKEN_GRAPH, *NO_UPDATE),
        "the output is detached, and made to require a gradient so that backward runs",
    ),
    Fault(
        "resnet-trains-in-eval-mode",
        "resnet",
        (
            (
                "    model.train()\n    batches = batches_forever",
                "    model.eval()\n    batches = batches_forever",
            ),
        ),
        ("loop/train-in-eval",),
        "batch norm uses its initial statistics throughout training",
    ),
    Fault(
        "cnn-stays-in-eval-mode",
        "cnn",
        (
            (
                "    done = 0\n    while done < n_steps:\n        model.train()\n",
                "    done = 0\n    model.train()\n    while done < n_steps:\n",
            ),
            (
                "            done += 1\n",
                "            done += 1\n            if done % 10 == 0:\n                evaluate(model)\n",
            ),
        ),
        ("loop/eval-never-left", "loop/train-in-eval"),
        "the first evaluation leaves the model in eval mode for the rest of training",
    ),
    Fault(
        "fraud-stays-in-eval-mode",
        "fraud",
        (
            (
                "    left = n_steps\n    while left > 0:\n        model.train()\n",
                "    left = n_steps\n    model.train()\n    evaluate(model)\n    while left > 0:\n",
            ),
        ),
        ("loop/eval-never-left", "loop/train-in-eval"),
        "an evaluation before training leaves the model in eval mode",
    ),
    Fault(
        "resnet-accumulates-unscaled",
        "resnet",
        (
            (
                "        inputs, targets = next(batches)\n"
                "        optimizer.zero_grad(set_to_none=True)\n"
                "        outputs = model(inputs)\n"
                "        loss = criterion(outputs, targets)\n"
                "        loss.backward()\n",
                "        optimizer.zero_grad(set_to_none=True)\n"
                "        for _ in range(8):\n"
                "            inputs, targets = next(batches)\n"
                "            outputs = model(inputs)\n"
                "            loss = criterion(outputs, targets)\n"
                "            loss.backward()\n",
            ),
        ),
        ("loop/accum-scale",),
        "eight micro-batches are summed, not averaged: eight times the learning rate",
    ),
    Fault(
        "regression-accumulates-unscaled",
        "regression",
        (
            (
                "            net.zero_grad()\n            loss.backward()\n            optimizer.step()\n",
                "            loss.backward()\n"
                "            if step % 4 == 3:\n"
                "                optimizer.step()\n"
                "                optimizer.zero_grad()\n",
            ),
            ("lr=0.05", "lr=0.1"),
        ),
        ("loop/accum-scale",),
        "the loss is not divided by the number of micro-batches",
    ),
    Fault(
        "resnet-batch-norm-of-two",
        "resnet",
        (
            ("batch_size=48", "batch_size=2"),
            (
                "        inputs, targets = next(batches)\n"
                "        optimizer.zero_grad(set_to_none=True)\n"
                "        outputs = model(inputs)\n"
                "        loss = criterion(outputs, targets)\n"
                "        loss.backward()\n",
                "        optimizer.zero_grad(set_to_none=True)\n"
                "        for _ in range(16):\n"
                "            inputs, targets = next(batches)\n"
                "            outputs = model(inputs)\n"
                "            loss = criterion(outputs, targets) / 16\n"
                "            loss.backward()\n",
            ),
        ),
        ("loop/accum-batchnorm",),
        "accumulates 32 examples, but batch norm sees two at a time",
    ),
    Fault(
        "moons-one-batch",
        "moons",
        (
            ("        for xb, yb in train_batches:\n", "        for xb, yb in [first] * 20:\n"),
            ("    i = 0\n", "    i = 0\n    first = next(iter(train_batches))\n"),
        ),
        ("loop/one-batch",),
        "trains on its first batch over and over, left from a first try",
    ),
    Fault(
        "mlp-stops-after-one-batch",
        "mlp",
        (
            (
                "            step += 1\n            if step >= n_steps:\n                break\n",
                "            step += 1\n            break\n",
            ),
            ("shuffle=True", "shuffle=False"),
        ),
        ("loop/one-batch",),
        "each epoch ends after its first batch, which is always the same",
    ),
    Fault(
        "regression-steps-before-backward",
        "regression",
        (
            (
                "            loss.backward()\n            optimizer.step()\n",
                "            optimizer.step()\n            loss.backward()\n",
            ),
        ),
        ("loop/step-before-backward", *NO_UPDATE),
        "clears, steps, and then goes backward: each step sees no gradient",
    ),
    Fault(
        "resnet-clips-after-the-step",
        "resnet",
        (
            (
                "        optimizer.step()\n",
                "        optimizer.step()\n"
                "        nn.utils.clip_grad_norm_(model.parameters(), 0.1)\n",
            ),
            ("lr=0.05", "lr=3.0"),
        ),
        ("loop/clip-after-step",),
        "the gradient is clipped after the step that it was to tame",
    ),
    Fault(
        "lm-new-optimizer-each-step",
        "lm",
        (
            (
                "        optimizer.zero_grad(set_to_none=True)\n",
                "        optimizer = make_optimizer(model)\n"
                "        optimizer.zero_grad(set_to_none=True)\n",
            ),
        ),
        ("loop/optimizer-rebuilt", "optim/schedule-horizon"),
        "each step makes a new AdamW: no averages, and the schedule drives another one",
    ),
)
