"""Models that mix the examples of a batch, or tell the past of the future."""

from tests.planted.faults.families import MIXING
from tests.planted.program import Fault

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
        exact="batch mixing",
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
        exact="batch mixing",
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
        exact="batch mixing",
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
        exact="batch mixing",
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
        exact="batch mixing",
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
        exact="batch mixing",
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
        exact="batch mixing",
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
        exact="batch mixing",
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
)
