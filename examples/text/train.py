"""Train a small transformer to continue Python source, and record it with labbook.

    python examples/text/train.py
    labbook watch examples/text/evaluation.py    # in a second terminal: evaluates checkpoints

The text is Python's own standard library, which every machine has; a token is a byte. Lines marked
"labbook" are all that labbook adds.
"""

import argparse
import sysconfig
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook  # labbook

N_TOKENS = 256
NOTHING = -100  # the target of a position behind the end of a file: cross_entropy leaves it out

PROMPTS = [
    "import os\nimport s", "def __init__(self, ", "    for i in range(", "class Error(Exc",
    'if __name__ == "', "        raise ValueError(", "    return self.", "try:\n    from ",
]  # fmt: skip


def files() -> tuple[list[Path], list[Path]]:
    """Return the library's modules to train on, and every twentieth of them held out."""
    every = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    held_out = every[::20]
    return [path for path in every if path not in held_out], held_out


def windows(paths: list[Path], length: int) -> TensorDataset:
    """Cut each file into windows; return bytes (N, length), and the byte after each."""
    inputs, targets = [], []
    for path in paths:
        text = torch.tensor(list(path.read_bytes()))
        n_missing = -(len(text) - 1) % length
        inputs.append(F.pad(text[:-1], (0, n_missing), value=0).view(-1, length))
        targets.append(F.pad(text[1:], (0, n_missing), value=NOTHING).view(-1, length))
    return TensorDataset(torch.cat(inputs), torch.cat(targets))


class Block(nn.Module):
    """Attention to what came before, then a feed-forward layer, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        wide = 4 * width
        self.mlp = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, width = x.shape
        qkv = self.qkv(self.norms[0](x)).view(n, t, 3, self.heads, -1)  # (N, T, 3, heads, size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, T, size)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp(self.norms[1](x))


class Transformer(nn.Module):
    """From bytes (N, T) to logits of the byte that follows each (N, T, 256)."""

    def __init__(self, context: int, width: int, layers: int, heads: int = 4) -> None:
        super().__init__()
        self.context = context
        self.token = nn.Embedding(N_TOKENS, width)
        self.place = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, N_TOKENS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.blocks(self.token(tokens) + self.place(places))
        return self.logits(self.norm(x))


@torch.no_grad()
def look(model: Transformer, prompt: str, n: int = 32) -> dict[str, torch.Tensor]:
    """Return the loss on a prompt, the five likeliest next bytes, and how it goes on greedily."""
    tokens = torch.tensor([list(prompt.encode())])  # (1, T)
    logits = model(tokens[:, :-1])[0]
    loss = F.cross_entropy(logits, tokens[0, 1:])
    top = model(tokens)[0, -1].softmax(0).topk(5)
    for _ in range(n):
        following = model(tokens[:, -model.context :])[:, -1:].argmax(2)
        tokens = torch.cat([tokens, following], 1)
    return {"loss": loss, "top5": top.indices, "top5_p": top.values, "greedy": tokens[0, -n:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--context", type=int, default=64, help="bytes that a prediction may see")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    train, held_out = files()
    data = windows(train, args.context)
    loader = DataLoader(data, args.batch_size, shuffle=True, drop_last=True)
    model = Transformer(args.context, args.width, args.layers)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps)

    run = labbook.start()  # labbook: finds the arguments above, and records the code as it is now
    run.data("train", train)  # labbook: digests of the files
    run.data("held out", held_out)  # labbook
    run.inspect(model)  # labbook: the first batches, as the model is given them
    chosen = run.choose(PROMPTS, n=len(PROMPTS))  # labbook: prompts to follow

    step = 0
    while step < args.steps:
        for tokens, following in run.loader(loader):  # labbook: steps a second, and time waited
            logits = model(tokens)  # (N, T, 256)
            loss = F.cross_entropy(logits.flatten(0, 1), following.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            run.log(loss=loss, lr=schedule.get_last_lr()[0], step=step)  # labbook
            if step % 100 == 0 or step == args.steps:
                model.eval()
                looks = [look(model, prompt) for prompt in PROMPTS]
                model.train()
                kept = {name: torch.stack([found[name] for found in looks]) for name in looks[0]}
                chosen.record(step, **kept)  # labbook
                goes_on = bytes(kept["greedy"][0].tolist()).decode("latin-1")
                run.event(PROMPTS[0] + goes_on, kind="sample", step=step)  # labbook
                print(f"step {step} of {args.steps}: loss {loss.item():.3f}  {goes_on!r}")
            if step % max(1, args.steps // 4) == 0:
                run.save(model.state_dict(), step=step)  # labbook
            if step == args.steps:
                break
    run.finish()  # labbook


if __name__ == "__main__":
    main()
