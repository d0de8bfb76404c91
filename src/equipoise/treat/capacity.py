"""Wider and narrower networks."""

from equipoise.core.network_plan import FamilyOptions
from equipoise.core.plan import Plan
from equipoise.treat.changing import with_surgery

LAYERS = ("hidden", "channels")
"""Options that list the widths of layers."""


def widened(plan: Plan, factor: float) -> Plan:
    """Return a plan whose hidden layers are wider (a factor above 1) or narrower; no layer gets below one unit.

    Raises:
        ValueError: There is no hidden layer.
    """
    network = plan.network
    if not isinstance(network, FamilyOptions):
        return with_surgery(plan, f"width:{factor:g}")
    changes: dict[str, object] = {}
    for name in LAYERS:
        widths = getattr(network, name, None)
        if widths:
            changes[f"network__{name}"] = [_scaled(width, factor) for width in widths]
    blocks = getattr(network, "blocks", None)
    if isinstance(blocks, tuple):
        changes["network__blocks"] = [[_scaled(width, factor) for width in block] for block in blocks]
    width = getattr(network, "width", None)
    if isinstance(width, int):  # the heads divide it
        heads = int(getattr(network, "heads", 1))
        changes["network__width"] = max(heads, heads * round(width * factor / heads))
    if not changes:
        raise ValueError(
            f"got the family {network.family!r} without hidden layers; expected some. Give it network.hidden."
        )
    return plan.replace(**changes)


def _scaled(width: int, factor: float) -> int:
    return max(1, round(width * factor))
