"""A kit for testing questions and treatments: subjects whose truth is known, and checks that they keep to the rules."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.data_plan import GivenData
from equipoise.core.estimate import Line, Verdict
from equipoise.core.finding import Finding
from equipoise.core.network_plan import DenseNetwork, ForeignNetwork, NetworkPlan
from equipoise.core.plan import Plan
from equipoise.core.preprocessing import NoNumbers, Preprocessing
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, InputSpec, Signature, Task
from equipoise.core.stop import StopReason
from equipoise.core.treatment import Treatment
from equipoise.core.vital import Vital
from equipoise.data.numbers import fit_numbers
from equipoise.data.samples import Splits, TensorSamples
from equipoise.examine.ask import ask
from equipoise.examine.question import THEMES, Card, Question
from equipoise.examine.subject import Subject
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Execution, Fit
from equipoise.networks.heads import BinaryHead, ClassHead, RegressionHead
from equipoise.networks.network import Head, Network


@dataclass(frozen=True, slots=True)
class Part:
    """Raw inputs (n, ...) and targets (n, ...) of one part of a data set."""

    inputs: Tensor
    targets: Tensor


def check_question(question: Question, subject: Subject, *, seed: int = 0, repeatable: bool = True) -> Finding:
    """Return a question's finding after checking that it keeps to the rules; for the tests of third parties.

    Checked are its card, its cost, that it leaves the network, the data and all global random states alone, that it
    answers the same twice under one seed, and that every estimate is a finite number in its interval.

    Args:
        question: The question.
        subject: What it is asked about; one that it can be asked about.
        seed: Seed of its random numbers.
        repeatable: Whether two answers must agree; False for a question that measures time.

    Raises:
        AssertionError: It breaks a rule; the message says which and how to mend it.
    """
    _check_card(question.card)
    cost = question.cost_s(subject)
    if not (math.isfinite(cost) and cost >= 0):
        raise AssertionError(f"got a cost of {cost!r} s; expected 0 or more seconds. Return a finite number.")
    fresh = Subject(network=subject.network, splits=subject.splits, fit=subject.fit, limit=subject.limit)
    finding = ask(question, fresh, seed=seed)
    if finding.verdict is Verdict.ERROR:
        where = f" ({finding.where[0]})" if finding.where else ""
        raise AssertionError(f"got an error: {finding.claim}{where}; expected an answer. Mend the question.")
    again = ask(question, subject, seed=seed)
    if repeatable and _without_time(finding) != _without_time(again):
        raise AssertionError(
            f"got two answers under one seed: {finding.claim!r} and {again.claim!r}; expected the same. "
            "Draw every random number from context.generator."
        )
    _check_finding(finding)
    return finding


def check_treatment(treatment: Treatment, plan: Plan) -> Plan:
    """Return the treated plan after checking that a treatment keeps to the rules; for the tests of third parties.

    Checked are its id, that it treats something, that it makes a difference to the plan and leaves the plan itself
    alone, that it makes the same difference twice, that the treated plan can be written and read, and that, done
    already, it either says so or changes something more.

    Args:
        treatment: The treatment.
        plan: A plan that it can be done to.

    Raises:
        AssertionError: It breaks a rule; the message says which and how to mend it.
        ValueError: It cannot be done to this plan.
    """
    before = plan.plain()
    treated = treatment.apply(plan)
    problems = [
        (bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", treatment.id)), "a kebab-case id"),
        (bool(treatment.treats), "at least one question or fault in `treats`"),
        (isinstance(treatment.longer, bool), "`longer` to be True or False"),
        (plan.plain() == before, "it to leave the plan it gets as it is"),
        (treated != plan, "a difference to the plan"),
        (treatment.apply(plan) == treated, "the same difference every time"),
        (Plan.read(treated.plain()) == treated, "a plan that is read as it was written"),
    ]
    for good, expected in problems:
        if not good:
            raise AssertionError(f"got the treatment {treatment.id!r}; expected {expected}. Mend the treatment.")
    try:
        again = treatment.apply(treated)
    except ValueError:
        return treated
    if again == treated:
        raise AssertionError(
            f"got the treatment {treatment.id!r}, which does nothing to a treated plan; expected a ValueError that "
            "says that it is done. Raise one, or make it a `Change`."
        )
    return treated


def make_subject(
    body: nn.Module,
    head: Head,
    signature: Signature,
    train: Part,
    validation: Part,
    test: Part,
    *,
    preprocess: nn.Module | None = None,
    notes: Sequence[str] = (),
    groups: dict[str, np.ndarray] | None = None,
) -> Subject:
    """Return the subject of a network with its three parts, in evaluation mode."""
    parts = (train, validation, test)
    starts = np.cumsum([0, *(len(part.inputs) for part in parts)])
    names = ("train", "validation", "test")
    splits = Splits(
        "made",
        *(TensorSamples(part.inputs, part.targets) for part in parts),
        signature=signature,
        preprocessing=Preprocessing(inputs=NoNumbers()),
        rows={name: np.arange(starts[k], starts[k + 1]) for k, name in enumerate(names)},
        notes=tuple(notes),
        digest="0" * 64,
        groups=groups or {},
    )
    return Subject(Network(preprocess or nn.Identity(), body, head, signature).eval(), splits)


def divide(inputs: Tensor, targets: Tensor, *, train: int, validation: int) -> tuple[Part, Part, Part]:
    """Return the first `train` samples, the next `validation` ones, and the rest as the test part."""
    cuts = [train, validation, len(inputs) - train - validation]
    one, two, three = (Part(x, y) for x, y in zip(inputs.split(cuts), targets.split(cuts), strict=True))
    return one, two, three


def best_classifier(
    *,
    seed: int = 0,
    n: int = 1000,
    classes: int = 3,
    features: int = 5,
    separation: float = 2.5,
    sharpness: float = 1.0,
    shares: Sequence[float] = (),
    spec: InputSpec | None = None,
) -> Subject:
    """Return the Bayes-optimal classifier of Gaussian classes on samples of them: healthy in every respect.

    Class k is normal around `separation` times the k-th unit vector, so the exact posterior is a linear softmax.

    Args:
        seed: Draws the samples.
        n: Samples; 60 % train, 15 % validation, 25 % test.
        classes: Number of classes, at least 2.
        features: Number of inputs, at least `classes`.
        separation: Distance of each mean from the origin, in standard deviations.
        sharpness: Factor on the logits: 1 is calibrated, above 1 overconfident.
        shares: Probability of each class; equal when empty.
        spec: Input specification; plain features when not given.
    """
    generator = torch.Generator().manual_seed(seed)
    prior = torch.tensor(list(shares) or [1 / classes] * classes)
    labels = torch.multinomial(prior, n, replacement=True, generator=generator)
    means = separation * torch.eye(classes, features)
    inputs = means[labels] + torch.randn(n, features, generator=generator)
    body = nn.Linear(features, classes)
    with torch.no_grad():
        body.weight.copy_(sharpness * means)
        body.bias.copy_(sharpness * (prior.log() - separation**2 / 2))
    head: Head = ClassHead()
    if classes == 2:
        single = nn.Linear(features, 1)
        with torch.no_grad():
            single.weight.copy_(body.weight[1:] - body.weight[:1])
            single.bias.copy_(body.bias[1:] - body.bias[:1])
        body, head = single, BinaryHead()
    names = tuple(f"class {k}" for k in range(classes))
    task = Task(kind="binary" if classes == 2 else "multiclass", classes=names)
    signature = Signature(inputs=spec or ArrayInput(shape=(features,)), task=task)
    parts = divide(inputs, labels, train=int(0.6 * n), validation=int(0.15 * n))
    return make_subject(body, head, signature, *parts)


def best_regressor(
    *, seed: int = 0, n: int = 1000, features: int = 5, noise: float = 0.5, mean: float = 0.0, scale: float = 1.0
) -> Subject:
    """Return the best regressor of a noisy linear function: R2 is 1 / (1 + noise^2).

    Args:
        seed: Draws function and samples.
        n: Samples; 60 % train, 15 % validation, 25 % test.
        features: Number of inputs.
        noise: Standard deviation of the noise, relative to the function's.
        mean: Mean of the target, in the user's units.
        scale: Standard deviation of the function, in the user's units.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, features, generator=generator)
    weights /= weights.norm()
    inputs = torch.randn(n, features, generator=generator)
    spread = math.sqrt(1 + noise**2)
    targets = mean + scale * (inputs @ weights.T + noise * torch.randn(n, 1, generator=generator))
    body = nn.Linear(features, 1)
    with torch.no_grad():
        body.weight.copy_(weights / spread)
        body.bias.zero_()
    signature = Signature(
        inputs=ArrayInput(shape=(features,)), task=Task(kind="regression", targets=("y",), unit="units")
    )
    parts = divide(inputs, targets, train=int(0.6 * n), validation=int(0.15 * n))
    return make_subject(body, RegressionHead((mean,), (scale * spread,)), signature, *parts)


class NearestSample(nn.Module):
    """Answers with the label of the nearest sample it remembers: the purest overfitting."""

    inputs: Tensor
    one_hot: Tensor

    def __init__(self, inputs: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("inputs", inputs)
        self.register_buffer("one_hot", torch.eye(classes)[labels])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (n, classes) that put nearly all probability on the remembered label."""
        nearest = torch.cdist(inputs.flatten(1), self.inputs.flatten(1)).argmin(1)
        return 8.0 * self.one_hot[nearest]


class Constant(nn.Module):
    """Answers every sample with the same scores."""

    scores: Tensor

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.register_buffer("scores", scores)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores once a sample."""
        return self.scores.expand(len(inputs), -1)


def memorised(subject: Subject) -> Subject:
    """Return a classification subject (three or more classes) whose network has memorised its training part."""
    train = subject.part("train")
    inputs, labels = train.batch(torch.arange(len(train)))
    return with_body(subject, NearestSample(inputs, labels, len(subject.task.classes)))


def constant(subject: Subject) -> Subject:
    """Return the subject with a network that answers every sample alike: with the class shares or the mean."""
    train = subject.part("train")
    _, targets = train.batch(torch.arange(len(train)))
    if subject.task.kind == "regression":
        return with_body(subject, Constant(torch.zeros(targets.shape[1])))
    shares = torch.bincount(targets, minlength=len(subject.task.classes)) / len(targets)
    logits = shares.clamp_min(1e-6).log()
    return with_body(subject, Constant((logits[1:] - logits[:1]) if subject.task.kind == "binary" else logits))


def with_body(subject: Subject, body: nn.Module) -> Subject:
    """Return the subject with another body between its pre-processing and its head."""
    old = subject.network
    network = Network(old.preprocess, body, old.head, old.signature).eval()
    return Subject(network=network, splits=subject.splits, fit=subject.fit, limit=subject.limit)


def trained(
    subject: Subject, *, network: NetworkPlan | None = None, recipe: Recipe | None = None, seed: int = 0
) -> Subject:
    """Return a subject on the same data with a small network that was trained on them: one that can be trained again.

    Args:
        subject: Brings the data.
        network: The network; without it, dense with a hidden layer of 16.
        recipe: How it is trained; without it, 15 epochs of Adam.
        seed: Draws everything random.
    """
    splits = replace(subject.splits, preprocessing=fit_numbers(subject.splits.train, subject.splits.signature))
    plan = Plan(
        name="made",
        data=GivenData(),
        network=network or DenseNetwork(hidden=(16,)),
        recipe=recipe or Recipe(learning_rate=1e-2, epochs=15),
    )
    made = fit(plan, seed, splits=splits)
    return Subject(network=made.network, splits=splits, fit=made, limit=subject.limit)


def with_history(
    subject: Subject,
    train_loss: Sequence[float],
    validation_loss: Sequence[float],
    *,
    stopped: StopReason = StopReason.FINISHED,
    recipe: Recipe | None = None,
) -> Subject:
    """Return the subject with a fit whose vitals are the given losses: training a step, validation an epoch."""
    per_epoch = max(1, len(train_loss) // max(1, len(validation_loss)))
    epochs = tuple(per_epoch * (k + 1) for k in range(len(validation_loss)))
    best = int(np.argmin(validation_loss)) + 1 if len(validation_loss) else 0
    told = Fit(
        network=subject.network,
        plan=Plan(name="made", data=GivenData(), network=ForeignNetwork(), recipe=recipe or Recipe()),
        seed=0,
        splits=subject.splits,
        stopped=stopped,
        execution=Execution(
            device="cpu",
            reason="made",
            threads=1,
            channels_last=False,
            fused=False,
            precision="float32",
            torch=torch.__version__,
            machine="made",
        ),
        vitals=(
            _vital("train", tuple(range(1, len(train_loss) + 1)), train_loss),
            _vital("validation", epochs, validation_loss),
        ),
        epochs=len(validation_loss),
        steps=len(train_loss),
        best_epoch=best,
        seconds=1.0,
    )
    return Subject(network=subject.network, splits=subject.splits, fit=told, limit=subject.limit)


def _vital(part: str, steps: tuple[int, ...], values: Sequence[float]) -> Vital:
    kept = tuple(float(value) for value in values)
    return Vital(name="loss", unit="nats", part=part, steps=steps, values=kept, low=kept, high=kept)


def _check_card(card: Card) -> None:
    problems = [
        (isinstance(card, Card), "a `card` that is a Card"),
        (bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", card.id)), "a kebab-case id"),
        (card.theme in THEMES, f"a theme among {', '.join(THEMES)}"),
        (card.title.endswith("?"), "a title that ends with a question mark"),
        (all(len(text) >= 40 for text in (card.why, card.how, card.verdicts)), "why, how and verdicts in sentences"),
        (bool(card.sources), "at least one source, or `original`"),
        (all(isinstance(line, Line) for line in card.lines.values()), "lines that are Lines"),
    ]
    for good, expected in problems:
        if not good:
            raise AssertionError(f"got the card of {card.id!r}; expected {expected}. Complete the card.")


def _check_finding(finding: Finding) -> None:
    if finding.verdict is not Verdict.SKIPPED and not re.search(r"\d", finding.claim):
        raise AssertionError(f"got the claim {finding.claim!r}; expected its numbers in it. Put the estimate into it.")
    for name, estimate in finding.estimates.items():
        if not math.isfinite(estimate.value):
            raise AssertionError(
                f"got the estimate {name!r} with value {estimate.value}; expected a finite number. "
                "Raise InapplicableError where nothing can be measured."
            )
    for name in finding.lines:
        if name not in finding.estimates:
            raise AssertionError(f"got a line for {name!r}; expected its estimate too. Give it or drop the line.")


def _without_time(finding: Finding) -> Finding:
    return finding.model_copy(update={"seconds": 0.0})
