"""Gradients that are cut or wrong inside a model."""

from tests.planted.faults.families import BROKEN_GRAPH
from tests.planted.program import Fault

FAULTS = (
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
)
