"""The gradient noise scale: how many batches it takes until a gradient says more than its noise."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.core.estimate import Estimate
from equipoise.vitals.untouched import untouched


def noise_scale(network: nn.Module, closure: Callable[[], Tensor], *, draws: int = 16) -> Estimate:
    """Return the gradient noise scale from gradients of several batches, with the network left as it was found.

    Trace of the covariance of a batch's gradient over the squared length of the true gradient, that is the simple noise
    scale of McCandlish et al., An Empirical Model of Large-Batch Training (2018), section 2.2, in batches: times the
    batch size it is in samples. Both parts are unbiased: the spread of the gradients about their mean, and the
    squared length of that mean less the part of it that is noise. The interval is a jackknife over the batches, on the
    logarithm; where the true gradient drowns in noise its upper end is infinite.

    Args:
        network: The network; its trainable parameters are the variables.
        closure: Returns the loss of a *fresh* batch at every call, with its graph.
        draws: Batches, at least 3.

    Raises:
        ValueError: Fewer than 3 draws.
    """
    if draws < 3:
        raise ValueError(f"got draws={draws}; expected at least 3 batches for a spread. Give more.")
    variables = [one for one in network.parameters() if one.requires_grad]
    with untouched(network), torch.enable_grad():
        found = [torch.autograd.grad(closure(), variables, allow_unused=True) for _ in range(draws)]
    rows = torch.stack(
        [torch.cat([one.double().reshape(-1) for one in gradient if one is not None]) for gradient in found]
    )
    products = rows @ rows.T
    value = _ratio(products)
    others = [_ratio(products[keep][:, keep]) for keep in (torch.arange(draws) != left for left in range(draws))]
    return _with_jackknife(value, others)


def noise_scale_of_adam(optimizer: Optimizer) -> Estimate | None:
    """Return the gradient noise scale, in batches, from the moments that Adam keeps; None when it keeps none yet.

    The second moment is the squared gradient, signal and noise; the squared first moment is the signal and what is left
    of the noise by averaging, which is known from the decay and the number of steps. It holds as far as the gradient
    stays the same over the memory of the first moment. One number for the whole network; the interval takes the parts
    of the network (parameters) as the sample and is a jackknife over them.

    Args:
        optimizer: Any of torch's that keeps `exp_avg`, `exp_avg_sq` and `step`.
    """
    parts: list[tuple[float, float]] = []
    for group in optimizer.param_groups:
        betas = group.get("betas")
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if betas is None or "exp_avg" not in state or "exp_avg_sq" not in state:
                continue
            step = float(state.get("step", 0))
            if step >= 2:
                parts.append(_noise_and_signal(state["exp_avg"], state["exp_avg_sq"], betas, step))
    if not parts:
        return None
    noise, signal = sum(one for one, _ in parts), sum(one for _, one in parts)
    others = [_divided(noise - one, signal - other) for one, other in parts]
    return _with_jackknife(_divided(noise, signal), others if len(others) > 2 else [])


def _noise_and_signal(first: Tensor, second: Tensor, betas: tuple[float, float], step: float) -> tuple[float, float]:
    """Return trace of the noise and squared length of the gradient of one parameter."""
    decay = float(betas[0])
    weight = 1 - decay**step
    left = (1 - decay) / (1 + decay) * (1 - decay ** (2 * step)) / weight**2  # share of the noise in the mean
    total = float(second.double().sum()) / (1 - float(betas[1]) ** step)
    mean = float(first.double().square().sum()) / weight**2
    noise = (total - mean) / (1 - left)
    return noise, mean - left * noise


def _ratio(products: Tensor) -> float:
    """Return the noise scale of gradients whose products with one another are known."""
    n = len(products)
    mean = float(products.sum()) / n**2
    noise = (float(products.diagonal().sum()) - n * mean) / (n - 1)
    return _divided(noise, mean - noise / n)


def _divided(noise: float, signal: float) -> float:
    return math.inf if signal <= 0 else max(noise, 0.0) / signal


def _with_jackknife(value: float, others: list[float]) -> Estimate:
    n = max(len(others), 1)
    if (
        not others
        or not math.isfinite(value)
        or value == 0
        or not all(math.isfinite(one) and one > 0 for one in others)
    ):
        ends = (
            0.0 if math.isfinite(value) else min([one for one in others if math.isfinite(one)], default=0.0),
            math.inf,
        )
        return Estimate(value=value, low=min(ends[0], value), high=ends[1], n=n, unit="batches", method="jackknife")
    from scipy import stats  # 45 MB that most trainings need not load

    logs = [math.log(one) for one in others]
    middle = sum(logs) / n
    deviation = math.sqrt((n - 1) / n * sum((one - middle) ** 2 for one in logs))
    reach = math.exp(float(stats.t.ppf(0.975, n - 1)) * deviation)
    return Estimate(value=value, low=value / reach, high=value * reach, n=n, unit="batches", method="jackknife")
