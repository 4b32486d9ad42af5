"""A word-level LSTM language model in the older layout: time first, batch second."""

import random

import torch
from torch import nn

import labbook

BPTT, BATCH = 16, 20

GRAMMAR = {
    "start": [["noun", "verb", "noun", "when"], ["noun", "verb", "when"]],
    "noun": [["the", "thing"], ["a", "thing"], ["some", "colour", "thing"]],
}
WORDS = {
    "thing": "dog cat boat house tree king letter road".split(),
    "colour": "red blue green grey".split(),
    "verb": "sees finds leaves loves".split(),
    "when": "today . soon . now .".split(),
}
vocabulary = sorted({w for words in WORDS.values() for w in words} | {"the", "a", "some"})
number = {word: i for i, word in enumerate(vocabulary)}


def write(n, seed):
    pen = random.Random(seed)

    def expand(symbol):
        if symbol in GRAMMAR:
            return [w for part in pen.choice(GRAMMAR[symbol]) for w in expand(part)]
        return [pen.choice(WORDS[symbol])] if symbol in WORDS else [symbol]

    words = [word for _ in range(n) for word in expand("start")]
    return torch.tensor([number[word] for word in words])


def batchify(data):
    n = len(data) // BATCH
    return data[: n * BATCH].view(BATCH, n).t().contiguous()  # (time, BATCH)


class Chunks:
    """BPTT words of each of the BATCH streams, and the words after them."""

    def __init__(self, data, shuffle=False):
        self.data = batchify(data)
        self.shuffle = shuffle

    def __len__(self):
        return (len(self.data) - 1) // BPTT

    def __iter__(self):
        order = torch.randperm(len(self)).tolist() if self.shuffle else range(len(self))
        for i in order:
            start = i * BPTT
            yield self.data[start : start + BPTT], self.data[start + 1 : start + BPTT + 1]


train_chunks, val_chunks = Chunks(write(3000, 0), shuffle=True), Chunks(write(400, 1))


class RNNModel(nn.Module):
    """(T, B) words → (T, B, V) logits; the encoder's weights are the decoder's."""

    def __init__(self, width=48):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(len(vocabulary), width)
        self.rnn = nn.LSTM(width, width, 1)
        self.decoder = nn.Linear(width, len(vocabulary))
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, words):
        hidden, _ = self.rnn(self.drop(self.encoder(words)))
        return self.decoder(self.drop(hidden))


def loss_fn(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for words, targets in train_chunks:
            model.zero_grad()
            loss = loss_fn(model(words), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    total, n = 0.0, 0
    with torch.no_grad():
        for words, targets in val_chunks:
            total += loss_fn(model(words), targets).double().item() * targets.numel()
            n += targets.numel()
    return {"loss": total / n}


@labbook.subject
def subject():
    return labbook.Subject(
        model=RNNModel,
        loss=loss_fn,
        loader=train_chunks,
        val=val_chunks,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="language",
        allow={"model/batch-dim": "the batch is the second dimension"},
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = RNNModel()
    print(evaluate(model))
    train(model, make_optimizer(model), 200)
    print(evaluate(model))
