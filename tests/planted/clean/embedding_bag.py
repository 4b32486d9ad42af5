"""Classifies short texts with a bag of embeddings: the words of a batch lie end to end."""

import random

import torch
from torch import nn
from torch.utils.data import DataLoader

import labbook

TOPICS = {
    "sport": "ball team goal match run win race coach score league".split(),
    "food": "bread salt oven taste soup sugar cook fruit meal spice".split(),
    "music": "song drum tune choir note piano voice sound band beat".split(),
}
COMMON = "the a of and to in is was it with for on that new old good".split()
WORDS = sorted({*COMMON, *(word for words in TOPICS.values() for word in words)})
number = {word: i for i, word in enumerate(WORDS)}


def write(n, seed):
    pen = random.Random(seed)
    texts = []
    for _ in range(n):
        label = pen.randrange(len(TOPICS))
        topics = list(TOPICS.values())
        words = [
            pen.choice(COMMON)
            if pen.random() < 0.6
            else pen.choice(topics[label] if pen.random() < 0.75 else pen.choice(topics))
            for _ in range(pen.randint(8, 25))
        ]
        texts.append((label, [number[word] for word in words]))
    return texts


def collate_batch(batch):
    labels = torch.tensor([label for label, _ in batch])
    text = torch.tensor([word for _, words in batch for word in words])
    lengths = [len(words) for _, words in batch]
    offsets = torch.tensor([0, *lengths[:-1]]).cumsum(dim=0)
    return text, offsets, labels


train_dataloader = DataLoader(write(1500, 0), batch_size=16, shuffle=True, collate_fn=collate_batch)
valid_dataloader = DataLoader(write(400, 1), batch_size=16, collate_fn=collate_batch)


class TextClassificationModel(nn.Module):
    """The mean of word vectors, and a linear layer."""

    def __init__(self, embed_dim=16):
        super().__init__()
        self.embedding = nn.EmbeddingBag(len(WORDS), embed_dim)
        self.fc = nn.Linear(embed_dim, len(TOPICS))
        self.embedding.weight.data.uniform_(-0.5, 0.5)
        self.fc.weight.data.uniform_(-0.5, 0.5)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


criterion = nn.CrossEntropyLoss()


def make_optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=2.0)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for text, offsets, label in train_dataloader:
            optimizer.zero_grad()
            loss = criterion(model(text, offsets), label)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    total_acc, total_count = 0, 0
    with torch.no_grad():
        for text, offsets, label in valid_dataloader:
            total_acc += (model(text, offsets).argmax(1) == label).sum().item()
            total_count += label.size(0)
    return total_acc / total_count


@labbook.subject
def subject():
    return labbook.Subject(
        model=TextClassificationModel,
        loss=criterion,
        loader=train_dataloader,
        val=valid_dataloader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = TextClassificationModel()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
