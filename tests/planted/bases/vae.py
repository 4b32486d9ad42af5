"""A variational autoencoder of digits."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader

import labbook

pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16
pixels = pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))]
train_loader = DataLoader(pixels[:1500], batch_size=64, shuffle=True)
val_loader = DataLoader(pixels[1500:], batch_size=64)


class VAE(nn.Module):
    """Returns the restored picture (as probabilities), and mean and log variance of the code."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 64)
        self.fc21 = nn.Linear(64, 8)
        self.fc22 = nn.Linear(64, 8)
        self.fc3 = nn.Linear(8, 64)
        self.fc4 = nn.Linear(64, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(output, x):
    recon_x, mu, logvar = output
    bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
    # Kingma and Welling, Auto-Encoding Variational Bayes, appendix B
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (bce + kld) / len(x)


def make_optimizer(model):
    return optim.Adam(model.parameters(), lr=2e-3)


def train(model, optimizer, n_steps):
    model.train()
    steps_left = n_steps
    while steps_left:
        for data in train_loader:
            optimizer.zero_grad()
            output = model(data)
            loss = loss_function(output, data)
            loss.backward()
            optimizer.step()
            steps_left -= 1
            if not steps_left:
                break


def evaluate(model):
    model.eval()
    test_loss = 0.0
    with torch.no_grad():
        for data in val_loader:
            test_loss += loss_function(model(data), data).item() * len(data)
    return test_loss / len(val_loader.dataset)


@labbook.subject
def subject():
    return labbook.Subject(
        model=VAE,
        loss=loss_function,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(1)
    vae = VAE()
    print(f"{evaluate(vae):.2f}")
    train(vae, make_optimizer(vae), 400)
    print(f"{evaluate(vae):.2f}")
