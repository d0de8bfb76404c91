"""Networks made elsewhere, each with a fault; a plan names them as `sick_networks:function`."""

import torch
from torch import nn
from torch.nn import functional


class Squashed(nn.Module):
    """Four layers whose sigmoids are plain calls."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)])
        self.out = nn.Linear(16, 2)

    def forward(self, inputs):
        for layer in self.layers:
            inputs = torch.sigmoid(layer(inputs))
        return self.out(inputs)


class Starved(nn.Module):
    """Dropout as a plain call that leaves almost nothing."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(2, 16), nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, inputs):
        hidden = functional.dropout(functional.relu(self.first(inputs)), 0.95, self.training)
        return self.out(functional.dropout(functional.relu(self.second(hidden)), 0.95, self.training))


class Recurrent(nn.Module):
    """Plain recurrence that forgets at once."""

    def __init__(self):
        super().__init__()
        self.cells, self.out = nn.RNN(1, 12, batch_first=True), nn.Linear(12, 2)
        with torch.no_grad():
            self.cells.weight_hh_l0.normal_(std=0.01)

    def forward(self, inputs):
        states, _ = self.cells(inputs)
        return self.out(states[:, -1])


def squashed():
    return Squashed()


def starved():
    return Starved()


def recurrent():
    return Recurrent()


def bounded():
    """Return a network for quantities whose sigmoid keeps it between 0 and 1."""
    return nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1), nn.Sigmoid())


def mixing():
    """Return a network whose softmax runs over the samples of a batch."""
    return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 16), nn.Softmax(0), nn.Linear(16, 2))


def straight():
    """Return linear layers in a row."""
    return nn.Sequential(nn.Linear(2, 16), nn.Linear(16, 16), nn.Linear(16, 2))


def frozen():
    """Return a network of which only the last bias is trained."""
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    for name, value in network.named_parameters():
        value.requires_grad_(name == "2.bias")
    return network


def deep(activation=nn.ReLU):
    """Return so many thin layers with torch's weights that neither signal nor gradient gets through."""
    layers = [part for _ in range(27) for part in (nn.Linear(16, 16), activation())]
    return nn.Sequential(nn.Linear(2, 16), activation(), *layers, nn.Linear(16, 2))


def deep_tanh():
    return deep(nn.Tanh)


def steep():
    """Return a network with large weights."""
    network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    for layer in (network[0], network[2]):
        nn.init.kaiming_normal_(layer.weight, a=0)
        layer.weight.data.mul_(2)
    return network


def narrow():
    """Return a network of a single hidden unit."""
    return nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 2))
