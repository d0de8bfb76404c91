"""The governor in a plain loop of one's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.fit.governor import Decision, Governor

SAMPLE_EVERY = 16
"""Steps between two measurements of the gradient norm."""


class GovernedLoop:
    """Governs a loop that steps one optimiser by itself; made by `governing`.

    Attributes:
        governor: Says what was done (`governor.acts`).
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        self.governor = Governor(network, (optimizer,), seed=seed)
        self._losses: list[Tensor | float] = []
        self._norms: list[tuple[int, Tensor]] = []
        self._rates: list[float] | None = None
        self._step = 0
        self._handles = (
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        )

    def after_step(self, loss: Tensor | float) -> Decision:
        """Take in the loss of a step and say how to go on.

        With `ROLLED_BACK` weights and optimiser are those of an earlier step, and the loop goes on with its next batch;
        with `STOP` they are the last good ones, and going on makes no sense.
        """
        self._losses.append(loss.detach() if isinstance(loss, Tensor) else loss)
        self._step += 1
        if not self.governor.is_due(self._step):
            return Decision.GO_ON
        norms = [(step, float(norm)) for step, norm in self._norms]
        self.governor.hear([float(one) for one in self._losses], norms)
        self._losses.clear()
        self._norms.clear()
        return self.governor.judge(self._step)

    def close(self) -> None:
        """Let go of the network and the optimiser."""
        self.governor.close()
        for handle in self._handles:
            handle.remove()

    def _before_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        parameters = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
        if self._step % SAMPLE_EVERY == 0:
            gradients = [one.grad for one in parameters]
            self._norms.append((self._step + 1, nn.utils.get_total_norm(gradients)))
        force = self.governor.in_force
        if not force.any:
            return
        if not self.governor.may_step(self._step):
            for parameter in parameters:  # without a gradient an optimiser leaves a parameter and its moments alone
                parameter.grad = None
        factor = force.rate_factor(self._step)
        if factor != 1.0:
            self._rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor

    def _after_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._step == 0:
            self.governor.note_first_step()
        if self._rates is not None:
            for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate
            self._rates = None


@contextmanager
def governing(network: nn.Module, optimizer: torch.optim.Optimizer, *, seed: int = 0) -> Iterator[GovernedLoop]:
    """Govern a plain training loop.

        with governing(network, optimizer) as governed:
            for inputs, targets in batches:
                ...                                              # zero_grad, forward, backward, optimizer.step()
                if governed.after_step(loss) is Decision.STOP:
                    break
        print(governed.governor.acts)

    Args:
        network: What is trained, at its first weights.
        optimizer: What trains it; a schedule may go on setting its learning rate.
        seed: Draws the weights of revived units.
    """
    loop = GovernedLoop(network, optimizer, seed)
    try:
        yield loop
    finally:
        loop.close()
