"""Legal oddities: edits of a base that look like a mistake to a careless rule, and are none."""

from tests.planted.program import Variant

VARIANTS = (
    Variant(
        "unet-no-eval",
        "unet",
        (("    model.eval()\n", ""),),
        "nothing in this model depends on the mode",
    ),
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
        "gru-sorted-by-length",
        "gru",
        (
            (
                "    sequences, labels = zip(*items, strict=True)\n",
                "    items = sorted(items, key=lambda item: -len(item[0]))\n"
                "    sequences, labels = zip(*items, strict=True)\n",
            ),
            ("enforce_sorted=False", "enforce_sorted=True"),
            (
                "embedded, lengths.cpu(), batch_first=True, enforce",
                "embedded, lengths, batch_first=True, enforce",
            ),
        ),
        "each batch is sorted by length, as older programs do",
    ),
    Variant(
        "gru-frozen-embedding",
        "gru",
        (
            (
                "        self.embedding = nn.Embedding(VOCABULARY, 16, padding_idx=0)\n",
                "        vectors = torch.randn(VOCABULARY, 16, generator=torch.Generator().manual_seed(3))\n"
                "        self.embedding = nn.Embedding.from_pretrained(vectors, padding_idx=0)\n",
            ),
        ),
        "word vectors from elsewhere are not trained",
    ),
    Variant(
        "gru-lstm",
        "gru",
        (
            (
                "        self.gru = nn.GRU(16, width, batch_first=True)\n",
                "        self.gru = nn.LSTM(16, width // 2, batch_first=True, bidirectional=True)\n",
            ),
            (
                "        _, last = self.gru(packed)  # (1, B, width)\n"
                "        return self.out(self.drop(last[-1]))\n",
                "        _, (last, _) = self.gru(packed)  # (2, B, width / 2)\n"
                "        return self.out(self.drop(torch.cat([last[0], last[1]], dim=1)))\n",
            ),
        ),
        "an LSTM in both directions, which may see the future",
    ),
    Variant(
        "lm-tied-weights",
        "lm",
        (
            (
                "        self.apply(self._init)\n",
                "        self.head.weight = self.token.weight\n        self.apply(self._init)\n",
            ),
        ),
        "the head shares the embedding's weights",
    ),
    Variant(
        "lm-no-accumulation",
        "lm",
        (("ACCUMULATE = 2\n", "ACCUMULATE = 1\n"),),
        "one batch a step",
    ),
    Variant(
        "lm-fused-attention",
        "lm",
        (
            (
                '        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))\n'
                "        mixed = F.softmax(scores, dim=-1) @ v\n",
                "        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n",
            ),
            ("        scores = q @ k.transpose(-2, -1) / math.sqrt(c // self.n_heads)\n", ""),
        ),
        "PyTorch's own causal attention; the mask is left as a buffer",
    ),
    Variant(
        "lm-low-rank-adapters",
        "lm",
        (
            (
                "class SelfAttention(nn.Module):\n",
                "class Adapted(nn.Module):\n"
                "    def __init__(self, linear, rank=4):\n"
                "        super().__init__()\n"
                "        self.linear = linear.requires_grad_(False)\n"
                "        self.a = nn.Parameter(torch.randn(rank, linear.in_features) * 0.3)\n"
                "        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))\n\n"
                "    def forward(self, x):\n"
                "        return self.linear(x) + x @ self.a.T @ self.b.T\n\n\n"
                "class SelfAttention(nn.Module):\n",
            ),
            (
                "def loss_fn(logits, targets):\n",
                "def make_adapted():\n"
                "    model = LanguageModel()\n"
                "    with torch.random.fork_rng():\n"
                "        torch.manual_seed(9)\n"
                "        train(model, torch.optim.AdamW(model.parameters(), lr=3e-3), 60)\n"
                "    model.requires_grad_(False)\n"
                "    for layer in model.layers:\n"
                "        layer.attention.qkv = Adapted(layer.attention.qkv)\n"
                "        layer.mlp[0] = Adapted(layer.mlp[0])\n"
                "        layer.mlp[2] = Adapted(layer.mlp[2])\n"
                "    return model\n\n\n"
                "def loss_fn(logits, targets):\n",
            ),
            (
                "    decayed = [p for p in model.parameters() if p.dim() >= 2]\n",
                "    decayed = [p for p in model.parameters() if p.dim() >= 2 and p.requires_grad]\n",
            ),
            (
                "    plain = [p for p in model.parameters() if p.dim() < 2]\n",
                "    plain = [p for p in model.parameters() if p.dim() < 2 and p.requires_grad]\n",
            ),
            (
                '        {"params": plain, "weight_decay": 0.0},\n',
                '        {"params": plain, "weight_decay": 0.0},\n    ]\n    groups = [\n        group for group in groups if group["params"]\n',
            ),
            ("lr=3e-3, betas", "lr=1e-2, betas"),
            (
                "        model=LanguageModel,\n",
                "        model=make_adapted,\n        pretrained=True,\n",
            ),
            ("    lm = LanguageModel()\n", "    lm = make_adapted()\n"),
        ),
        "a trained model is frozen, and low-rank adapters learn; their second factor starts at zero",
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
        "vae-annealed",
        "vae",
        (("    return (bce + kld) / len(x)\n", "    return (bce + 0.5 * kld) / len(x)\n"),),
        "half the divergence, a β-VAE",
    ),
    Variant(
        "tagger-smoothed",
        "tagger",
        (
            ("ignore_index=IGNORE\n", "ignore_index=IGNORE, label_smoothing=0.05\n"),
            ("dropout=0.1", "dropout=0.3, norm_first=True"),
        ),
        "smoothed labels, more dropout, norms first",
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
