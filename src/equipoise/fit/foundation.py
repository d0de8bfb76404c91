"""What a network learns before its own training: a denoiser in front of it, and first weights from another problem."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from equipoise.core.data_plan import GivenData
from equipoise.core.network_plan import AutoencoderNetwork, DenseNetwork, FamilyOptions, ForeignNetwork
from equipoise.core.plan import Plan, read_plan
from equipoise.core.progress import Listener
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ImageInput, Task, TextInput
from equipoise.data.samples import Samples, Splits, TensorSamples
from equipoise.fit.fitted import Fit
from equipoise.fit.seeds import derive
from equipoise.fit.validation import BATCH
from equipoise.networks.archive import load_network
from equipoise.networks.features import features_of
from equipoise.networks.front import Denoised, denoiser_plan, reduced_features
from equipoise.networks.network import Network

STEPS = 1000
"""Fewest steps for which an autoencoder is trained."""

IMAGE_NOISE, OTHER_NOISE = 0.15, 0.5
"""Noise that a denoiser learns to remove, as `Recipe.noise_level` counts it."""


def check_foundation(plan: Plan, splits: Splits) -> None:
    """Refuse what cannot be learned beforehand.

    Raises:
        ValueError: Pretraining of layers that no autoencoder has, or a related problem that is not named.
    """
    network = plan.network
    if isinstance(network, ForeignNetwork) or network.pretraining == "none":
        return
    if network.pretraining == "related" and not network.related:
        raise ValueError(
            "network.pretraining: got 'related' without a related problem; expected network.related, a saved network "
            "or a plan for the same inputs. Name one."
        )
    if network.pretraining == "reconstruction" and not (
        isinstance(network, DenseNetwork) and network.hidden and not isinstance(splits.signature.inputs, TextInput)
    ):
        raise ValueError(
            f"network.pretraining: got 'reconstruction' for the family {network.family!r} and "
            f"{splits.signature.inputs.kind} inputs; expected dense hidden layers on numbers, which an autoencoder "
            "shares. Leave it out, or name a related problem: pretraining = 'related'."
        )


def lay_foundation(
    plan: Plan, seed: int, splits: Splits, network: Network, *, trust: bool, on_progress: Listener
) -> None:
    """Train what comes before the network's own training, in place; nothing where the plan asks for nothing.

    Args:
        plan: Its network section says what.
        seed: Draws everything random.
        splits: The data, prepared; only inputs of the training part are learned from, and the validation part judges.
        network: Just built.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told how far it is.

    Raises:
        ValueError: See `check_foundation`; or the related problem has other inputs or other layers.
    """
    check_foundation(plan, splits)
    options = plan.network
    if not isinstance(options, FamilyOptions):
        return
    if options.denoise and isinstance(network.preprocess, Denoised):
        features = features_of(splits.signature.inputs, splits.preprocessing.inputs)
        shape = denoiser_plan(reduced_features(features, splits.preprocessing.reduction))
        cleaner = _restoring(shape.replace(standardise=options.standardise), plan, seed, splits, on_progress)
        network.preprocess.denoiser.load_state_dict(cleaner.network.body.state_dict())
    if options.pretraining == "reconstruction" and isinstance(options, DenseNetwork):
        shape = AutoencoderNetwork(
            hidden=options.hidden,
            code=max(1, options.hidden[-1] // 2),
            activation=options.activation,
            normalisation=options.normalisation,
            standardise=options.standardise,
        )
        coder = _restoring(shape, plan, seed, splits, on_progress)
        _transplant(coder.network.body.state_dict(), network.body, "the reconstruction of the inputs")
    elif options.pretraining == "related":
        source = _related(options.related, seed, trust=trust, on_progress=on_progress)
        _transplant(source.body.state_dict(), network.body, options.related)


def _restoring(shape: AutoencoderNetwork, plan: Plan, seed: int, splits: Splits, on_progress: Listener) -> Fit:
    """Return an autoencoder that restores the inputs from noisy ones (Vincent et al., ICML 2008)."""
    from equipoise.fit.fit import fit  # which needs this

    level = IMAGE_NOISE if isinstance(splits.signature.inputs, ImageInput) else OTHER_NOISE
    steps_per_epoch = math.ceil(len(splits.train) / plan.recipe.batch_size)
    recipe = Recipe(
        epochs=max(plan.recipe.epochs, math.ceil(STEPS / steps_per_epoch)),
        batch_size=plan.recipe.batch_size,
        augmentation=("noise",),
        noise_level=level,
        device=plan.recipe.device,
        threads=plan.recipe.threads,
    )
    asked = Plan(name="restoring", data=GivenData(), network=shape, recipe=recipe)
    unlabelled = replace(
        splits,
        signature=splits.signature.replace(task=Task(kind="reconstruction")),
        preprocessing=splits.preprocessing.replace(target_mean=(), target_scale=()),
        train=_inputs_of(splits.train),
        validation=_inputs_of(splits.validation),
        test=_inputs_of(splits.test),
        prepared=True,
    )
    return fit(asked, derive(seed, "restoring"), splits=unlabelled, on_progress=on_progress)


def _inputs_of(samples: Samples) -> TensorSamples:
    inputs = torch.cat([samples.batch(chunk)[0] for chunk in torch.arange(len(samples)).split(BATCH)])
    return TensorSamples(inputs, torch.zeros(len(inputs), 0))


def _related(related: str, seed: int, *, trust: bool, on_progress: Listener) -> Network:
    from equipoise.fit.fit import fit

    path = Path(related)
    if path.suffix != ".toml":
        return load_network(path, trust=trust)
    return fit(read_plan(path), derive(seed, "related"), trust=trust, on_progress=on_progress).network


@torch.no_grad()
def _transplant(source: dict[str, Tensor], body: nn.Module, origin: str) -> None:
    """Copy all tensors of the same name and shape but those of the last layer, which answers another question.

    Raises:
        ValueError: Not even the first layer is the same.
    """
    known = {name.removeprefix("encoder."): tensor for name, tensor in source.items()}
    last = [name for name, module in body.named_modules() if isinstance(module, nn.Linear)][-1:]
    own = {
        name: tensor
        for name, tensor in body.state_dict().items()
        if not name.startswith(tuple(f"{one}." for one in last))
    }
    shared = [name for name, tensor in own.items() if name in known and known[name].shape == tensor.shape]
    first = next((name for name, _ in body.named_parameters()), "")
    if first not in shared:
        came = tuple(known[first].shape) if first in known else "none"
        raise ValueError(
            f"network.pretraining: got {origin}, whose first layer is of shape {came}; expected "
            f"{tuple(own[first].shape) if first in own else 'a hidden layer'}. Use the same family, widths and inputs "
            "there."
        )
    for name in shared:
        own[name].copy_(known[name])
