"""What is done to a network and its recipe before the first step, where the recipe asks for it."""

import torch

from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.fit.activity import untouched
from equipoise.fit.fitted import Execution
from equipoise.fit.rate_search import find_rate
from equipoise.fit.seeds import derive
from equipoise.fit.surgery import Surgery
from equipoise.networks.network import Network

SEEN = 256
"""Most samples on which units are scaled."""


def begin(plan: Plan, seed: int, splits: Splits, network: Network, execution: Execution) -> tuple[Plan, Execution]:
    """Return the plan that is trained and how: with the learning rate of a range test where the recipe asks for one.

    Where it asks for unit scaling, the network is scaled in place. A rate that the execution already records is taken
    as it is, so that a training that goes on keeps the one it began with.

    Args:
        plan: As it is written.
        seed: Of the fit.
        splits: The data; only the training part is looked at.
        network: Not trained yet, laid out on its device.
        execution: How it is executed.

    Raises:
        ValueError: Units are to be scaled and there is no hidden dense or convolutional layer.
    """
    if plan.recipe.unit_scaling:
        scale_units(network, splits, seed, torch.device(execution.device))
    if not plan.recipe.learning_rate_search:
        return plan, execution
    rate = execution.learning_rate or find_rate(plan, seed, splits, network, execution)
    return plan.replace(recipe__learning_rate=rate), execution.replace(learning_rate=rate)


def scale_units(network: Network, splits: Splits, seed: int, device: torch.device) -> int:
    """Scale every hidden unit to mean 0 and deviation 1 on some training rows, in place; return how many units.

    This is layer-sequential unit-variance initialisation (Mishkin and Matas, ICLR 2016), unit by unit and with the
    means (Krähenbühl et al., ICLR 2016): gain and bias of a unit are set, the direction of its weights stays.

    Args:
        network: Not trained yet, on its device.
        splits: The data.
        seed: Draws the rows.
        device: Where the network is.

    Raises:
        ValueError: There is no hidden dense or convolutional layer.
    """
    surgery = Surgery(network.body)
    if not surgery.possible:
        raise ValueError(
            "recipe.unit_scaling: got a network without a hidden dense or convolutional layer; expected at least one. "
            "Set it to false, or add a layer."
        )
    generator = torch.Generator().manual_seed(derive(seed, "unit scaling"))
    rows = torch.randperm(len(splits.train), generator=generator)[:SEEN]
    features = network.preprocess(splits.train.batch(rows)[0].to(device))
    was_training = network.training
    network.eval()
    surgery.order("scale-units", seed, {})
    with untouched(network), torch.enable_grad():
        network.body(features)
    network.train(was_training)
    return surgery.units
