"""The subject card: what was examined, in facts for people."""

import os
import platform
from importlib.metadata import version

from equipoise.core.report import Section
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, SoundInput, TableInput, TextInput
from equipoise.data.samples import Splits
from equipoise.fit.fitted import Fit
from equipoise.networks.network import Network, parameter_count

PACKAGES = ("equipoise", "torch", "numpy", "scipy", "scikit-learn", "pandas", "captum")


def subject_card(network: Network, splits: Splits, fit: Fit | None) -> tuple[Section, ...]:
    """Return the sections data, network, recipe, training and machine."""
    sections = [_data(splits), _network(network)]
    if fit is not None:
        sections += [_recipe(fit), _training(fit)]
    return (*sections, _machine())


def describe_inputs(spec: InputSpec) -> str:
    """Return what goes into the network, in a few words."""
    if isinstance(spec, ImageInput):
        return f"images {spec.height} x {spec.width}, {spec.channels} channel{'s' if spec.channels > 1 else ''}"
    if isinstance(spec, SoundInput):
        return f"sounds of {spec.samples / spec.sample_rate:.2f} s at {spec.sample_rate:,} Hz"
    if isinstance(spec, TextInput):
        return f"texts of up to {spec.length} tokens, vocabulary {spec.vocabulary:,}"
    if isinstance(spec, TableInput):
        kinds = [column.kind for column in spec.columns]
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
        return f"{len(kinds)} columns ({', '.join(f'{n} {kind}' for kind, n in counts.items())})"
    if isinstance(spec, ArrayInput):
        return f"arrays of shape {' x '.join(map(str, spec.shape))}"
    raise TypeError(f"got {type(spec).__name__}; expected an input specification. Use one of core.signature.")


def _data(splits: Splits) -> Section:
    task = splits.signature.task
    facts = {
        "data": splits.name,
        "task": task.kind + (f" ({len(task.classes)} classes)" if task.classes else ""),
        "inputs": describe_inputs(splits.signature.inputs),
        "samples": f"{len(splits.train):,} train, {len(splits.validation):,} validation, {len(splits.test):,} test",
        "kept": "in memory" if splits.train.resident else "streamed from disk",
        "digest": splits.digest[:16],
    }
    for k, note in enumerate(splits.notes, start=1):
        facts[f"note {k}"] = note
    return Section(title="Data", facts=facts)


def _network(network: Network) -> Section:
    kinds = dict.fromkeys(type(one).__name__ for one in network.body.modules() if not list(one.children()))
    return Section(
        title="Network",
        facts={
            "body": type(network.body).__name__,
            "layers": ", ".join(kinds),
            "parameters": f"{parameter_count(network):,}",
        },
    )


def _recipe(fit: Fit) -> Section:
    recipe = fit.plan.recipe
    shown = {name: value for name, value in recipe.plain().items() if value != type(recipe)().plain()[name]}
    always = ("loss", "optimizer", "learning_rate", "schedule", "batch_size", "epochs")
    facts = {name: _shown(recipe.plain()[name]) for name in always}
    facts |= {name: _shown(value) for name, value in shown.items() if name not in always}
    facts |= {f"why {k}": reason for k, reason in enumerate(fit.plan.why, start=1)}
    return Section(title="Recipe", facts=facts)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _training(fit: Fit) -> Section:
    execution = fit.execution
    return Section(
        title="Training",
        facts={
            "seed": str(fit.seed),
            "stopped": fit.stopped.value,
            "what that means": fit.stopped.help,
            "epochs": f"{fit.epochs} ({fit.steps:,} steps), best: {fit.best_epoch}",
            "time": f"{fit.seconds:.1f} s",
            "device": f"{execution.device} ({execution.reason})",
            "execution": f"{execution.threads} thread{'s' if execution.threads > 1 else ''}, {execution.precision}"
            + (", channels last" if execution.channels_last else "")
            + (", fused optimiser" if execution.fused else ""),
        },
    )


def _machine() -> Section:
    facts = {
        "processor": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return Section(title="Machine", facts=facts | {name: version(name) for name in PACKAGES})
