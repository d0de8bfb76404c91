"""Small trainings, healthy and with one thing planted, as the re-implemented tools see them."""

import importlib

import torch
from torch import nn
from torch.nn import functional


def scce(put, targets):
    return -put.clamp(1e-7, 1).log().gather(1, targets.view(-1, 1)).mean()


def bce(put, targets):
    return functional.binary_cross_entropy(put.clamp(1e-7, 1 - 1e-7), targets.reshape(put.shape).to(put.dtype))


def mse(put, targets):
    return (put - targets.reshape(put.shape)).square().mean()


LOSSES = {
    "sparse_categorical_crossentropy": scce,
    "binary_crossentropy": bce,
    "mean_squared_error": mse,
    "cross_entropy_with_logits": functional.cross_entropy,
}


def inputs(n=96, seed=0):
    return torch.rand(n, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def classes(given):
    return (given[:, 0] + given[:, 1] > 0).long()


def random_classes(n=96):
    return torch.arange(n)[torch.randperm(n, generator=torch.Generator().manual_seed(5))] % 2


def dense(*last, hidden=16, outputs=2):
    """Return a network with He weights and zero biases."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, outputs), *last)
    for one in network:
        if isinstance(one, nn.Linear):
            nn.init.kaiming_normal_(one.weight)
            nn.init.zeros_(one.bias)
    return network


def subject(network=None, loss="sparse_categorical_crossentropy", *, train=None, validation=None, rate=0.02,
            optimizer=None, batch_size=16, epochs=4, shuffle=True, loss_function=None, begin=None, step=None,
            evaluate=None):  # fmt: skip
    network = dense(nn.Softmax(-1)) if network is None else network
    given = inputs()
    return importlib.import_module("benchmarks.diagnosis_programs").Subject(
        network=network,
        loss=loss_function or LOSSES[loss],
        loss_name=loss,
        optimizer=(optimizer or (lambda parameters: torch.optim.Adam(parameters, rate)))(network.parameters()),
        train=(given, classes(given)) if train is None else train,
        validation=validation,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=shuffle,
        begin=begin,
        step=step,
        evaluate=evaluate,
        seed=0,
    )


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


class Detached(nn.Module):
    """Its first layer gets no gradient."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, given):
        return self.head(torch.relu(self.encoder(given)).detach())


def said(causes):
    """Return the symptoms of causes, as the tools name them."""
    return {sentence.partition(":")[0] if not sentence.startswith("fix: ") else sentence.rpartition(":")[0]
            for one in causes for sentence in one["evidence"]}  # fmt: skip
