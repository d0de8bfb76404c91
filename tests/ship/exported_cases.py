"""One small network a family and input kind, with fresh raw inputs for it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.core.network_plan import (
    AutoencoderNetwork,
    ConvolutionalNetwork,
    DenseNetwork,
    GenerativePair,
    NetworkPlan,
    RecurrentNetwork,
    ResidualNetwork,
    TransformerNetwork,
    VggNetwork,
)
from equipoise.core.preprocessing import (
    ArrayNumbers,
    ImageNumbers,
    NoNumbers,
    Preprocessing,
    SoundNumbers,
    TableNumbers,
)
from equipoise.core.signature import (
    ArrayInput,
    Column,
    ImageInput,
    Signature,
    SoundInput,
    TableInput,
    Task,
    TextInput,
)
from equipoise.networks.build import build
from equipoise.networks.network import Network

THREE = Task(kind="multiclass", classes=("a", "b", "c"))


@dataclass(frozen=True)
class Case:
    """A network that can be built, and how to draw raw inputs for it."""

    name: str
    plan: NetworkPlan
    signature: Signature
    preprocessing: Preprocessing
    draw: Callable[[int, torch.Generator], Tensor]

    def network(self, seed: int = 0) -> Network:
        network = build(self.plan, self.signature, self.preprocessing, seed)
        # Batch statistics and centroids other than the initial ones, as after a training.
        generator = torch.Generator().manual_seed(seed)
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "centroids")):
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
        return network.eval()

    def inputs(self, n: int, seed: int = 0) -> Tensor:
        return self.draw(n, torch.Generator().manual_seed(seed))


def _rows(n: int, generator: torch.Generator) -> Tensor:
    numbers = torch.randn(n, 2, generator=generator) * 5
    category = torch.randint(0, 3, (n, 1), generator=generator).float()
    rows = torch.cat([numbers, category], 1)
    rows[torch.rand(n, 3, generator=generator) < 0.3] = float("nan")
    return rows


def images(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=generator) * 255


def _waves(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, 800, generator=generator) * 2 - 1


def _texts(n: int, generator: torch.Generator) -> Tensor:
    tokens = torch.randint(1, 30, (n, 6), generator=generator)
    length = torch.randint(1, 7, (n, 1), generator=generator)
    return torch.where(torch.arange(6) < length, tokens, 0)


def _sequences(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, 5, 3, generator=generator)


TABLE = Signature(
    inputs=TableInput(
        columns=(
            Column(name="size", kind="numeric"),
            Column(name="age", kind="numeric"),
            Column(name="place", kind="category", categories=("x", "y", "z")),
        )
    ),
    task=Task(kind="regression", targets=("price",), unit="EUR"),
)
TABLE_NUMBERS = Preprocessing(
    inputs=TableNumbers(
        fill=(0.5, -1.0, 0.0), mean=(1.0, 0.0, 0.0), scale=(2.0, 5.0, 1.0), missing=(True, True, True), widths=(1, 1, 3)
    ),
    target_mean=(200_000.0,),
    target_scale=(50_000.0,),
)
IMAGE_INPUT = ImageInput(channels=1, height=8, width=8)
IMAGE = Signature(inputs=IMAGE_INPUT, task=THREE)
IMAGE_NUMBERS = Preprocessing(inputs=ImageNumbers(mean=(127.0,), scale=(74.0,)))
SOUND = Signature(inputs=SoundInput(sample_rate=8000, samples=800), task=THREE)
SOUND_NUMBERS = Preprocessing(
    inputs=SoundNumbers(sample_rate=8000, window=128, hop=64, bands=8, floor=1e-6, mean=(-2.0,) * 8, scale=(1.5,) * 8)
)
TEXT = Signature(inputs=TextInput(length=6, vocabulary=30, tokenizer="{}"), task=THREE)
NONE = Preprocessing(inputs=NoNumbers())
SEQUENCE_INPUT = ArrayInput(shape=(5, 3), axes="steps,features")
SEQUENCE_NUMBERS = Preprocessing(inputs=ArrayNumbers(mean=(0.0, 1.0, 2.0), scale=(1.0, 2.0, 3.0)))
LABELLING = Signature(inputs=SEQUENCE_INPUT, task=Task(kind="sequence-labelling", classes=("a", "b", "c")))
BINARY = Signature(inputs=SEQUENCE_INPUT, task=Task(kind="binary", classes=("no", "yes")))
RECONSTRUCTION = Signature(inputs=IMAGE_INPUT, task=Task(kind="reconstruction"))
CLUSTERING = Signature(inputs=IMAGE_INPUT, task=Task(kind="clustering", clusters=3))
GENERATION = Signature(inputs=IMAGE_INPUT, task=Task(kind="generation"))

CASES = (
    Case("dense-table", DenseNetwork(hidden=(8,), normalisation="batch"), TABLE, TABLE_NUMBERS, _rows),
    Case("convolutional-image", ConvolutionalNetwork(channels=(4, 4), hidden=(8,)), IMAGE, IMAGE_NUMBERS, images),
    Case("convolutional-sound", ConvolutionalNetwork(channels=(4, 4), hidden=(8,)), SOUND, SOUND_NUMBERS, _waves),
    Case("vgg-image", VggNetwork(blocks=((4,), (4,)), hidden=(8,), dropout=0.5), IMAGE, IMAGE_NUMBERS, images),
    Case("residual-image", ResidualNetwork(channels=(4, 8), blocks=1), IMAGE, IMAGE_NUMBERS, images),
    Case("lstm-text", RecurrentNetwork(hidden=(6,), embedding=4, bidirectional=True), TEXT, NONE, _texts),
    Case("gru-labelling", RecurrentNetwork(cell="gru", hidden=(6,)), LABELLING, SEQUENCE_NUMBERS, _sequences),
    Case("plain-sequence", RecurrentNetwork(cell="plain", hidden=(6,)), BINARY, SEQUENCE_NUMBERS, _sequences),
    Case("transformer-text", TransformerNetwork(width=8, depth=1, heads=2, embedding=8), TEXT, NONE, _texts),
    Case("autoencoder-image", AutoencoderNetwork(hidden=(8,), code=2), RECONSTRUCTION, IMAGE_NUMBERS, images),
    Case(
        "variational-image",
        AutoencoderNetwork(hidden=(8,), code=2, variational=True),
        RECONSTRUCTION,
        IMAGE_NUMBERS,
        images,
    ),
    Case("clustering-image", AutoencoderNetwork(hidden=(8,), code=2), CLUSTERING, IMAGE_NUMBERS, images),
    Case("generative-image", GenerativePair(hidden=(8,), noise=4), GENERATION, IMAGE_NUMBERS, images),
)
BY_NAME = {case.name: case for case in CASES}
