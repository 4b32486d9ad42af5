"""Parameters that the optimizer does not train."""

from tests.planted.faults.families import NOT_IN_OPTIMIZER
from tests.planted.program import Fault

FAULTS = (
    Fault(
        "mlp-head-alone",
        "mlp",
        (("Adam(model.parameters()", "Adam(model[-1].parameters()"),),
        NOT_IN_OPTIMIZER,
        "the optimizer has the last layer alone",
        exact="frozen or missing parameters",
    ),
    Fault(
        "gru-embedding-left-out",
        "gru",
        (
            (
                "    return torch.optim.Adam(model.parameters(), lr=5e-3)\n",
                "    parameters = list(model.gru.parameters()) + list(model.out.parameters())\n"
                "    return torch.optim.Adam(parameters, lr=5e-3)\n",
            ),
        ),
        NOT_IN_OPTIMIZER,
        "a list of parts forgets the embedding",
        exact="frozen or missing parameters",
    ),
    Fault(
        "autoencoder-encoder-alone",
        "autoencoder",
        (("Adam(model.parameters()", "Adam(model.encoder.parameters()"),),
        NOT_IN_OPTIMIZER,
        "the decoder is not trained",
        exact="frozen or missing parameters",
    ),
    Fault(
        "cnn-parameters-of-another-net",
        "cnn",
        (("Adam(model.parameters()", "Adam(Net().parameters()"),),
        (*NOT_IN_OPTIMIZER, "optim/no-update"),
        "the optimizer has the parameters of another net",
        exact="frozen or missing parameters",
    ),
    Fault(
        "lm-second-group-forgotten",
        "lm",
        (('        {"params": plain, "weight_decay": 0.0},\n', ""),),
        NOT_IN_OPTIMIZER,
        "biases and norms are split off for no decay, then left out",
        exact="frozen or missing parameters",
    ),
    Fault(
        "resnet-layer-added-later",
        "resnet",
        (
            (
                "    scheduler = torch.optim.lr_scheduler.Cosine",
                "    model.head = nn.Linear(24, len(SHAPES))\n    scheduler = torch.optim.lr_scheduler.Cosine",
            ),
        ),
        (*NOT_IN_OPTIMIZER, "optim/no-update", "grad/none"),
        "the head is replaced after the optimizer was made",
        exact="frozen or missing parameters",
    ),
    Fault(
        "tagger-all-but-head-frozen",
        "tagger",
        (
            (
                "        self.classifier = nn.Linear(width, len(TAGS))\n",
                "        for p in self.parameters():\n"
                "            p.requires_grad = False\n"
                "        self.classifier = nn.Linear(width, len(TAGS))\n",
            ),
        ),
        NOT_IN_OPTIMIZER,
        "everything but the head is frozen, though nothing was trained before",
        exact="frozen or missing parameters",
    ),
    Fault(
        "unet-frozen-by-mistake",
        "unet",
        (
            (
                "    return torch.optim.RMSprop(model.parameters(), lr=1e-3)\n",
                "    for name, p in model.named_parameters():\n"
                "        p.requires_grad = 'weight' not in name\n"
                "    return torch.optim.RMSprop(model.parameters(), lr=1e-3)\n",
            ),
        ),
        NOT_IN_OPTIMIZER,
        "a filter by name freezes every weight and leaves the biases",
        exact="frozen or missing parameters",
    ),
    Fault(
        "vae-frozen-decoder",
        "vae",
        (
            (
                "    return optim.Adam(model.parameters(), lr=2e-3)\n",
                "    for layer in (model.fc1, model.fc3, model.fc4):\n"
                "        layer.requires_grad_(False)\n"
                "    return optim.Adam(model.parameters(), lr=2e-3)\n",
            ),
        ),
        NOT_IN_OPTIMIZER,
        "frozen for a trial, and left so",
        exact="frozen or missing parameters",
    ),
    Fault(
        "lm-layers-in-a-list",
        "lm",
        (("nn.ModuleList([Layer(width) for _ in range(2)])", "[Layer(width) for _ in range(2)]"),),
        NOT_IN_OPTIMIZER,
        "layers in a plain list are not registered",
        exact="frozen or missing parameters",
    ),
    Fault(
        "regression-layers-in-a-dict",
        "regression",
        (
            (
                "        self.hidden1 = nn.Linear(4, 48)\n        self.hidden2 = nn.Linear(48, 48)\n",
                '        self.hidden = {"1": nn.Linear(4, 48), "2": nn.Linear(48, 48)}\n',
            ),
            ("self.hidden1(x)", 'self.hidden["1"](x)'),
            ("self.hidden2(x)", 'self.hidden["2"](x)'),
        ),
        NOT_IN_OPTIMIZER,
        "layers in a plain dict are not registered",
        exact="frozen or missing parameters",
    ),
    Fault(
        "tagger-tensor-not-parameter",
        "tagger",
        (
            (
                "        self.positions = nn.Parameter(torch.randn(16, width) * 0.02)\n",
                "        self.positions = [nn.Parameter(torch.randn(width) * 0.02) for _ in range(16)]\n",
            ),
            (
                "self.positions[: input_ids.shape[1]]",
                "torch.stack(self.positions[: input_ids.shape[1]])",
            ),
        ),
        NOT_IN_OPTIMIZER,
        "position embeddings in a plain list are not registered",
        exact="frozen or missing parameters",
    ),
)
