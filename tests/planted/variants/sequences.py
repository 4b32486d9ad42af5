"""Oddities of the nets that read sequences."""

from tests.planted.program import Variant

VARIANTS = (
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
        "tagger-smoothed",
        "tagger",
        (
            ("ignore_index=IGNORE\n", "ignore_index=IGNORE, label_smoothing=0.05\n"),
            ("dropout=0.1", "dropout=0.3, norm_first=True"),
        ),
        "smoothed labels, more dropout, norms first",
    ),
)
