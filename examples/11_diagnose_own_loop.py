"""A loop that does not learn, diagnosed: what is wrong, where, how sure that is, and the cure."""

import torch
from torch import nn

import equipoise

generator = torch.Generator().manual_seed(0)
inputs = torch.randn(400, 6, generator=generator)
labels = (inputs[:, :2].prod(1) > 0).long()


def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Start the loop anew."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    return network, torch.optim.SGD(network.parameters(), lr=0.3)


def step(
    network: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Take one step of the loop, as its author wrote it."""
    loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
    loss.backward()  # nobody calls optimizer.zero_grad()
    optimizer.step()
    return loss.detach()


network, optimizer = begin()
report = equipoise.diagnose(
    network,
    nn.functional.cross_entropy,
    optimizer,
    train=(inputs[:300], labels[:300]),
    validation=(inputs[300:], labels[300:]),
    epochs=15,
    step=step,
    begin=begin,
    budget_s=30,
)
print(report)
