"""Taking a network that was made elsewhere into a `Network`."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from equipoise.core.preprocessing import NoNumbers, Preprocessing
from equipoise.core.signature import InputSpec, Signature, Task
from equipoise.networks.foreign import Arrange, ForeignBody, strip_end
from equipoise.networks.foreign_files import open_foreign
from equipoise.networks.heads import head_of
from equipoise.networks.keras_adapter import KerasAdapter, strip_adapter
from equipoise.networks.keras_models import is_keras, keras_json
from equipoise.networks.keras_torch import to_torch
from equipoise.networks.network import Network
from equipoise.networks.operate import operate
from equipoise.networks.origin import Origin, Output
from equipoise.networks.preprocess import inverse_module
from equipoise.networks.probe import Found, find, fronts, output_kind, probe_inputs, run_once, shown_features


def adopt(
    module: nn.Module | Path,
    signature: Signature,
    *,
    output: Output | None = None,
    factory: str = "",
    preprocessing: Preprocessing | None = None,
    standardise: bool = False,
    standardise_targets: bool = False,
    surgeries: tuple[str, ...] = (),
    seed: int = 0,
    trust: bool = False,
) -> Network:
    """Return a network around a module or a file made elsewhere; a module is copied and left as it is.

    How it wants its inputs laid out (channels first or last, flat, imputed and one-hot rows) and what it returns
    (logits, probabilities) is found by running it on inputs like the data; `notes` of the result say what was found. A
    softmax or sigmoid at the end is taken off where it can be, so that scores are logits.

    Args:
        module: Any `nn.Module`, a Keras 3 model on the torch backend, or a file: `.keras`, `.h5`, `.pt2`,
            `.safetensors` or `.pt` (these two with a factory).
        signature: What goes in and comes out.
        output: What it returns; without it, found out.
        factory: `module:function` that builds the module.
        preprocessing: Numbers fitted on the training part: for tables to impute with, and the targets' scale. A network
            that returns values returns the user's units.
        standardise: Whether fitted standardisation is put in front of it; a regression network then returns
            standardised targets.
        standardise_targets: Whether a regression network returns standardised targets all the same.
        surgeries: What is changed in its module tree, in order; see `core.surgeries`.
        seed: Draws the weights of layers that surgeries make.
        trust: Whether files that can run code when opened may be opened.

    Raises:
        ValueError: The file is refused, the network runs on no layout of the inputs, its outputs do not fit, or a
            surgery cannot be done to it.
        FileNotFoundError: There is no such file.
    """
    preprocessing = preprocessing or Preprocessing(inputs=NoNumbers())
    _refuse_generation(signature.task)
    notes: list[str] = []
    if isinstance(module, Path):
        opened, origin = open_foreign(module, factory, trust=trust)
    else:
        opened = module if is_keras(module) else _copy(module, notes)
        origin = Origin(kind="factory" if factory else "module", factory=factory)
    if is_keras(opened):
        opened, origin = _from_keras(opened, origin, signature, preprocessing, notes, standardise=standardise)
    found = find(opened, signature, preprocessing, standardise=standardise)
    if surgeries:
        opened = operate(opened, surgeries, found.arranged.detach(), seed)
        found = replace(found, outputs=run_once(opened, found.arranged))
    origin = origin.replace(standardise=standardise, standardise_targets=standardise_targets)
    origin = origin.replace(surgeries=surgeries, seed=seed if surgeries else 0)
    return _fit_in(opened, origin, signature, preprocessing, found, output, notes)


def _refuse_generation(task: Task) -> None:
    """Refuse a task that takes two networks.

    Raises:
        ValueError: It is generation.
    """
    if task.kind == "generation":
        raise ValueError(
            "got a foreign network for generation; expected the family 'generative-pair', which holds both of its "
            "networks. Use that family."
        )


def assemble(
    module: nn.Module,
    origin: Origin,
    signature: Signature,
    preprocessing: Preprocessing,
    *,
    notes: tuple[str, ...] = (),
) -> Network:
    """Return the network that an origin describes, without trying anything.

    Args:
        module: As `origin` describes it: converted and stripped already.
        origin: How it is fitted in.
        signature: What goes in and comes out.
        preprocessing: Numbers fitted on the training part.
        notes: Carried by the result.

    Raises:
        ValueError: The origin's `front` does not exist for these inputs.
    """
    choices = dict(fronts(signature, preprocessing, standardise=origin.standardise))
    if origin.front not in choices:
        raise ValueError(
            f"got a network with {origin.front!r} in front of it for {signature.inputs.kind} inputs; expected one of "
            f"{', '.join(choices)}. Adopt the network anew with the pre-processing it is used with."
        )
    preprocess = choices[origin.front]
    features = shown_features(signature, preprocess(probe_inputs(signature, preprocessing)[:1]))
    body = ForeignBody(module, origin, signature, preprocessing, features)
    inverse = inverse_module(preprocess, signature, preprocessing)
    head = head_of(signature.task, preprocessing, inverse=inverse, code=origin.code)
    return Network(preprocess, body, head, signature, notes=notes)


def operated(module: nn.Module, origin: Origin, signature: Signature, preprocessing: Preprocessing) -> nn.Module:
    """Return a network with the surgeries that an origin names done to it."""
    if not origin.surgeries:
        return module
    preprocess = dict(fronts(signature, preprocessing, standardise=origin.standardise))[origin.front]
    inputs = Arrange(origin.layout)(preprocess(probe_inputs(signature, preprocessing)))
    return operate(module, origin.surgeries, inputs.detach(), origin.seed)


def strip(module: nn.Module, task: Task) -> nn.Module | None:
    """Return a network without its last softmax or sigmoid, or None when it does not visibly end in one."""
    return strip_adapter(module, task) if isinstance(module, KerasAdapter) else strip_end(module, task)


def _from_keras(
    model: nn.Module,
    origin: Origin,
    signature: Signature,
    preprocessing: Preprocessing,
    notes: list[str],
    *,
    standardise: bool,
) -> tuple[nn.Module, Origin]:
    """Return torch layers (or an adapter) for a Keras model that was run once, so that it is built."""
    find(model, signature, preprocessing, standardise=standardise)
    module, converted, said = to_torch(model)
    notes += said
    kind = origin.kind if origin.factory else "keras"
    return module, origin.replace(kind=kind, keras=keras_json(model), converted=converted)


def _fit_in(
    module: nn.Module,
    origin: Origin,
    signature: Signature,
    preprocessing: Preprocessing,
    found: Found,
    output: Output | None,
    notes: list[str],
) -> Network:
    task = signature.task
    classes = bool(task.classes)
    if output is not None and (output == "values") == classes:
        raise ValueError(
            f"got output {output!r} for the task {task.kind}; expected "
            f"{'logits or probabilities' if classes else 'values'}. Set `network.output` to that."
        )
    outputs, stripped = found.outputs, None
    if classes and output != "logits":
        stripped = strip(module, task)
        if stripped is not None:
            outputs = run_once(stripped, found.arranged)
            notes.append("The softmax or sigmoid at the network's end was taken off: scores are its logits.")
    kind = "logits" if stripped is not None else (output or output_kind(outputs, task))
    if kind == "probabilities":
        notes.append("The network returns probabilities; scores are their logarithms, clamped away from 0.")
    steps = task.kind == "sequence-labelling"
    origin = origin.replace(
        stripped=stripped is not None,
        layout=found.layout,
        front=found.front,
        output=kind,
        pair=task.kind == "binary" and outputs.dim() == 2 and outputs.shape[1] == 2,
        steps_last=steps and outputs.shape[-1] != len(task.classes),
        code=outputs[0].numel() if task.kind == "clustering" else 0,
    )
    notes += _said(found, signature.inputs)
    return assemble(stripped or module, origin, signature, preprocessing, notes=tuple(notes))


def _said(found: Found, spec: InputSpec) -> list[str]:
    """Return what was found about the inputs, one sentence each; nothing where inputs go in as they are."""
    words = {
        "flat": "flattened",
        "channels-last": "with channels last",
        "no-channel": "without their single channel",
        "one-channel": "with a channel added",
        "steps-last": "with steps last",
    }
    shaped = {"table": "imputed, with one-hot categories and missing indicators", "sound": "as log-mel spectra"}
    before = {
        "features": shaped.get(spec.kind, "standardised"),
        "categories": "imputed, with one-hot categories",
    }
    said = [f"Inputs reach the network {words[found.layout]}."] if found.layout in words else []
    return said + ([f"Inputs reach the network {before[found.front]}."] if found.front in before else [])


def _copy(module: nn.Module, notes: list[str]) -> nn.Module:
    try:
        copied = copy.deepcopy(module)
    except Exception as problem:
        notes.append(f"The network cannot be copied ({type(problem).__name__}): it is used itself, not a copy.")
        return module
    others = {str(one.dtype) for one in copied.parameters() if one.is_floating_point() and one.dtype != torch.float32}
    if others:
        notes.append(f"The network's {', '.join(sorted(others))} weights are taken as torch.float32, like the inputs.")
        copied.float()
    return copied
