"""From a plan to a network: pre-processing, body and head, drawn from a seed."""

import torch
from torch import nn

from equipoise.core.network_plan import (
    AutoencoderNetwork,
    ConvolutionalNetwork,
    DenseNetwork,
    ForeignNetwork,
    GenerativePair,
    NetworkPlan,
    RecurrentNetwork,
    ResidualNetwork,
    TransformerNetwork,
    VggNetwork,
)
from equipoise.core.preprocessing import Preprocessing
from equipoise.core.signature import Signature, Task
from equipoise.networks.autoencoder import autoencoder
from equipoise.networks.convolutional import convolutional
from equipoise.networks.dense import dense
from equipoise.networks.features import Features, features_of
from equipoise.networks.foreign_plan import build_foreign
from equipoise.networks.front import denoised, reduced, reduced_features
from equipoise.networks.generative import generative_pair
from equipoise.networks.heads import head_of, score_width
from equipoise.networks.initialise import initialise
from equipoise.networks.network import Network
from equipoise.networks.preprocess import inverse_module, preprocess_module
from equipoise.networks.recurrent import recurrent
from equipoise.networks.residual import residual
from equipoise.networks.spectral import bound
from equipoise.networks.transformer import transformer
from equipoise.networks.vgg import vgg

_TAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "dense": (("vector", "image", "sequence", "tokens"), ""),
    "convolutional": (("image", "sequence"), "images, sounds or sequences"),
    "vgg": (("image", "sequence"), "images, sounds or sequences"),
    "residual": (("vector", "image", "sequence"), "numbers, images, sounds or sequences"),
    "recurrent": (("image", "sequence", "tokens"), "texts, sounds, sequences or images (read row by row)"),
    "transformer": (("image", "sequence", "tokens"), "texts, sounds, sequences or images (read row by row)"),
    "autoencoder": (("vector", "image", "sequence"), "numbers, images, sounds or sequences"),
    "generative-pair": (("vector", "image", "sequence"), "numbers, images, sounds or sequences"),
}

_INSTEAD = {
    "vector": "dense' or 'residual",
    "image": "dense' or 'convolutional",
    "sequence": "recurrent' or 'transformer",
    "tokens": "dense', 'recurrent' or 'transformer",
}

_TASK_FAMILY = {
    "reconstruction": ("autoencoder",),
    "clustering": ("autoencoder",),
    "generation": ("generative-pair",),
    "sequence-labelling": ("recurrent", "transformer"),
}


def build(
    plan: NetworkPlan, signature: Signature, preprocessing: Preprocessing, seed: int, *, trust: bool = False
) -> Network:
    """Return the untrained network of a plan; the same seed gives the same weights, the global generator is untouched.

    Args:
        plan: A family with its options, or a reference to a network made elsewhere.
        signature: What goes in and comes out.
        preprocessing: Numbers fitted on the training part.
        seed: Draws the initial weights.
        trust: Whether files that can run code when they are opened may be opened (foreign networks).

    Raises:
        ValueError: The family cannot take these inputs or this task; the message names a family that can.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(plan, ForeignNetwork):
            return build_foreign(plan, signature, preprocessing, seed=seed, trust=trust)
        features = reduced_features(features_of(signature.inputs, preprocessing.inputs), preprocessing.reduction)
        _check(plan.family, features, signature.task)
        standardised = preprocess_module(signature, preprocessing, standardise=plan.standardise)
        preprocess = reduced(standardised, preprocessing.reduction)
        body = _body(plan, features, signature.task, score_width(signature.task, preprocessing))
        initialise(body, plan, seed)
        if plan.spectral_norm:
            bound(body)
        front = denoised(preprocess, features) if plan.denoise else preprocess
    code = plan.code if isinstance(plan, AutoencoderNetwork) else 0
    inverse = inverse_module(preprocess, signature, preprocessing)
    scale = preprocessing if plan.standardise_targets else preprocessing.replace(target_mean=(), target_scale=())
    head = head_of(signature.task, scale, inverse=inverse, code=code)
    return Network(front, body, head, signature)


def _body(plan: NetworkPlan, features: Features, task: Task, scores: int) -> nn.Module:
    every_step = task.kind == "sequence-labelling"
    match plan:
        case DenseNetwork():
            return dense(plan, features, scores)
        case ConvolutionalNetwork():
            return convolutional(plan, features, scores)
        case VggNetwork():
            return vgg(plan, features, scores)
        case ResidualNetwork():
            return residual(plan, features, scores)
        case RecurrentNetwork():
            return recurrent(plan, features, scores, every_step=every_step)
        case TransformerNetwork():
            return transformer(plan, features, scores, every_step=every_step)
        case AutoencoderNetwork():
            return autoencoder(plan, features, scores_are_codes=task.kind == "clustering")
        case GenerativePair():
            return generative_pair(plan, features)
        case _:
            raise ValueError(
                f"got the family {plan.family!r}; expected one of {', '.join(_TAKES)} or foreign. Use one of these."
            )


def _check(family: str, features: Features, task: Task) -> None:
    """Refuse a family that cannot take the task or the features.

    Raises:
        ValueError: It cannot.
    """
    wanted = _TASK_FAMILY.get(task.kind)
    if wanted is not None and family not in wanted:
        raise ValueError(
            f"got the family {family!r} for {task.kind}; expected {' or '.join(repr(one) for one in wanted)}. "
            f"Set `network.family` to {wanted[0]!r}."
        )
    if wanted is None and family in ("autoencoder", "generative-pair"):
        raise ValueError(
            f"got the family {family!r} for {task.kind}; expected a family that predicts targets. "
            f"Use the family '{_INSTEAD[features.kind]}', or set `data.task` to "
            f"{'reconstruction' if family == 'autoencoder' else 'generation'!r}."
        )
    kinds, words = _TAKES[family]
    if features.kind not in kinds:
        instead = _INSTEAD[features.kind] if wanted is None else ""
        cure = f"Use the family '{instead}' for such data" if instead else "Choose another task (`data.task`) for them"
        raise ValueError(f"got a {features} for the family {family!r}; expected {words}. {cure}.")
