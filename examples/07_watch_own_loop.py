"""The vital signs of your own loop: `watch` around it, no other line changed."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import equipoise

torch.manual_seed(0)
digits = load_digits()
inputs = torch.tensor(digits.data, dtype=torch.float32) / 16
targets = torch.tensor(digits.target)
network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
criterion = nn.CrossEntropyLoss()

with equipoise.watch(network, optimizer) as vitals:
    for _ in range(3):
        for index in torch.randperm(len(inputs)).split(64):
            loss = criterion(network(inputs[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    last = vitals.read()  # the steps since the last full window

print(f"steps {last.steps[0]} to {last.steps[-1]}: loss {last.loss[0]:.2f} to {last.loss[-1]:.2f}")
for number, layer in enumerate(last.layers):
    mean, deviation, zeros = (last.activation[name][-1, number] for name in ("mean", "deviation", "zeros"))
    silent = (last.fired[number] == 0).mean()
    print(f"{layer.name} {layer.kind:<6} {mean:+.2f} ± {deviation:.2f}, zeros {zeros:.0%}, silent units {silent:.0%}")
for number, weights in enumerate(last.weights):
    norm, ratio = last.gradient["norm"][-1, number], last.weight["update_ratio"][-1, number]
    print(f"{weights.name:<8} gradient {norm:.4f}, a step moves it by {ratio:.2%}")
for symptom in vitals.symptoms():
    print(f"{symptom.verdict}: {symptom.claim}")
