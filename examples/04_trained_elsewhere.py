"""Examine a network that your own loop trained: questions about the training are skipped, and say so."""

import torch
from sklearn.datasets import load_iris
from torch import nn

import equipoise

inputs, labels = load_iris(return_X_y=True)
order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
inputs = torch.tensor(inputs, dtype=torch.float32)[order]
labels = torch.tensor(labels)[order]
train, validation, test = slice(0, 90), slice(90, 110), slice(110, 150)

torch.manual_seed(0)
network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(inputs[train]), labels[train]).backward()
    optimizer.step()

report = equipoise.examine(
    network,
    {
        "train": (inputs[train], labels[train]),
        "validation": (inputs[validation], labels[validation]),
        "test": (inputs[test], labels[test]),
    },
    select=["accuracy", "overfitting", "loss-trend", "saturated-units"],
)
for finding in report.worst_first():
    print(f"{finding.verdict:<8} {finding.question:<18} {finding.claim}")
for missing in report.not_examined:
    print(f"skipped  {missing.question:<18} {missing.reason}")
