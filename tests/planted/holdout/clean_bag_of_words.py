"""Topics from word bags: EmbeddingBag with offsets, frozen for nobody, two parameter groups."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Docs(Dataset):
    def __init__(self, n, seed):
        topic = torch.rand(4, 200, generator=torch.Generator().manual_seed(0)).pow(4)
        g = torch.Generator().manual_seed(seed)
        self.docs = []
        for _ in range(n):
            y = int(torch.randint(4, (1,), generator=g))
            k = int(torch.randint(10, 40, (1,), generator=g))
            self.docs.append((torch.multinomial(topic[y], k, True, generator=g), y))

    def __len__(self):
        return len(self.docs)

    def __getitem__(self, i):
        return self.docs[i]


def collate(batch):
    lengths = torch.tensor([0] + [len(d) for d, _ in batch[:-1]])
    return torch.cat([d for d, _ in batch]), lengths.cumsum(0), torch.tensor([y for _, y in batch])


class Topics(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(200, 32, mode="mean")
        self.norm = nn.LayerNorm(32)
        self.fc = nn.Linear(32, 4)

    def forward(self, words, offsets):
        return self.fc(self.norm(self.bag(words, offsets)))


def groups(m):
    decay = [p for p in m.parameters() if p.ndim > 1]
    rest = [p for p in m.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}], 5e-3
    )


@labbook.subject
def subject():
    return labbook.Subject(
        model=Topics,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(Docs(800, 0), 25, shuffle=True, collate_fn=collate),
        val=DataLoader(Docs(200, 1), 25, collate_fn=collate),
        optimizer=groups,
    )
