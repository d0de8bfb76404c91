"""Small signatures, numbers and raw inputs of every kind, and the families that take them."""

import torch

from equipoise.core.network_plan import (
    AutoencoderNetwork,
    ConvolutionalNetwork,
    DenseNetwork,
    GenerativePair,
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

TABLE = TableInput(
    columns=(
        Column(name="age", kind="numeric"),
        Column(name="town", kind="category", categories=("a", "b", "c")),
        Column(name="seen", kind="date"),
    )
)
TABLE_NUMBERS = TableNumbers(
    fill=(40.0, 0.0, 19000.0),
    mean=(42.0, 0.0, 19100.0),
    scale=(10.0, 1.0, 300.0),
    missing=(True, False, False),
    widths=(1, 3, 1),
)
SOUND_NUMBERS = SoundNumbers(
    sample_rate=8000, window=64, hop=32, bands=6, floor=1e-6, mean=tuple(range(6)), scale=(2.0,) * 6
)
SPECS = {
    "table": (TABLE, TABLE_NUMBERS),
    "image": (ImageInput(channels=2, height=8, width=6), ImageNumbers(mean=(100.0, 90.0), scale=(50.0, 40.0))),
    "sound": (SoundInput(sample_rate=8000, samples=320), SOUND_NUMBERS),
    "text": (TextInput(length=7, vocabulary=20, tokenizer="{}"), NoNumbers()),
    "sequence": (
        ArrayInput(shape=(6, 3), axes="steps,features"),
        ArrayNumbers(mean=(1.0, 2.0, 3.0), scale=(1.0, 2.0, 3.0)),
    ),
    "vector": (ArrayInput(shape=(5,)), ArrayNumbers(mean=(0.5,) * 5, scale=(2.0,) * 5)),
    "any": (ArrayInput(shape=(2, 3, 4), axes="any"), ArrayNumbers(mean=(0.5,), scale=(2.0,))),
}
TASKS = {
    "binary": Task(kind="binary", classes=("no", "yes")),
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c")),
    "multilabel": Task(kind="multilabel", classes=("a", "b")),
    "regression": Task(kind="regression", targets=("x", "y")),
    "sequence-labelling": Task(kind="sequence-labelling", classes=("a", "b", "c")),
    "reconstruction": Task(kind="reconstruction"),
    "clustering": Task(kind="clustering", clusters=3),
    "generation": Task(kind="generation"),
}
PLANS = {
    "dense": DenseNetwork(hidden=(8,), embedding=5),
    "convolutional": ConvolutionalNetwork(channels=(4, 6, 6), hidden=(8,)),
    "vgg": VggNetwork(blocks=((4, 4), (6,)), hidden=(8,)),
    "residual": ResidualNetwork(channels=(4, 6), blocks=1),
    "recurrent": RecurrentNetwork(hidden=(6, 5), embedding=4),
    "transformer": TransformerNetwork(width=8, depth=1, heads=2, embedding=4),
    "autoencoder": AutoencoderNetwork(hidden=(8,), code=3),
    "generative-pair": GenerativePair(hidden=(8,), noise=4),
}
_STEPPED = ("image", "sound", "sequence")
_SHAPED = ("table", "vector", "any", *_STEPPED)
TAKES = {
    "dense": (*_SHAPED, "text"),
    "convolutional": _STEPPED,
    "vgg": _STEPPED,
    "residual": _SHAPED,
    "recurrent": (*_STEPPED, "text"),
    "transformer": (*_STEPPED, "text"),
    "autoencoder": _SHAPED,
    "generative-pair": _SHAPED,
}
PREDICTING = ("binary", "multiclass", "multilabel", "regression")
DOES = {
    **dict.fromkeys(("dense", "convolutional", "vgg", "residual"), PREDICTING),
    **dict.fromkeys(("recurrent", "transformer"), (*PREDICTING, "sequence-labelling")),
    "autoencoder": ("reconstruction", "clustering"),
    "generative-pair": ("generation",),
}
EVERY = [(family, kind, task) for family in PLANS for kind in TAKES[family] for task in DOES[family]]
STEPS = {"image": 8, "sound": 9, "sequence": 6, "text": 7}


def case(kind, task):
    """Return signature and pre-processing of an input kind and a task kind."""
    spec, numbers = SPECS[kind]
    regression = task == "regression"
    return Signature(inputs=spec, task=TASKS[task]), Preprocessing(
        inputs=numbers,
        target_mean=(10.0, -3.0) if regression else (),
        target_scale=(4.0, 0.5) if regression else (),
    )


def raw(kind, n=4, seed=0):
    """Return raw inputs of a kind, with missing cells and padding where the kind has them."""
    generator = torch.Generator().manual_seed(seed)
    spec, _ = SPECS[kind]
    if kind == "table":
        rows = torch.stack(
            [
                torch.randn(n, generator=generator) * 10 + 40,
                torch.randint(0, 3, (n,), generator=generator).float(),
                torch.randn(n, generator=generator) * 300 + 19000,
            ],
            dim=1,
        )
        rows[0, 0] = torch.nan
        rows[1, 1] = torch.nan
        return rows
    if kind == "text":
        ids = torch.randint(1, 20, (n, 7), generator=generator)
        ids[0, 4:] = 0
        ids[1, :] = 0
        return ids
    if kind == "image":
        return torch.rand(n, 2, 8, 6, generator=generator) * 255
    if kind == "sound":
        return torch.rand(n, 320, generator=generator) * 2 - 1
    return torch.randn(n, *spec.shape, generator=generator)
