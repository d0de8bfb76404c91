"""The Lion optimiser, which torch does not have."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Sign of an interpolation between momentum and gradient (Chen et al., NeurIPS 2023, algorithm 2).

    c = beta1 m + (1 - beta1) g;  w <- w - lr (sign(c) + weight_decay w);  m <- beta2 m + (1 - beta2) g.

    Args:
        params: Parameters, or groups of them.
        lr: Step size; about a tenth of Adam's.
        betas: beta1 for the step, beta2 for the momentum.
        weight_decay: Decoupled decay.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyrefly: ignore[bad-override]
        """Take one step.

        Raises:
            ValueError: A closure was given; the gradients must be there already.
        """
        if closure is not None:
            raise ValueError("got a closure; expected None. Compute the gradients before `step`.")
        for group in self.param_groups:
            (beta1, beta2), rate = group["betas"], group["lr"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                if group["weight_decay"]:
                    parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(momentum.lerp(gradient, 1 - beta1).sign_(), alpha=-rate)
                momentum.lerp_(gradient, 1 - beta2)
