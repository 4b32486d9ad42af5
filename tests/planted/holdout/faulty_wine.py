"""Wine cultivars with a small perceptron."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = load_wine(return_X_y=True)
Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.3, random_state=1, stratify=y)
sc = StandardScaler().fit(Xtr)
tr = TensorDataset(torch.tensor(sc.transform(Xtr), dtype=torch.float32), torch.tensor(ytr))
te = TensorDataset(torch.tensor(sc.transform(Xte), dtype=torch.float32), torch.tensor(yte))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(13, 32)
        self.fc2 = nn.Linear(32, 32)
        self.out = nn.Linear(32, 3)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return F.softmax(self.out(x), dim=1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(tr, batch_size=16, shuffle=True),
        val=DataLoader(te, batch_size=16),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
    )
