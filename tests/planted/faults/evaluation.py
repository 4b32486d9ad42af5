"""Mistakes in the evaluation."""

from tests.planted.program import Fault

FAULTS = (
    Fault(
        "mlp-no-eval",
        "mlp",
        (("    model.eval()\n", ""),),
        ("eval/train-mode",),
        "dropout is on in evaluation",
        exact="eval mode",
    ),
    Fault(
        "gru-no-eval",
        "gru",
        (("    model.eval()\n", ""),),
        ("eval/train-mode",),
        "dropout is on in evaluation",
        exact="eval mode",
    ),
    Fault(
        "resnet-eval-not-called",
        "resnet",
        (("    model.eval()\n", "    model.eval\n"),),
        ("eval/train-mode",),
        "the parentheses are missing, and batch norm learns from validation data",
        exact="eval mode",
    ),
    Fault(
        "cnn-eval-after-the-loop",
        "cnn",
        (
            ("    model.eval()\n    total_loss", "    total_loss"),
            ('    return {"loss": total_loss', '    model.eval()\n    return {"loss": total_loss'),
            (
                "        scheduler.step()\n",
                "        scheduler.step()\n        evaluate(model)\n",
            ),
        ),
        ("eval/train-mode",),
        "eval mode is set after the evaluation",
        exact="eval mode",
    ),
    Fault(
        "fraud-eval-of-a-part",
        "fraud",
        (("    model.eval()\n", "    model.logit.eval()\n"),),
        ("eval/train-mode",),
        "eval mode is set on the head, and batch norm is in the body",
        exact="eval mode",
    ),
    Fault(
        "lm-train-in-evaluation",
        "lm",
        (("    model.eval()\n", "    model.train()\n"),),
        ("eval/train-mode",),
        "train() where eval() was meant",
        exact="eval mode",
    ),
    Fault(
        "tagger-no-eval",
        "tagger",
        (("    model.eval()\n", ""),),
        ("eval/train-mode",),
        "dropout is on in evaluation",
        exact="eval mode",
    ),
    Fault(
        "vae-no-eval",
        "vae",
        (("    model.eval()\n", ""),),
        ("eval/train-mode", "eval/not-repeatable"),
        "the model looks at self.training itself, and samples",
        exact="eval mode",
    ),
    Fault(
        "regression-evaluation-rounds-weights",
        "regression",
        (
            (
                "    net.eval()\n",
                "    net.eval()\n    for p in net.parameters():\n        p.data = (p.data * 64).round() / 64\n",
            ),
        ),
        ("eval/params-changed",),
        "the weights are quantised for evaluation, and stay so",
    ),
    Fault(
        "mlp-evaluation-fine-tunes",
        "mlp",
        (
            (
                "    model.eval()\n    correct = 0\n",
                "    train(model, make_optimizer(model), 5)\n    model.eval()\n    correct = 0\n",
            ),
        ),
        ("eval/params-changed",),
        "the evaluation trains a little first",
    ),
    Fault(
        "resnet-evaluation-updates-statistics",
        "resnet",
        (
            (
                "    hits, seen = 0, 0\n",
                "    hits, seen = 0, 0\n"
                "    for module in model.modules():\n"
                "        if isinstance(module, nn.BatchNorm2d):\n"
                "            module.train()\n",
            ),
        ),
        ("eval/train-mode", "eval/buffers-changed"),
        "batch norm is kept in train mode in evaluation",
        exact="eval mode",
    ),
    Fault(
        "cnn-augments-validation",
        "cnn",
        (("val_set = Digits(order[1400:])", "val_set = Digits(order[1400:], augment=True)"),),
        ("data/augment-in-val", "eval/not-repeatable"),
        "validation pictures are shifted at random",
    ),
    Fault(
        "fraud-random-part",
        "fraud",
        (
            (
                "    scores, truth = torch.cat(scores).numpy(), torch.cat(truth).numpy()\n",
                "    scores, truth = torch.cat(scores).numpy(), torch.cat(truth).numpy()\n"
                "    chosen = np.random.permutation(len(truth))[:500]\n"
                "    scores, truth = scores[chosen], truth[chosen]\n",
            ),
        ),
        ("eval/not-repeatable", "eval/not-whole-set"),
        "another random quarter is evaluated each time",
    ),
    Fault(
        "mlp-first-batch-alone",
        "mlp",
        (
            (
                "            correct += (model(x).argmax(dim=1) == y).sum().item()\n"
                "    return correct / len(val_set)\n",
                "            correct += (model(x).argmax(dim=1) == y).sum().item()\n"
                "            break\n"
                "    return correct / len(x)\n",
            ),
        ),
        ("eval/not-whole-set",),
        "a break from a quick try: one batch is evaluated",
    ),
    Fault(
        "cnn-last-batch-dropped",
        "cnn",
        (
            (
                "DataLoader(val_set, batch_size=100, shuffle=False)",
                "DataLoader(val_set, batch_size=100, shuffle=False, drop_last=True)",
            ),
        ),
        ("data/drop-last-val", "eval/not-whole-set"),
        "97 of 397 pictures are never evaluated, and the sum is divided by 397",
    ),
    Fault(
        "gru-returns-in-the-loop",
        "gru",
        (
            (
                '    return {"accuracy": n_right / len(val_set)}\n',
                '        return {"accuracy": n_right / len(labels)}\n',
            ),
        ),
        ("eval/not-whole-set",),
        "return is indented into the loop",
    ),
    Fault(
        "gru-mean-of-means",
        "gru",
        (
            ("    n_right = 0\n", "    accuracies = []\n"),
            (
                "        n_right += (logits.argmax(-1) == labels).sum().item()\n",
                "        accuracies.append((logits.argmax(-1) == labels).float().mean().item())\n",
            ),
            ("n_right / len(val_set)", "sum(accuracies) / len(accuracies)"),
        ),
        ("eval/mean-of-means",),
        "a mean of batch means, and the last batch is short",
    ),
    Fault(
        "autoencoder-mean-of-means",
        "autoencoder",
        (
            (
                "val_loader = DataLoader(val_images, batch_size=100)",
                "val_loader = DataLoader(val_images, batch_size=128)",
            ),
            (
                "        errors = [((model(batch) - batch) ** 2).mean(dim=1) for batch in val_loader]\n"
                "    return torch.cat(errors).mean().item()\n",
                "        errors = [reconstruction(model(batch), batch) for batch in val_loader]\n"
                "    return torch.stack(errors).mean().item()\n",
            ),
        ),
        ("eval/mean-of-means",),
        "a mean of batch means, and the last batch is short",
    ),
    Fault(
        "mlp-divided-by-batches",
        "mlp",
        (("    return correct / len(val_set)\n", "    return correct / len(val_loader)\n"),),
        ("eval/metric",),
        "a count of examples is divided by the number of batches: an accuracy of 200",
    ),
    Fault(
        "moons-evaluates-training-data",
        "moons",
        (
            ("        p = model(X_test)\n", "        p = model(X_train)\n"),
            ("((p > 0.5) == (y_test > 0.5))", "((p > 0.5) == (y_train > 0.5))"),
        ),
        ("eval/on-train-data",),
        "the evaluation reads the training set",
    ),
)
