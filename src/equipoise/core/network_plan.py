"""The network part of a plan: a family with its options, or a reference to a network made elsewhere."""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.core.record import Record
from equipoise.core.surgeries import Surgery

Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid", "elu", "selu", "linear"]
Normalisation = Literal["none", "batch", "layer", "group"]
Initialisation = Literal["default", "he", "glorot", "orthogonal", "lecun"]
Width = Annotated[int, Field(ge=1)]


class FamilyOptions(Record):
    """What every family has.

    Attributes:
        dropout: A unit's chance of being dropped.
        spectral_norm: Whether hidden dense and convolutional layers are divided by their largest singular value.
        standardise: False leaves the inputs in raw units.
        standardise_targets: False trains regression in the targets' own units.
        denoise: Whether a denoising autoencoder, fitted on the training part, cleans the features first.
        pretraining: Where the first weights come from: `reconstruction` of the inputs (dense layers), or `related`.
        related: For `related`: the saved network, or the plan, of a problem with the same inputs.
    """

    activation: Activation = "relu"
    normalisation: Normalisation = "none"
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    initialisation: Initialisation = "default"
    spectral_norm: bool = False
    standardise: bool = True
    standardise_targets: bool = True
    denoise: bool = False
    pretraining: Literal["none", "reconstruction", "related"] = "none"
    related: str = ""


class DenseNetwork(FamilyOptions):
    """Fully connected layers of the given widths; inputs of any rank are flattened (token ids: mean embedding).

    With `links` every hidden layer after the first adds what it got to what it gives.
    """

    family: Literal["dense"] = "dense"
    hidden: tuple[Width, ...] = (64, 64)
    links: bool = False
    embedding: Width = 64


class ConvolutionalNetwork(FamilyOptions):
    """Convolutions, one a channel count, max-pool 2 after all but the last while the image allows it, then dense."""

    family: Literal["convolutional"] = "convolutional"
    channels: tuple[Width, ...] = (32, 64, 64)
    hidden: tuple[Width, ...] = (64,)
    kernel: Width = 3


class VggNetwork(FamilyOptions):
    """Blocks of 3x3 convolutions, each ended by max-pool 2 (Simonyan and Zisserman, ICLR 2015)."""

    family: Literal["vgg"] = "vgg"
    blocks: tuple[tuple[Width, ...], ...] = ((32, 32), (64, 64))
    hidden: tuple[Width, ...] = (128,)


class ResidualNetwork(FamilyOptions):
    """Residual blocks of two convolutions (images) or two dense layers (vectors) (He et al., CVPR 2016)."""

    family: Literal["residual"] = "residual"
    normalisation: Normalisation = "batch"
    channels: tuple[Width, ...] = (32, 64)
    blocks: Width = 2


class RecurrentNetwork(FamilyOptions):
    """Recurrent layers over steps (images: over rows); the last state is read out (sequence labelling: every state)."""

    family: Literal["recurrent"] = "recurrent"
    cell: Literal["plain", "lstm", "gru"] = "lstm"
    activation: Activation = "tanh"
    hidden: tuple[Width, ...] = (64,)
    bidirectional: bool = False
    embedding: Width = 64


class TransformerNetwork(FamilyOptions):
    """A pre-norm transformer encoder over steps, with learned positions (Vaswani et al., NeurIPS 2017)."""

    family: Literal["transformer"] = "transformer"
    activation: Activation = "gelu"
    normalisation: Normalisation = "layer"
    width: Width = 64
    depth: Width = 2
    heads: Width = 4
    embedding: Width = 64


class AutoencoderNetwork(FamilyOptions):
    """An encoder to `code` numbers and a decoder back.

    `variational` makes the code a distribution (Kingma and Welling, ICLR 2014).
    """

    family: Literal["autoencoder"] = "autoencoder"
    hidden: tuple[Width, ...] = (128, 64)
    code: Width = 16
    variational: bool = False


class GenerativePair(FamilyOptions):
    """A generator from noise and a discriminator (Goodfellow et al., NeurIPS 2014)."""

    family: Literal["generative-pair"] = "generative-pair"
    activation: Activation = "leaky-relu"
    hidden: tuple[Width, ...] = (128, 128)
    noise: Width = 32


class ForeignNetwork(Record):
    """A network made elsewhere.

    Attributes:
        path: A `.keras`, `.h5`, `.pt2`, `.onnx` or `.safetensors` file; or empty.
        factory: `module:function` that returns an `nn.Module`; needed with `.safetensors`.
        output: What the module returns: `logits`, `probabilities` or `values`; without it, found by running it.
        standardise: Whether fitted standardisation is put in front of it, and its outputs are standardised targets.
        standardise_targets: Whether its outputs alone are standardised targets (regression).
        surgeries: What is changed in its module tree before it is trained, in order; see `core.surgeries`.
        digest: SHA-256 of the file, filled in by the run.
    """

    family: Literal["foreign"] = "foreign"
    path: str = ""
    factory: str = ""
    output: Literal["logits", "probabilities", "values"] | None = None
    standardise: bool = False
    standardise_targets: bool = False
    surgeries: tuple[Surgery, ...] = ()
    digest: str = ""


NetworkPlan = Annotated[
    DenseNetwork
    | ConvolutionalNetwork
    | VggNetwork
    | ResidualNetwork
    | RecurrentNetwork
    | TransformerNetwork
    | AutoencoderNetwork
    | GenerativePair
    | ForeignNetwork,
    Field(discriminator="family"),
]
