"""Tells which of four machines wrote a sequence of tokens, of any length, with a GRU."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

import labbook

VOCABULARY = 13  # 0 is padding
N_CLASSES = 4


class Machines(Dataset):
    """Sequences of tokens 1..12 from four Markov chains."""

    def __init__(self, n, seed):
        chains = np.random.default_rng(7).dirichlet(
            np.full(VOCABULARY - 1, 0.5), size=(N_CLASSES, VOCABULARY - 1)
        )
        rng = np.random.default_rng(seed)
        self.items = []
        for _ in range(n):
            label = int(rng.integers(N_CLASSES))
            length = int(rng.integers(10, 31))
            token = int(rng.integers(VOCABULARY - 1))
            tokens = [token + 1]
            while len(tokens) < length:
                token = int(rng.choice(VOCABULARY - 1, p=chains[label, token]))
                tokens.append(token + 1)
            self.items.append((torch.tensor(tokens), label))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def collate(items):
    sequences, labels = zip(*items, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(sequences, batch_first=True), lengths, torch.tensor(labels)


train_set = Machines(1000, seed=0)
val_set = Machines(300, seed=1)
train_loader = DataLoader(train_set, batch_size=32, shuffle=True, collate_fn=collate)
val_loader = DataLoader(val_set, batch_size=64, collate_fn=collate)


class Classifier(nn.Module):
    """Embedding, GRU, and a linear layer on the last state."""

    def __init__(self, width=32):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16, padding_idx=0)
        self.gru = nn.GRU(16, width, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(width, N_CLASSES)

    def forward(self, tokens, lengths):
        embedded = self.embedding(tokens)  # (B, T, 16)
        packed = pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, last = self.gru(packed)  # (1, B, width)
        return self.out(self.drop(last[-1]))


def loss_fn(logits, labels):
    return nn.functional.cross_entropy(logits, labels)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    step = 0
    while True:
        for tokens, lengths, labels in train_loader:
            model.train()
            optimizer.zero_grad()
            loss = loss_fn(model(tokens, lengths), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step == n_steps:
                return


@torch.no_grad()
def evaluate(model):
    model.eval()
    n_right = 0
    for tokens, lengths, labels in val_loader:
        logits = model(tokens, lengths)
        n_right += (logits.argmax(-1) == labels).sum().item()
    return {"accuracy": n_right / len(val_set)}


@labbook.subject
def subject():
    return dict(
        model=Classifier,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    classifier = Classifier()
    print(evaluate(classifier))
    train(classifier, make_optimizer(classifier), 200)
    print(evaluate(classifier))
