"""Mistakes in the model."""

from tests.planted.faults.families import BROKEN_GRAPH, MIXING, OVERFIT, WEAK
from tests.planted.program import Fault

MIXES = "batch mixing"

FAULTS = (
    Fault(
        "gru-batch-second",
        "gru",
        (
            ("nn.GRU(16, width, batch_first=True)", "nn.GRU(16, width)"),
            (
                "        packed = pack_padded_sequence(\n"
                "            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False\n"
                "        )\n"
                "        _, last = self.gru(packed)  # (1, B, width)\n"
                "        return self.out(self.drop(last[-1]))\n",
                "        states, _ = self.gru(embedded)\n"
                "        last = states[torch.arange(len(tokens)), lengths - 1]\n"
                "        return self.out(self.drop(last))\n",
            ),
        ),
        MIXING,
        "the recurrence runs along the batch",
        MIXES,
    ),
    Fault(
        "cnn-view-after-transpose",
        "cnn",
        (
            (
                "        x = torch.flatten(x, 1)\n",
                "        x = x.permute(1, 2, 3, 0).reshape(-1, 32 * 2 * 2)\n",
            ),
        ),
        MIXING,
        "channels first, then a reshape: rows hold pieces of several pictures",
        MIXES,
    ),
    Fault(
        "tagger-batch-second",
        "tagger",
        (
            ("dropout=0.1, batch_first=True", "dropout=0.1"),
            ("self.encoder(hidden, src_key_padding_mask=padding)", "self.encoder(hidden)"),
            ("        padding = None if attention_mask is None else attention_mask == 0\n", ""),
        ),
        MIXING,
        "without batch_first, words attend to other addresses",
        MIXES,
    ),
    Fault(
        "regression-normalised-by-batch",
        "regression",
        (
            (
                "        x = torch.relu(self.hidden1(x))\n",
                "        x = (x - x.mean(0)) / (x.std(0) + 1e-6)\n"
                "        x = torch.relu(self.hidden1(x))\n",
            ),
        ),
        MIXING,
        "inputs are standardised over whatever batch they come in",
        MIXES,
    ),
    Fault(
        "mlp-softmax-over-the-batch",
        "mlp",
        (
            (
                "        nn.Linear(64, N_CLASSES),\n",
                "        nn.Linear(64, N_CLASSES),\n        nn.LogSoftmax(dim=0),\n",
            ),
            ("loss_fn = nn.CrossEntropyLoss()", "loss_fn = nn.NLLLoss()"),
        ),
        (*MIXING, "loss/batch-softmax"),
        "log softmax over dimension 0",
        MIXES,
    ),
    Fault(
        "resnet-no-running-statistics",
        "resnet",
        (
            (
                "        self.bn1 = nn.BatchNorm2d(n_out)\n",
                "        self.bn1 = nn.BatchNorm2d(n_out, track_running_stats=False)\n",
            ),
            (
                "        self.bn2 = nn.BatchNorm2d(n_out)\n",
                "        self.bn2 = nn.BatchNorm2d(n_out, track_running_stats=False)\n",
            ),
        ),
        MIXING,
        "batch norm without running statistics uses the batch in evaluation too",
        MIXES,
    ),
    Fault(
        "unet-transposed-logits",
        "unet",
        (
            (
                "        return self.logits(merged)\n",
                "        logits = self.logits(merged)\n"
                "        return logits.permute(2, 3, 0, 1).reshape(logits.shape)\n",
            ),
        ),
        MIXING,
        "a permutation is undone by a reshape",
        MIXES,
    ),
    Fault(
        "fraud-pools-over-the-batch",
        "fraud",
        (
            (
                "        return self.logit(self.body(x)).squeeze(1)\n",
                "        hidden = self.body(x)\n"
                "        weights = torch.softmax(hidden, dim=0)\n"
                "        return self.logit(hidden * weights * len(x)).squeeze(1)\n",
            ),
        ),
        MIXING,
        "an attention over dimension 0",
        MIXES,
    ),
    Fault(
        "lm-no-mask",
        "lm",
        (
            (
                '        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))\n',
                "",
            ),
        ),
        ("lm/future-leak",),
        "attention sees the future",
    ),
    Fault(
        "lm-mask-upside-down",
        "lm",
        (("torch.tril(torch.ones", "torch.triu(torch.ones"),),
        ("lm/future-leak",),
        "the mask hides the past and shows the future",
    ),
    Fault(
        "lm-heads-not-transposed",
        "lm",
        (("mixed.transpose(1, 2).reshape(b, t, c)", "mixed.reshape(b, t, c)"),),
        ("lm/future-leak",),
        "heads and positions are interleaved by a reshape",
    ),
    Fault(
        "lm-norm-over-time",
        "lm",
        (
            (
                "        return self.head(self.norm(x))\n",
                "        x = (x - x.mean(dim=1, keepdim=True)) / (x.std(dim=1, keepdim=True) + 1e-5)\n"
                "        return self.head(self.norm(x))\n",
            ),
        ),
        ("lm/future-leak",),
        "a normalisation over positions tells each one of later ones",
    ),
    Fault(
        "lm-shared-layer",
        "lm",
        (("nn.ModuleList([Layer(width) for _ in range(2)])", "nn.ModuleList([Layer(width)] * 2)"),),
        ("model/shared-by-accident",),
        "list multiplication makes one layer twice",
    ),
    Fault(
        "regression-unused-layer",
        "regression",
        (("        x = torch.relu(self.hidden2(x))\n", ""),),
        ("model/unused", "grad/none"),
        "a hidden layer is defined and never called",
    ),
    Fault(
        "cnn-result-dropped",
        "cnn",
        (
            (
                "        self.dropout = nn.Dropout(0.25)\n",
                "        self.conv3 = nn.Conv2d(32, 32, 3, padding=1)\n"
                "        self.dropout = nn.Dropout(0.25)\n",
            ),
            (
                "        x = torch.flatten(x, 1)\n",
                "        F.relu(self.conv3(x))\n        x = torch.flatten(x, 1)\n",
            ),
        ),
        ("model/unused", "grad/none"),
        "the result of a convolution is not assigned",
    ),
    Fault(
        "unet-skips-the-bottom",
        "unet",
        (
            (
                "torch.cat([fine, self.up(coarse)], dim=1)",
                "torch.cat([fine, self.up(coarse).detach()], dim=1)",
            ),
        ),
        ("model/unused", *BROKEN_GRAPH),
        "the coarse path is detached",
    ),
    Fault(
        "regression-layer-made-in-forward",
        "regression",
        (
            ("        self.output = nn.Linear(48, 1)\n", ""),
            ("        return self.output(x)\n", "        return nn.Linear(48, 1)(x)\n"),
        ),
        (
            "eval/not-repeatable",
            "optim/missing-parameters",
            "model/unregistered",
        ),
        "the last layer is made anew at each call",
    ),
    Fault(
        "cnn-functional-dropout",
        "cnn",
        (("        x = self.dropout(x)\n", "        x = F.dropout(x, 0.25)\n"),),
        ("eval/not-repeatable", "model/batch-mixing-eval"),
        "functional dropout stays on in evaluation",
    ),
    Fault(
        "gru-functional-dropout",
        "gru",
        (
            (
                "        return self.out(self.drop(last[-1]))\n",
                "        return self.out(nn.functional.dropout(last[-1], p=0.2, training=True))\n",
            ),
        ),
        ("eval/not-repeatable", "model/batch-mixing-eval"),
        "dropout with training=True",
    ),
    Fault(
        "vae-samples-in-evaluation",
        "vae",
        (("        if not self.training:\n            return mu\n", ""),),
        ("eval/not-repeatable",),
        "the code is sampled in evaluation, so that its figure changes from call to call",
    ),
    Fault(
        "mlp-dropout-of-nearly-all",
        "mlp",
        (("nn.Dropout(0.1)", "nn.Dropout(0.95)"),),
        ("model/dropout",),
        "the probability to keep is given as the probability to drop",
    ),
    Fault(
        "cnn-dropout-of-nearly-all",
        "cnn",
        (("nn.Dropout(0.25)", "nn.Dropout(0.97)"),),
        ("model/dropout",),
        "dropout of 97 %",
    ),
    Fault(
        "regression-relu-output",
        "regression",
        (("        return self.output(x)\n", "        return torch.relu(self.output(x))\n"),),
        ("model/output-range", "loss/blocked-gradient"),
        "outputs are not negative, half the targets are",
    ),
    Fault(
        "regression-sigmoid-output",
        "regression",
        (("        return self.output(x)\n", "        return torch.sigmoid(self.output(x))\n"),),
        ("model/output-range",),
        "outputs lie between 0 and 1, targets do not",
    ),
    Fault(
        "autoencoder-sigmoid-of-standardised",
        "autoencoder",
        (
            (
                "train_images, val_images = images[:1500], images[1500:]\n",
                "images = (images - images[:1500].mean()) / images[:1500].std()\n"
                "train_images, val_images = images[:1500], images[1500:]\n",
            ),
        ),
        ("model/output-range",),
        "pictures are standardised, and restored through a sigmoid",
    ),
    Fault(
        "cnn-relu-logits",
        "cnn",
        (("        return self.fc2(x)\n", "        return F.relu(self.fc2(x))\n"),),
        ("loss/blocked-gradient", "model/output-range", *BROKEN_GRAPH, "init/constant-output"),
        "a ReLU on the logits: classes whose logit is negative learn nothing",
    ),
    Fault(
        "mlp-softmax-activations",
        "mlp",
        (
            (
                "        nn.Linear(20, 64),\n        nn.ReLU(),\n        nn.Linear(64, 64),\n        nn.ReLU(),\n",
                "        nn.Linear(20, 64),\n        nn.Softmax(dim=1),\n"
                "        nn.Linear(64, 64),\n        nn.Softmax(dim=1),\n",
            ),
        ),
        (*OVERFIT, "fit/zero-input", "loss/no-progress"),
        "softmax as hidden activation",
    ),
    Fault(
        "mlp-bottleneck",
        "mlp",
        (
            ("        nn.Linear(64, 64),\n", "        nn.Linear(64, 1),\n"),
            ("        nn.Linear(64, N_CLASSES),\n", "        nn.Linear(1, N_CLASSES),\n"),
        ),
        WEAK,
        "a hidden layer of one unit",
    ),
    Fault(
        "autoencoder-code-of-one",
        "autoencoder",
        (("n_code=12", "n_code=1"),),
        WEAK,
        "the code is one number",
    ),
    Fault(
        "moons-no-activations",
        "moons",
        (
            (
                "[nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()]",
                "[nn.Linear(2, 32), nn.Linear(32, 32)]",
            ),
        ),
        WEAK,
        "three linear layers in a row are one",
    ),
    Fault(
        "resnet-deep-sigmoids",
        "resnet",
        (
            ("        self.relu = nn.ReLU(inplace=True)\n", "        self.relu = nn.Sigmoid()\n"),
            (
                "        return self.relu(out + self.shortcut(x))\n",
                "        return self.relu(self.conv2(self.relu(self.conv1(x))))\n",
            ),
            ("lr=0.05", "lr=0.01"),
        ),
        (*WEAK, "grad/tiny", "loss/no-progress", "model/unused", "grad/none"),
        "sigmoids, no short cut and no norm: the gradient vanishes",
    ),
    Fault(
        "gru-state-detached",
        "gru",
        (("self.out(self.drop(last[-1]))", "self.out(self.drop(last[-1].detach()))"),),
        BROKEN_GRAPH,
        "the last state is detached, so the head alone learns",
    ),
    Fault(
        "cnn-data-attribute",
        "cnn",
        (("        x = torch.flatten(x, 1)\n", "        x = torch.flatten(x.data, 1)\n"),),
        BROKEN_GRAPH,
        ".data cuts the graph behind the convolutions",
    ),
    Fault(
        "regression-through-numpy",
        "regression",
        (
            (
                "        x = torch.relu(self.hidden2(x))\n",
                "        x = torch.from_numpy(np.tanh(x.detach().numpy()))\n"
                "        x = torch.relu(self.hidden2(x))\n",
            ),
        ),
        BROKEN_GRAPH,
        "an activation computed with NumPy",
    ),
    Fault(
        "vae-encoder-without-gradient",
        "vae",
        (("    def encode(self, x):\n", "    @torch.no_grad()\n    def encode(self, x):\n"),),
        BROKEN_GRAPH,
        "no_grad, left on the encoder",
    ),
    Fault(
        "resnet-body-without-gradient",
        "resnet",
        (
            (
                "        x = self.layer3(self.layer2(self.layer1(self.stem(x))))\n",
                "        with torch.no_grad():\n"
                "            x = self.layer3(self.layer2(self.layer1(self.stem(x))))\n",
            ),
        ),
        BROKEN_GRAPH,
        "no_grad around the body, from a feature extractor",
    ),
    Fault(
        "tagger-rounded-hidden",
        "tagger",
        (
            (
                "        logits = self.classifier(hidden)  # (B, T, tags)\n",
                "        logits = self.classifier((hidden * 4).round() / 4)\n",
            ),
        ),
        BROKEN_GRAPH,
        "a quantisation without a straight-through gradient",
    ),
    Fault(
        "regression-backward-negated",
        "regression",
        (
            (
                "class Net(nn.Module):\n",
                "class Swish(torch.autograd.Function):\n"
                "    @staticmethod\n"
                "    def forward(ctx, x):\n"
                "        ctx.save_for_backward(x)\n"
                "        return x * torch.sigmoid(x)\n\n"
                "    @staticmethod\n"
                "    def backward(ctx, grad_output):\n"
                "        (x,) = ctx.saved_tensors\n"
                "        s = torch.sigmoid(x)\n"
                "        return -grad_output * s * (1 + x * (1 - s))\n\n\n"
                "class Net(nn.Module):\n",
            ),
            ("torch.relu(self.hidden1(x))", "Swish.apply(self.hidden1(x))"),
        ),
        ("grad/check", "grad/not-descent"),
        "the backward of a custom activation has the wrong sign",
    ),
    Fault(
        "mlp-backward-without-a-factor",
        "mlp",
        (
            (
                "def make_model():\n",
                "class CubeFunction(torch.autograd.Function):\n"
                "    @staticmethod\n"
                "    def forward(ctx, x):\n"
                "        ctx.save_for_backward(x)\n"
                "        return x.clamp(-2, 2) ** 3\n\n"
                "    @staticmethod\n"
                "    def backward(ctx, grad_output):\n"
                "        (x,) = ctx.saved_tensors\n"
                "        return grad_output * x**2\n\n\n"
                "class Cube(nn.Module):\n"
                "    def forward(self, x):\n"
                "        return CubeFunction.apply(x)\n\n\n"
                "def make_model():\n",
            ),
            (
                "        nn.Linear(64, 64),\n        nn.ReLU(),\n",
                "        nn.Linear(64, 64),\n        Cube(),\n",
            ),
        ),
        ("grad/check",),
        "the backward of a cube lacks the factor three and the clamp",
    ),
    Fault(
        "moons-backward-swapped",
        "moons",
        (
            (
                "def make_model():\n",
                "class TanhFunction(torch.autograd.Function):\n"
                "    @staticmethod\n"
                "    def forward(ctx, x):\n"
                "        ctx.save_for_backward(x)\n"
                "        return torch.tanh(x)\n\n"
                "    @staticmethod\n"
                "    def backward(ctx, grad_output):\n"
                "        (x,) = ctx.saved_tensors\n"
                "        return grad_output * (1 - x**2)\n\n\n"
                "class Tanh(nn.Module):\n"
                "    def forward(self, x):\n"
                "        return TanhFunction.apply(x)\n\n\n"
                "def make_model():\n",
            ),
            ("nn.Linear(32, 32), nn.Tanh()]", "nn.Linear(32, 32), Tanh()]"),
        ),
        ("grad/check",),
        "the derivative of tanh is written for its output, and given its input",
    ),
)
