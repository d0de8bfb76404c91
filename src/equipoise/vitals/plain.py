"""The statistics of one tensor in plain torch: what the kernel computes, for every device and layout."""

import torch
from torch import Tensor

from equipoise.vitals.activations import Bounds

SCALARS = ("count", "sum", "squares", "maximum", "zeros", "saturated", "non_finite", "rows")
"""What is kept of a whole activation. All but `maximum` add up over several calls."""

COUNT, SUM, SQUARES, MAXIMUM, ZEROS, SATURATED, NON_FINITE, ROWS = range(len(SCALARS))

UNIT_SUMS = ("sum", "squares", "active")
"""What is kept of each unit; all of them add up."""


@torch.no_grad()
def activation_statistics(values: Tensor, axis: int | None, bounds: Bounds | None) -> tuple[Tensor, Tensor]:
    """Return the statistics of one activation, on its own device and without waiting for it.

    Sums are taken around the mean and moved back in double precision, so that a small deviation on a large mean keeps
    its digits. A value is active when it is not zero; with `bounds`, when it is not saturated.

    Args:
        values: Floating-point numbers, any shape and layout.
        axis: Where the units lie, or None for a single unit.
        bounds: Below the first and above the second a value is saturated, or None.

    Returns:
        The numbers of `SCALARS`, (8,), and those of `UNIT_SUMS`, (3, U), both in double precision. The maximum is
        that of the absolute values.
    """
    units = 1 if axis is None else values.shape[axis]
    precise = torch.float32 if values.device.type == "mps" else torch.float64
    if not values.numel():
        return (
            torch.zeros(len(SCALARS), dtype=precise, device=values.device),
            torch.zeros(len(UNIT_SUMS), units, dtype=precise, device=values.device),
        )
    rows = values.numel() // units
    wide = values if values.dtype in (torch.float32, torch.float64) else values.float()
    others = [at for at in range(wide.dim()) if at != axis]
    zero = wide == 0
    inside = ~zero if bounds is None else (wide > bounds[0]) & (wide < bounds[1])
    middle = wide.mean().nan_to_num(0.0, 0.0, 0.0)
    shifted = wide - middle
    first = _over(shifted, others).to(precise)
    second = _over(shifted * shifted, others).to(precise)
    middle = middle.to(precise)
    sums = first + rows * middle
    squares = second + 2 * middle * first + rows * middle * middle
    active = _over(inside, others).to(precise)
    known = torch.tensor((values.numel(), rows), dtype=precise, device="cpu").to(values.device, non_blocking=True)
    saturated = zero.new_zeros((), dtype=precise) if bounds is None else _outside(wide, bounds, precise)
    scalars = torch.stack(
        (
            known[0],
            sums.sum(),
            squares.sum(),
            wide.abs().amax().to(precise),
            zero.sum().to(precise),
            saturated,
            (~torch.isfinite(wide)).sum().to(precise),
            known[1],
        )
    )
    return scalars, torch.stack((sums.reshape(units), squares.reshape(units), active.reshape(units)))


def _over(values: Tensor, axes: list[int]) -> Tensor:
    return values.sum(axes) if axes else values.clone() if values.dtype != torch.bool else values.long()


def _outside(values: Tensor, bounds: Bounds, precise: torch.dtype) -> Tensor:
    return ((values <= bounds[0]) | (values >= bounds[1])).sum().to(precise)
