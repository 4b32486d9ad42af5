"""Marks the parts of an address: a model that returns its own loss, and batches with names."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import labbook

PAD = 0
IGNORE = -100
TAGS = ("number", "street", "city", "other")

STREETS = [f"street{i}" for i in range(12)]
CITIES = [f"city{i}" for i in range(8)]
NUMBERS = [str(i) for i in range(1, 30)]
FILLERS = ["in", "at", "near", "the", "please", "go", "to", ","]
WORDS = ["<pad>", *STREETS, *CITIES, *NUMBERS, *FILLERS, "park", "york"]
word_id = {word: i for i, word in enumerate(WORDS)}


def make_address(pen):
    """Words and tags; "park" and "york" are streets before a number, cities after "in"."""
    street = [
        *pen.choices(FILLERS[3:], k=pen.randint(0, 2)),
        pen.choice([*STREETS, "park", "york"]),
    ]
    tags = [3] * (len(street) - 1) + [1]
    number = [pen.choice(NUMBERS)]
    city = [pen.choice(["in", "near", "at"]), pen.choice([*CITIES, "park", "york"])]
    parts = [(street + number, [*tags, 0]), (city, [3, 2])]
    pen.shuffle(parts)
    words = [word for part, _ in parts for word in part]
    return [word_id[word] for word in words], [tag for _, marks in parts for tag in marks]


def make_addresses(n, seed):
    pen = random.Random(seed)
    return [make_address(pen) for _ in range(n)]


def collate(items):
    longest = max(len(words) for words, _ in items)
    input_ids = torch.full((len(items), longest), PAD)
    labels = torch.full((len(items), longest), IGNORE)
    for row, (words, tags) in enumerate(items):
        input_ids[row, : len(words)] = torch.tensor(words)
        labels[row, : len(tags)] = torch.tensor(tags)
    attention_mask = (input_ids != PAD).long()
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


train_loader = DataLoader(make_addresses(1200, 0), batch_size=32, shuffle=True, collate_fn=collate)
val_loader = DataLoader(make_addresses(300, 1), batch_size=64, collate_fn=collate)


@dataclass
class TaggerOutput:
    """What the model gives back; `loss` only where labels were given."""

    loss: Tensor | None
    logits: Tensor


class Tagger(nn.Module):
    """A transformer encoder of one layer."""

    def __init__(self, width=32):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), width, padding_idx=PAD)
        self.positions = nn.Parameter(torch.randn(16, width) * 0.02)
        self.encoder = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=64, dropout=0.1, batch_first=True
        )
        self.classifier = nn.Linear(width, len(TAGS))

    def forward(self, input_ids, attention_mask=None, labels=None):
        hidden = self.words(input_ids) + self.positions[: input_ids.shape[1]]
        padding = None if attention_mask is None else attention_mask == 0
        hidden = self.encoder(hidden, src_key_padding_mask=padding)
        logits = self.classifier(hidden)  # (B, T, tags)
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(
                logits.view(-1, len(TAGS)), labels.view(-1), ignore_index=IGNORE
            )
        return TaggerOutput(loss=loss, logits=logits)


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=2e-3)


def linear_with_warm_up(optimizer, n_warm_up, n_steps):
    def factor(step):
        if step < n_warm_up:
            return (step + 1) / (n_warm_up + 1)
        return max(0.0, (n_steps - step) / max(1, n_steps - n_warm_up))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def train(model, optimizer, n_steps):
    scheduler = linear_with_warm_up(optimizer, n_steps // 10, n_steps)
    model.train()
    step = 0
    while step < n_steps:
        for batch in train_loader:
            outputs = model(**batch)
            outputs.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    right, total, loss_sum = 0, 0, 0.0
    for batch in val_loader:
        with torch.no_grad():
            outputs = model(**batch)
        known = batch["labels"] != IGNORE
        predictions = outputs.logits.argmax(dim=-1)
        right += (predictions == batch["labels"])[known].sum().item()
        total += known.sum().item()
        loss_sum += outputs.loss.item() * known.sum().item()
    return {"accuracy": right / total, "loss": loss_sum / total}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Tagger,
        loss=None,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    tagger = Tagger()
    print(evaluate(tagger))
    train(tagger, make_optimizer(tagger), 200)
    print(evaluate(tagger))
