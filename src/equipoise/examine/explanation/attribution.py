"""Attribution methods, by Captum, brought to one shape: how much each player speaks for the answer."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from captum.attr import (
    DeepLift,
    FeatureAblation,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    Saliency,
)
from torch import Tensor, nn

from equipoise.examine.explanation.explained import UNKNOWN, Explained, Sheet
from equipoise.examine.feature_view import token_embedding
from equipoise.networks.network import Network

_STEPS = 16

_MISFITS = (
    RuntimeError,
    AssertionError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
)
"""What Captum raises when a method does not fit an architecture."""

Method = Callable[[Network, Sheet], Tensor]
"""Takes a network and samples, returns attributions (n, players)."""


@dataclass(frozen=True, slots=True, eq=False)
class Attributions:
    """What each method says, and why others could say nothing.

    Attributes:
        by_method: Attributions (n, players), float64, by method.
        refused: Reason by method that does not fit the network.
    """

    by_method: dict[str, Tensor]
    refused: dict[str, str]


def methods_for(network: Network, sheet: Sheet) -> dict[str, Method]:
    """Return the methods that make sense for the features; token ids have no gradient of their own.

    For them, gradients are those of the embedding's vectors, summed over each vector.
    """
    if not sheet.tokens:
        plain: dict[str, Method] = {
            "saliency": _saliency,
            "input x gradient": _input_x_gradient,
            "integrated gradients": _integrated_gradients,
            "DeepLift": _deep_lift,
            "occlusion": _occlusion,
        }
        return plain | ({"Grad-CAM": _grad_cam} if sheet.players.picture and _last_convolution(network) else {})
    embedding = token_embedding(network, sheet.inputs[:1])
    hidden: dict[str, Method] = {"occlusion": _occlusion}
    if isinstance(embedding, nn.Embedding):
        hidden["input x gradient"] = _vectors_x_gradient
        hidden["integrated gradients"] = _integrated_vectors
    return hidden


def attribute(network: Network, sheet: Sheet, methods: dict[str, Method]) -> Attributions:
    """Return what the methods say about the samples; one that does not fit the network is left out with its reason.

    Args:
        network: A copy in evaluation mode; Captum hangs hooks on it and takes them off again.
        sheet: The samples.
        methods: As `methods_for` gives them.
    """
    found: dict[str, Tensor] = {}
    refused: dict[str, str] = {}
    for name, method in methods.items():
        try:
            # Captum warns that it sets hooks and gradients; both happen on a copy.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said = method(network, sheet).detach().double()
        except _MISFITS as problem:
            refused[name] = f"{type(problem).__name__}: {' '.join(str(problem).split())[:120]}"
            continue
        if bool(said.isfinite().all()):
            found[name] = said
        else:
            refused[name] = "gave numbers that are not finite"
    return Attributions(found, refused)


def _saliency(network: Network, sheet: Sheet) -> Tensor:
    said = Saliency(Explained(network)).attribute(_fresh(sheet), additional_forward_args=(sheet.decided,))
    return sheet.players.gathered(said)


def _input_x_gradient(network: Network, sheet: Sheet) -> Tensor:
    said = InputXGradient(Explained(network)).attribute(_fresh(sheet), additional_forward_args=(sheet.decided,))
    return sheet.players.gathered(said)


def _integrated_gradients(network: Network, sheet: Sheet) -> Tensor:
    said = IntegratedGradients(Explained(network)).attribute(
        _fresh(sheet),
        baselines=sheet.baseline,
        additional_forward_args=(sheet.decided,),
        n_steps=_STEPS,
        internal_batch_size=max(512, len(sheet)),
    )
    return sheet.players.gathered(said)


def _deep_lift(network: Network, sheet: Sheet) -> Tensor:
    said = DeepLift(Explained(network)).attribute(
        _fresh(sheet), baselines=sheet.baseline, additional_forward_args=(sheet.decided,)
    )
    return sheet.players.gathered(said)


@torch.no_grad()
def _occlusion(network: Network, sheet: Sheet) -> Tensor:
    said = FeatureAblation(Explained(network)).attribute(
        sheet.features,
        baselines=sheet.baseline,
        additional_forward_args=(sheet.decided,),
        feature_mask=sheet.players.coarse.to(sheet.features.device)[None],
    )
    # A group's attribution stands on each of its features; summing over a player's features only scales it.
    return sheet.players.gathered(said.double())


def _grad_cam(network: Network, sheet: Sheet) -> Tensor:
    layer = _last_convolution(network)
    if layer is None:
        raise ValueError("got a network without a convolution; expected one for Grad-CAM. Use another method.")
    said = LayerGradCam(Explained(network), layer).attribute(
        _fresh(sheet), additional_forward_args=(sheet.decided,), relu_attributions=True
    )
    if not isinstance(said, Tensor) or min(said.shape[2:]) < 2:
        raise ValueError("got a last convolution with fewer than 2 x 2 positions; expected a map. Use another method.")
    size = (int(sheet.features.shape[2]), int(sheet.features.shape[3]))
    widened = LayerAttribution.interpolate(said, size, interpolate_mode="bilinear")
    return sheet.players.gathered(widened.expand_as(sheet.features))


def _vectors_x_gradient(network: Network, sheet: Sheet) -> Tensor:
    layer = _embedding(network, sheet)
    said = LayerGradientXActivation(Explained(network), layer).attribute(
        sheet.features, additional_forward_args=(sheet.decided,)
    )
    return _over_vectors(said)


def _integrated_vectors(network: Network, sheet: Sheet) -> Tensor:
    layer = _embedding(network, sheet)
    said = LayerIntegratedGradients(Explained(network), layer).attribute(
        sheet.features,
        baselines=torch.where(sheet.features == 0, sheet.features, UNKNOWN),
        additional_forward_args=(sheet.decided,),
        n_steps=_STEPS,
        internal_batch_size=max(512, len(sheet)),
    )
    return _over_vectors(said)


def _over_vectors(said: object) -> Tensor:
    if not isinstance(said, Tensor):
        raise TypeError(f"got {type(said).__name__} from Captum; expected one tensor. Use a layer with one output.")
    return said.sum(-1)


def _fresh(sheet: Sheet) -> Tensor:
    return sheet.features.detach().clone().requires_grad_()


def _embedding(network: Network, sheet: Sheet) -> nn.Module:
    layer = token_embedding(network, sheet.inputs[:1])
    if layer is None:
        raise ValueError("got a network without an embedding of token ids; expected one. Use occlusion.")
    return layer.requires_grad_()


def _last_convolution(network: Network) -> nn.Conv2d | None:
    found = [one for one in network.body.modules() if isinstance(one, nn.Conv2d)]
    return found[-1] if found else None
