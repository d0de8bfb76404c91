"""Samples that were never measured: from a generator or an autoencoder fitted on the training part, or simulated."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.data_plan import GivenData, TrainingPart
from equipoise.core.factory import factory_function
from equipoise.core.network_plan import AutoencoderNetwork, GenerativePair, NetworkPlan
from equipoise.core.plan import Plan
from equipoise.core.preprocessing import NoNumbers, Preprocessing
from equipoise.core.progress import Listener
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, ImageInput, Signature, Task, TaskKind
from equipoise.data.decode import decode
from equipoise.data.samples import Splits, TensorSamples
from equipoise.data.select import with_added
from equipoise.fit.bodies import GenerativeBody, VariationalBody
from equipoise.fit.fitted import Fit
from equipoise.fit.sampling import class_chances
from equipoise.fit.seeds import derive
from equipoise.networks.preprocess import inverse_module, preprocess_module

STEPS = {"gan": 1500, "autoencoder": 1000}
"""Steps for which a generator or an autoencoder is trained."""

BATCH = 64
JUDGES = 0.15
"""Share of the training part on which a generator or an autoencoder is judged while it is trained."""

Made = tuple[Tensor, Tensor, Tensor]
"""Raw inputs, targets, and for each the training sample that it goes with."""


def with_synthetic(plan: Plan, seed: int, splits: Splits, *, on_progress: Listener) -> Splits:
    """Return the data set with synthetic samples added to the training part, as the plan's data section says.

    `gan` learns inputs and targets together (Goodfellow et al., NeurIPS 2014). `autoencoder` draws around the codes of
    training samples, of every class as many, which keep their target (Kingma and Welling, ICLR 2014). `simulation`
    calls the plan's simulator with a number of samples and a seed.

    Raises:
        ValueError: See `check_synthetic`; or the simulator returns something else than samples like the data's.
    """
    wish = plan.data.training
    n = max(1, round(wish.synthetic_share * len(splits.train)))
    if wish.synthetic == "simulation":
        inputs, targets, like = _simulated(wish, splits, n, derive(seed, "simulation"))
    elif wish.synthetic == "gan":
        inputs, targets, like = _imagined(splits, n, derive(seed, "gan"), on_progress)
    else:
        inputs, targets, like = _varied(splits, n, derive(seed, "autoencoder"), on_progress)
    return with_added(splits, inputs, targets, like, f"{len(inputs):,} synthetic training samples ({wish.synthetic})")


def check_synthetic(plan: Plan, splits: Splits) -> None:
    """Refuse what cannot work before anything is trained.

    Raises:
        ValueError: Inputs that cannot be made from numbers, a task without one target a sample, samples that are read
            from files, or a simulation without simulator.
    """
    wish, kind = plan.data.training, splits.signature.task.kind
    where = f"data.training.synthetic: got {wish.synthetic!r}"
    if wish.synthetic == "simulation" and not wish.simulator:
        raise ValueError(
            f"{where} without a simulator; expected data.training.simulator = 'module:function', called with a number "
            "of samples and a seed. Name one."
        )
    if kind not in ("binary", "multiclass", "multilabel", "regression"):
        raise ValueError(f"{where} for the task {kind}; expected a task with one target a sample. Leave it out.")
    if not splits.train.resident:
        raise ValueError(f"{where} for samples read from files; expected them in memory. Set data.streamed to false.")
    if wish.synthetic != "simulation" and splits.signature.inputs.kind in ("text", "sound"):
        raise ValueError(
            f"{where} for {splits.signature.inputs.kind} inputs, which cannot be made from a network's features; "
            "expected tables, images or arrays. Use 'simulation', or leave it out."
        )


def _simulated(wish: TrainingPart, splits: Splits, n: int, seed: int) -> Made:
    simulate = cast(Callable[[int, int], Any], factory_function(wish.simulator))
    made = simulate(n, seed % 2**32)
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise ValueError(
            f"got {type(made).__name__} from the simulator {wish.simulator!r}; expected (inputs, targets). Let it "
            "return both."
        )
    inputs, targets = decode(splits.signature, made[0]), _encoded(made[1], splits.signature.task, wish.simulator)
    if len(inputs) != len(targets):
        raise ValueError(
            f"got {len(inputs)} inputs and {len(targets)} targets from the simulator {wish.simulator!r}; expected as "
            "many. Return one target a sample."
        )
    return inputs, targets, torch.arange(len(inputs)) % len(splits.train)


def _encoded(values: Any, task: Task, simulator: str) -> Tensor:
    """Return targets in the user's words and units as in `Samples`."""
    if not task.classifies:
        numbers = torch.as_tensor(np.asarray(values, dtype=np.float32))
        return numbers.reshape(len(numbers), -1)
    codes = {name: code for code, name in enumerate(task.classes)}
    names = [str(one) for one in np.asarray(values).tolist()]
    unknown = sorted({one for one in names if one not in codes})
    if unknown:
        raise ValueError(
            f"got the class {unknown[0]!r} from the simulator {simulator!r}; expected one of "
            f"{', '.join(task.classes[:10])}. Return the data's own class names."
        )
    return torch.tensor([codes[one] for one in names])


def _imagined(splits: Splits, n: int, seed: int, on_progress: Listener) -> Made:
    """Return samples of a generator that learned features and targets side by side."""
    features, targets = _features(splits)
    shown = _shown_targets(targets, splits)
    joint = torch.cat([features.flatten(1), shown], dim=1)
    width = shown.shape[1]
    fitted = _fitted(GenerativePair(), "generation", joint, "gan", seed, on_progress)
    generator = torch.Generator().manual_seed(derive(seed, "samples"))
    with torch.no_grad():
        made = cast(GenerativeBody, fitted.network.body).generate(n, generator)
    inputs = _raw(made[:, :-width].reshape(n, *features.shape[1:]), splits)
    return inputs, _true_targets(made[:, -width:], splits), torch.arange(n) % len(splits.train)


def _varied(splits: Splits, n: int, seed: int, on_progress: Listener) -> Made:
    """Return variations of training samples: draws from the distribution of their codes, decoded."""
    features, targets = _features(splits)
    code = max(1, min(32, features[0].numel() // 2))
    plan = AutoencoderNetwork(hidden=(128,), code=code, variational=True)
    fitted = _fitted(plan, "reconstruction", features.flatten(1), "autoencoder", seed, on_progress)
    generator = torch.Generator().manual_seed(derive(seed, "samples"))
    chances = class_chances(targets) if splits.signature.task.classifies else torch.ones(len(targets))
    like = torch.multinomial(chances, n, replacement=True, generator=generator)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "codes"))
        made, _ = cast(VariationalBody, fitted.network.body).scores_and_divergence(features.flatten(1)[like])
    return _raw(made.reshape(n, *features.shape[1:]), splits), targets[like], like


def _fitted(network: NetworkPlan, kind: TaskKind, rows: Tensor, name: str, seed: int, on_progress: Listener) -> Fit:
    """Return a network fitted on rows (n, width), of which some judge it."""
    from equipoise.fit.fit import fit  # which needs this

    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(derive(seed, "judges")))
    judges = max(2, round(JUDGES * len(rows)))
    learned, judged = _unlabelled(rows[order[judges:]]), _unlabelled(rows[order[:judges]])
    steps_per_epoch = math.ceil(len(learned) / BATCH)
    recipe = Recipe(
        epochs=math.ceil(STEPS[name] / steps_per_epoch),
        batch_size=BATCH,
        weight_averaging="exponential",
        threads=1,
        governor=False,
    )
    plan = Plan(name=name, data=GivenData(), network=network, recipe=recipe)
    splits = Splits(
        name=name,
        train=learned,
        validation=judged,
        test=judged,
        signature=Signature(inputs=ArrayInput(shape=(rows.shape[1],)), task=Task(kind=kind)),
        preprocessing=Preprocessing(inputs=NoNumbers()),
        rows={"train": np.arange(len(learned)), **dict.fromkeys(("validation", "test"), np.arange(len(judged)))},
        notes=(),
        digest=name,
    )
    return fit(plan, seed, splits=splits, on_progress=on_progress)


def _unlabelled(rows: Tensor) -> TensorSamples:
    return TensorSamples(rows, rows.new_empty(len(rows), 0))


def _front(splits: Splits) -> tuple[nn.Module, nn.Module]:
    """Return the modules from raw inputs to standardised features and back."""
    preprocess = preprocess_module(splits.signature, splits.preprocessing)
    back = inverse_module(preprocess, splits.signature, splits.preprocessing)
    return preprocess, back or nn.Identity()


@torch.no_grad()
def _features(splits: Splits) -> tuple[Tensor, Tensor]:
    inputs, targets = splits.train.batch(torch.arange(len(splits.train)))
    return _front(splits)[0](inputs), targets


@torch.no_grad()
def _raw(features: Tensor, splits: Splits) -> Tensor:
    raw: Tensor = _front(splits)[1](features)
    spec = splits.signature.inputs
    return raw.clamp(spec.low, spec.high) if isinstance(spec, ImageInput) else raw


def _shown_targets(targets: Tensor, splits: Splits) -> Tensor:
    """Return targets as numbers around 1 (n, width): one a class, one a label, or standardised quantities."""
    if splits.signature.task.classifies:
        return functional.one_hot(targets, len(splits.signature.task.classes)).float()
    if splits.signature.task.kind == "multilabel":
        return targets
    mean, scale = splits.preprocessing.target_mean, splits.preprocessing.target_scale
    return (targets - torch.tensor(mean)) / torch.tensor(scale)


def _true_targets(shown: Tensor, splits: Splits) -> Tensor:
    """Undo `_shown_targets`."""
    if splits.signature.task.classifies:
        return shown.argmax(1)
    if splits.signature.task.kind == "multilabel":
        return (shown > 0.5).float()
    return shown * torch.tensor(splits.preprocessing.target_scale) + torch.tensor(splits.preprocessing.target_mean)
