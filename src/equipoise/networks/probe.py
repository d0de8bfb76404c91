"""Finding out by running it how a foreign network wants its inputs and what it returns."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.core.preprocessing import Preprocessing, TableNumbers
from equipoise.core.signature import ImageInput, Signature, SoundInput, TableInput, Task, TextInput
from equipoise.networks.features import Features, raw_features
from equipoise.networks.foreign import Arrange, first_tensor, layouts
from equipoise.networks.foreign_files import ExportedNetwork
from equipoise.networks.keras_models import is_keras
from equipoise.networks.origin import Front, Layout, Output
from equipoise.networks.preprocess import preprocess_module

_RESHAPES = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Permute", "Transpose", "TBackward", "Clone")
_LINEAR_ENDS = ("Addmm", "Mm", "Bmm", "Convolution", "NativeLayerNorm", "NativeBatchNorm")
PROBES = 32
"""Samples a network is tried on."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What running a network showed.

    Attributes:
        front, layout: What is put in front of it and how its inputs are laid out; see `Origin`.
        preprocess: The module of `front`.
        features: What `preprocess` gives.
        arranged: What the network was run on.
        outputs: What it returned, with its graph where it has one.
    """

    front: Front
    layout: Layout
    preprocess: nn.Module
    features: Features
    arranged: Tensor
    outputs: Tensor


def find(module: nn.Module, signature: Signature, preprocessing: Preprocessing, *, standardise: bool) -> Found:
    """Return the first way of feeding the network that gives outputs of the task's shape.

    The network is run in evaluation mode; its mode is put back and torch's global generator is left as it was.

    Raises:
        ValueError: No way works; the message lists what was tried and what came of it.
    """
    inputs = probe_inputs(signature, preprocessing)
    tried: list[str] = []
    wrong_shape = ""
    for front, preprocess in fronts(signature, preprocessing, standardise=standardise):
        values = preprocess(inputs)
        features = shown_features(signature, values)
        for layout in layouts(features):
            arranged = Arrange(layout)(values)
            if not _declared(module, arranged):
                tried.append(f"{front} {layout} {tuple(arranged.shape)}: not the shape the network declares")
                continue
            try:
                outputs = run_once(module, arranged)
            except Exception as problem:
                first_line = (str(problem).splitlines() or [""])[-1 if "Keras" in str(problem) else 0]
                tried.append(f"{front} {layout} {tuple(arranged.shape)}: {type(problem).__name__}: {first_line[:160]}")
                continue
            complaint = output_complaint(outputs, signature.task, features, len(inputs))
            if not complaint:
                return Found(front, layout, preprocess, features, arranged, outputs)
            wrong_shape = wrong_shape or complaint
            tried.append(f"{front} {layout} {tuple(arranged.shape)}: outputs of shape {tuple(outputs.shape)}")
    if wrong_shape:
        raise ValueError(wrong_shape)
    cure = "Wrap it in a module whose forward brings such inputs into its own shape"
    if isinstance(module, ExportedNetwork):
        cure = "Export it for any number of samples: dynamic_shapes=({0: torch.export.Dim('n')},)"
    raise ValueError(
        f"got a network that runs on none of the layouts tried ({'; '.join(tried)}); expected one that takes "
        f"{raw_features(signature.inputs)}. {cure}."
    )


def run_once(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a network gives in evaluation mode, with its graph where it has one; its mode is put back."""
    modes = [(one, one.training) for one in module.modules()]
    inputs = inputs.detach().clone()
    if inputs.is_floating_point():
        inputs.requires_grad_()
    _evaluate(module)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            return first_tensor(module(inputs))
    finally:
        for one, training in modes:
            one.training = training


def output_kind(outputs: Tensor, task: Task) -> Output:
    """Return whether outputs are logits, probabilities or values.

    The last differentiable operation decides where it is a softmax, a sigmoid or a linear layer; otherwise outputs
    whose rows sum to 1 within 1e-3 (one unit and labels: that all lie within 0..1) are probabilities.
    """
    if not (task.classes or task.kind == "binary"):
        return "values"
    end = _last_operation(outputs)
    if end.startswith(("Softmax", "Sigmoid")):
        return "probabilities"
    if end.startswith(("LogSoftmax", *_LINEAR_ENDS)):
        return "logits"
    values = outputs.detach().double()
    within = bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all())
    single = task.kind == "multilabel" or values.dim() == 1 or values.shape[-1] == 1
    if single:
        return "probabilities" if within else "logits"
    axis = -1 if values.shape[-1] == len(task.classes) else 1
    sums_to_one = bool(((values.sum(axis) - 1).abs() < 1e-3).all())
    return "probabilities" if within and sums_to_one else "logits"


def output_complaint(outputs: Tensor, task: Task, features: Features, n: int) -> str:
    """Return what is wrong with the shape of a network's outputs for n samples, or nothing."""
    shape = tuple(outputs.shape)
    if not outputs.is_floating_point():
        return (
            f"got outputs of type {outputs.dtype}; expected floating point scores. "
            "Let the network return logits, not class indices."
        )
    allowed = _allowed_shapes(task, features, n)
    if shape in allowed or (task.kind == "clustering" and len(shape) >= 2 and shape[0] == n):
        return ""
    if task.kind == "reconstruction" and shape[:1] == (n,) and math.prod(shape[1:]) == features.size:
        return ""
    wanted = " or ".join(str(("n", *one[1:])).replace("'", "") for one in allowed)
    what = f"{len(task.classes)} classes" if task.classes else f"the task {task.kind}"
    got = str(("n", *shape[1:]) if shape[:1] == (n,) else shape).replace("'", "")
    return (
        f"got outputs of shape {got} for {what}; expected {wanted}. "
        "Change the network's last layer, or the classes or targets of the data."
    )


def shown_features(signature: Signature, values: Tensor) -> Features:
    """Return kind and shape of features (n, ...) that something in front of a network gave for raw inputs."""
    raw, shape = raw_features(signature.inputs), tuple(values.shape[1:])
    if shape == raw.shape:
        return raw
    return Features("sequence" if len(shape) == 2 else "vector", shape)


def fronts(
    signature: Signature, preprocessing: Preprocessing, *, standardise: bool
) -> Iterator[tuple[Front, nn.Module]]:
    """Yield what may be put in front of a foreign network, likeliest first."""
    numbers, spec = preprocessing.inputs, signature.inputs
    if isinstance(numbers, TableNumbers) and isinstance(spec, TableInput):
        bare = preprocessing.replace(inputs__missing=[False] * len(numbers.missing))
        categories = any(column.kind == "category" for column in spec.columns)
        if not categories:
            yield "columns", preprocess_module(signature, bare, standardise=standardise)
        elif not standardise:
            yield "raw", nn.Identity()
        yield "features", preprocess_module(signature, preprocessing, standardise=standardise)
        if categories:
            yield "categories", preprocess_module(signature, bare, standardise=standardise)
        return
    if standardise and numbers.kind != "none":
        yield "features", preprocess_module(signature, preprocessing, standardise=True)
        return
    yield "raw", nn.Identity()
    if isinstance(spec, SoundInput) and numbers.kind == "sound":
        yield "features", preprocess_module(signature, preprocessing, standardise=False)


def probe_inputs(signature: Signature, preprocessing: Preprocessing) -> Tensor:
    """Return raw inputs (PROBES, ...) that look like the data, drawn from a generator of their own."""
    generator = torch.Generator().manual_seed(0)
    spec = signature.inputs
    if isinstance(spec, TableInput):
        return _table(spec, preprocessing, generator)
    if isinstance(spec, TextInput):
        ids = torch.randint(1, max(spec.vocabulary, 2), (PROBES, spec.length), generator=generator)
        lengths = torch.randint(1, spec.length + 1, (PROBES, 1), generator=generator)
        return ids * (torch.arange(spec.length) < lengths)
    if isinstance(spec, ImageInput):
        drawn = torch.rand(PROBES, spec.channels, spec.height, spec.width, generator=generator)
        return drawn * (spec.high - spec.low) + spec.low
    if isinstance(spec, SoundInput):
        return torch.rand(PROBES, spec.samples, generator=generator) * 2 - 1
    drawn = torch.randn(PROBES, *spec.shape, generator=generator)
    numbers = preprocessing.inputs
    if numbers.kind == "array":
        drawn = drawn * torch.tensor(numbers.scale) + torch.tensor(numbers.mean)
    return drawn


def _table(spec: TableInput, preprocessing: Preprocessing, generator: torch.Generator) -> Tensor:
    numbers = preprocessing.inputs
    columns: list[Tensor] = []
    for position, column in enumerate(spec.columns):
        if column.kind == "category":
            many = max(len(column.categories), 1)
            columns.append(torch.randint(0, many, (PROBES,), generator=generator).float())
            continue
        drawn = torch.randn(PROBES, generator=generator)
        if isinstance(numbers, TableNumbers):
            drawn = drawn * numbers.scale[position] + numbers.mean[position]
        columns.append(drawn)
    return torch.stack(columns, dim=1)


def _allowed_shapes(task: Task, features: Features, n: int) -> list[tuple[int, ...]]:
    classes = len(task.classes)
    if task.kind == "binary":
        return [(n,), (n, 1), (n, 2)]
    if task.kind in ("multiclass", "multilabel"):
        return [(n, classes)]
    if task.kind == "sequence-labelling":
        steps = features.shape[1] if features.kind == "image" else features.shape[0]
        return [(n, steps, classes), (n, classes, steps)]
    if task.kind == "regression":
        targets = max(len(task.targets), 1)
        return [(n, 1), (n,)] if targets == 1 else [(n, targets)]
    return [(n, *features.shape)] if task.kind == "reconstruction" else [(n, max(task.clusters, 1))]


def _evaluate(module: nn.Module) -> None:
    for one in module.modules():
        one.training = False


def _declared(module: nn.Module, inputs: Tensor) -> bool:
    """Whether inputs have the shape that a Keras model declares (None = any length); other networks declare none."""
    declared = getattr(module, "input_shape", None) if is_keras(module) else None
    if not isinstance(declared, tuple):
        return True
    shape = tuple(inputs.shape)
    return len(declared) == len(shape) and all(a is None or a == b for a, b in zip(declared, shape, strict=True))


def _last_operation(outputs: Tensor) -> str:
    """Return the name of the last operation of the graph that changed numbers, or nothing without a graph."""
    node = outputs.grad_fn
    while node is not None and node.name().startswith(_RESHAPES) and node.next_functions:
        node = node.next_functions[0][0]
    return node.name() if node is not None else ""
