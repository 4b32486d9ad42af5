"""Oddities of the nets that look at pictures."""

from tests.planted.program import Variant

VARIANTS = (
    Variant(
        "unet-no-eval",
        "unet",
        (("    model.eval()\n", ""),),
        "nothing in this model depends on the mode",
    ),
    Variant(
        "cnn-no-augmentation",
        "cnn",
        (("augment=True)", "augment=False)"),),
        "no augmentation",
    ),
    Variant(
        "cnn-zero-grad-after-step",
        "cnn",
        (
            ("            optimizer.zero_grad()\n", ""),
            (
                "            optimizer.step()\n",
                "            optimizer.step()\n            model.zero_grad(set_to_none=False)\n",
            ),
        ),
        "gradients are set to zeros after the step",
    ),
    Variant(
        "cnn-pixels-not-centred",
        "cnn",
        (
            (
                "        return (image - MEAN) / STD, self.labels[index]\n",
                "        return image, self.labels[index]\n",
            ),
        ),
        "pictures in [0, 1], as many give them",
    ),
    Variant(
        "cnn-functional-dropout-done-right",
        "cnn",
        (
            (
                "        x = self.dropout(x)\n",
                "        x = F.dropout(x, 0.25, training=self.training)\n",
            ),
        ),
        "functional dropout that knows its mode; the module is left unused",
    ),
    Variant(
        "cnn-zero-init-head",
        "cnn",
        (
            (
                "        self.fc2 = nn.Linear(64, 10)\n",
                "        self.fc2 = nn.Linear(64, 10)\n"
                "        nn.init.zeros_(self.fc2.weight)\n"
                "        nn.init.zeros_(self.fc2.bias)\n",
            ),
        ),
        "the last layer starts at zero, so that the first guess is uniform",
    ),
    Variant(
        "cnn-accumulates",
        "cnn",
        (
            (
                "            loss = compute_loss(output, labels)\n"
                "            optimizer.zero_grad()\n"
                "            loss.backward()\n"
                "            optimizer.step()\n"
                "            done += 1\n",
                "            loss = compute_loss(output, labels) / 2\n"
                "            loss.backward()\n"
                "            n_waiting += 1\n"
                "            if n_waiting == 2:\n"
                "                optimizer.step()\n"
                "                optimizer.zero_grad()\n"
                "                n_waiting = 0\n"
                "                done += 1\n",
            ),
            ("    done = 0\n", "    done, n_waiting = 0, 0\n"),
            ("batch_size=50, shuffle=True", "batch_size=25, shuffle=True, drop_last=True"),
        ),
        "accumulation over two batches, scaled",
    ),
    Variant(
        "cnn-bfloat16",
        "cnn",
        (
            (
                "            output = model(images)\n            loss = compute_loss(output, labels)\n",
                '            with torch.autocast("cpu", dtype=torch.bfloat16):\n'
                "                output = model(images)\n"
                "            loss = compute_loss(output.float(), labels)\n",
            ),
        ),
        "autocast to bfloat16, the loss in single precision",
    ),
    Variant(
        "cnn-clips-the-gradient",
        "cnn",
        (
            (
                "            optimizer.step()\n",
                "            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)\n"
                "            optimizer.step()\n",
            ),
        ),
        "the gradient is clipped to a norm it rarely reaches",
    ),
    Variant(
        "cnn-average-of-weights",
        "cnn",
        (
            (
                "    done = 0\n",
                "    average = torch.optim.swa_utils.AveragedModel(\n"
                "        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.95)\n"
                "    )\n"
                "    done = 0\n",
            ),
            (
                "            done += 1\n",
                "            average.update_parameters(model)\n            done += 1\n",
            ),
        ),
        "a moving average of the weights is kept beside the model",
    ),
    Variant(
        "resnet-zero-gamma",
        "resnet",
        (
            (
                '                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")\n',
                '                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")\n'
                "            if isinstance(module, Block):\n"
                "                nn.init.zeros_(module.bn2.weight)\n",
            ),
        ),
        "the last norm of each block starts at zero: a block is the identity at first",
    ),
    Variant(
        "resnet-frozen-backbone",
        "resnet",
        (
            (
                "    return torch.optim.SGD(\n        model.parameters(), lr",
                "    for module in (model.stem, model.layer1):\n"
                "        module.requires_grad_(False)\n"
                "    return torch.optim.SGD(\n"
                "        [p for p in model.parameters() if p.requires_grad], lr",
            ),
            ("        model=ResNet,\n", "        model=pretrained,\n        pretrained=True,\n"),
            (
                "def main():\n",
                "def pretrained():\n"
                "    model = ResNet()\n"
                "    with torch.random.fork_rng():\n"
                "        torch.manual_seed(5)\n"
                "        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)\n"
                "        train(model, optimizer, 15)\n"
                "    return model\n\n\n"
                "def main():\n",
            ),
            (
                "    torch.manual_seed(0)\n    model = ResNet()\n",
                "    torch.manual_seed(0)\n    model = pretrained()\n",
            ),
        ),
        "the first layers are trained already and frozen; the optimizer has the others",
    ),
    Variant(
        "resnet-group-norm",
        "resnet",
        (
            (
                "        self.bn1 = nn.BatchNorm2d(n_out)\n",
                "        self.bn1 = nn.GroupNorm(4, n_out)\n",
            ),
            (
                "        self.bn2 = nn.BatchNorm2d(n_out)\n",
                "        self.bn2 = nn.GroupNorm(4, n_out)\n",
            ),
            ("bias=False), nn.BatchNorm2d(12),", "bias=False), nn.GroupNorm(4, 12),"),
            ("bias=False), nn.BatchNorm2d(n_out)\n", "bias=False), nn.GroupNorm(4, n_out)\n"),
        ),
        "group norm throughout",
    ),
    Variant(
        "resnet-adam-warm-up",
        "resnet",
        (
            (
                "    return torch.optim.SGD(\n        model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True\n    )\n",
                "    return torch.optim.Adam(model.parameters(), lr=3e-3, amsgrad=True)\n",
            ),
            (
                "    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_steps)\n",
                "    n_warm = max(1, n_steps // 10)\n"
                "    scheduler = torch.optim.lr_scheduler.SequentialLR(\n"
                "        optimizer,\n"
                "        [\n"
                "            torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=n_warm),\n"
                "            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps - n_warm + 1),\n"
                "        ],\n"
                "        milestones=[n_warm],\n"
                "    )\n",
            ),
        ),
        "a warm-up, then a cosine",
    ),
    Variant(
        "resnet-frozen-norms",
        "resnet",
        (
            (
                "    model.train()\n    batches = batches_forever",
                "    model.train()\n    model.stem[1].eval()\n    batches = batches_forever",
            ),
            ("        model=ResNet,\n", "        model=pretrained,\n        pretrained=True,\n"),
            (
                "def main():\n",
                "def pretrained():\n"
                "    model = ResNet()\n"
                "    with torch.random.fork_rng():\n"
                "        torch.manual_seed(5)\n"
                "        with torch.no_grad():\n"
                "            for inputs, _ in train_loader:\n"
                "                model(inputs)\n"
                "    return model\n\n\n"
                "def main():\n",
            ),
            (
                "    torch.manual_seed(0)\n    model = ResNet()\n",
                "    torch.manual_seed(0)\n    model = pretrained()\n",
            ),
        ),
        "the first norm keeps statistics taken beforehand",
    ),
    Variant(
        "autoencoder-denoising",
        "autoencoder",
        (
            (
                "        code = self.encoder(x)\n",
                "        if self.training:\n"
                "            x = x + 0.1 * torch.randn_like(x)\n"
                "        code = self.encoder(x)\n",
            ),
        ),
        "noise is added in training",
    ),
    Variant(
        "autoencoder-tied",
        "autoencoder",
        (
            (
                "        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, n_code))\n"
                "        self.decoder = nn.Sequential(\n"
                "            nn.Linear(n_code, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid()\n"
                "        )\n",
                "        self.weight = nn.Parameter(torch.randn(n_code, 64) * 0.1)\n"
                "        self.bias = nn.Parameter(torch.zeros(64))\n",
            ),
            (
                "        code = self.encoder(x)\n        return self.decoder(code)\n",
                "        code = x @ self.weight.T\n        return code @ self.weight + self.bias\n",
            ),
        ),
        "a linear autoencoder whose two matrices are one",
    ),
    Variant(
        "autoencoder-bce",
        "autoencoder",
        (("reconstruction = nn.MSELoss()", "reconstruction = nn.BCELoss()"),),
        "binary cross entropy of grey pixels: its floor is not zero",
    ),
    Variant(
        "vae-annealed",
        "vae",
        (("    return (bce + kld) / len(x)\n", "    return (bce + 0.5 * kld) / len(x)\n"),),
        "half the divergence, a β-VAE",
    ),
    Variant(
        "unet-batch-of-four",
        "unet",
        (
            (
                "DataLoader(train_cells, batch_size=16, shuffle=True)",
                "DataLoader(train_cells, batch_size=4, shuffle=True)",
            ),
        ),
        "small batches with group norm",
    ),
    Variant(
        "unet-dice",
        "unet",
        (
            (
                "loss_fn = nn.CrossEntropyLoss(ignore_index=IGNORE)\n",
                "def loss_fn(logits, labels):\n"
                "    counted = (labels != IGNORE).unsqueeze(1)\n"
                "    p = logits.softmax(dim=1) * counted\n"
                "    truth = nn.functional.one_hot(labels % IGNORE, N_CLASSES).movedim(-1, 1) * counted\n"
                "    overlap = 2 * (p * truth).sum(dim=(2, 3)) + 1\n"
                "    dice = overlap / (p.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)\n"
                "    cross = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE)\n"
                "    return cross + 1 - dice.mean()\n",
            ),
        ),
        "cross entropy and a Dice loss",
    ),
)
